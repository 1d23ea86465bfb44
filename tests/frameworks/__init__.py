"""Real frameworks, served by a real process, driven over real sockets."""
