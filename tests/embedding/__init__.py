"""The server inside other programs."""
