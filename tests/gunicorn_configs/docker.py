"""A container: everything to standard output and error, everything from the environment."""

import os

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = int(os.environ.get("PYTHON_MAX_THREADS", "1"))
worker_class = "gthread"
worker_tmp_dir = "/dev/shm"
timeout = int(os.environ.get("WEB_TIMEOUT", "120"))
keepalive = 75
accesslog = "-"
errorlog = "-"
loglevel = os.environ.get("LOG_LEVEL", "info")
access_log_format = '{"remote": "%(h)s", "request": "%(r)s", "status": %(s)s, "bytes": %(B)s, "us": %(D)s}'
