"""Started by root: the identity of workers, and what the system sees of the server."""

import os

bind = "127.0.0.1:0"
user = os.environ.get("SHOP_USER") or None
group = os.environ.get("SHOP_GROUP")
umask = 0o027
initgroups = True
pidfile = "../run/shop.pid"
proc_name = "shop"
chdir = "src"
pythonpath = "../lib,../vendor"
raw_env = ["SHOP_REGION=eu", "SHOP_KEY=a=b,c"]
wsgi_app = "main:app"
daemon = False
