"""In the open, without a proxy: every limit is narrow."""

bind = "127.0.0.1:0"
workers = 1
worker_class = "gthread"
threads = 2
limit_request_line = 200
limit_request_fields = 8
limit_request_field_size = 100
keepalive = 1
worker_connections = 100
forwarded_allow_ips = ""
permit_obsolete_folding = False
header_map = "refuse"
wsgi_app = "main:app"
