"""Tests of messages <-> applications."""
