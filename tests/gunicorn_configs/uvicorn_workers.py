"""FastAPI and the like: uvicorn's workers under gunicorn."""

import os

wsgi_app = "main:app"
bind = [os.getenv("BIND", "127.0.0.1:0")]
workers = 1
worker_class = "uvicorn.workers.UvicornWorker"
keepalive = 120
graceful_timeout = 1
timeout = 120
proxy_allow_ips = "*"
reload = False
loglevel = os.getenv("LOG_LEVEL", "debug")
root_path = "/v1"
