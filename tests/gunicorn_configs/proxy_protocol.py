"""Behind a load balancer that speaks the PROXY protocol (HAProxy, an AWS NLB)."""

bind = "127.0.0.1:0"
workers = 1
worker_class = "uvicorn_worker.UvicornH11Worker"
proxy_protocol = True
proxy_allow_ips = "127.0.0.1"
wsgi_app = "main:app"
accesslog = "-"
access_log_format = "%(h)s %(s)s"
reuse_port = True
