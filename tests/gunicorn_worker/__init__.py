"""The worker classes, under real gunicorns."""
