"""Programs that start what has no command line of its own."""
