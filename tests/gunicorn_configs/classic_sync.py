"""What gunicorn's own example has: one request at a time, watched by a timeout."""

bind = "127.0.0.1:0"
backlog = 2048
workers = 1
worker_class = "sync"
worker_connections = 1000
timeout = 1
keepalive = 2
spew = False
daemon = False
raw_env = []
pidfile = None
umask = 0
user = None
group = None
tmp_upload_dir = None
errorlog = "-"
loglevel = "info"
accesslog = None
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
proc_name = None


def pre_fork(server, worker):
    pass


def pre_exec(server):
    server.log.info("Forked child, re-executing.")


def worker_abort(worker):
    worker.log.info("worker received SIGABRT signal")
