"""Django behind nginx on the same machine."""

import multiprocessing

wsgi_app = "shop.wsgi:application"
chdir = "src"
raw_env = ["DJANGO_SETTINGS_MODULE=shop.settings", "SHOP_GREETING=hello, nginx"]

bind = "unix:../shop.sock"
umask = 0o007
backlog = 512
workers = min(2, multiprocessing.cpu_count() * 2 + 1)
worker_class = "sync"

# nginx sets this one: proxy_set_header X-Forwarded-Proto $scheme;
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
forwarded_allow_ips = "*"

accesslog = "../access.log"
access_log_format = '%({x-forwarded-for}i)s %(m)s %(U)s %(s)s %(B)s "%(a)s"'
errorlog = "../error.log"
loglevel = "info"
