"""An application that leaks: imported once, and each worker replaced now and then."""

bind = "127.0.0.1:0"
workers = 2
preload_app = True
max_requests = 20
max_requests_jitter = 5
wsgi_app = "main:app"
