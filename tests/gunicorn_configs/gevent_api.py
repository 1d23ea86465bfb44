"""An API that waits for other services, in greenlets."""

bind = "127.0.0.1:0"
workers = 1
worker_class = "gevent"
worker_connections = 50
timeout = 60
keepalive = 5
max_requests = 0
preload_app = False
