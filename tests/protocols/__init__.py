"""Tests of bytes <-> messages: raw bytes over real sockets, ordered by RFC section."""
