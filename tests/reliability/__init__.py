"""Whole servers with tiny applications: what they survive, told by their documented log lines."""
