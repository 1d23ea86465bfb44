"""Servers under process managers: the real ones, and what they all do."""
