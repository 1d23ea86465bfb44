"""What many start from: every setting once, most without a value, and the hooks, also that of TLS."""

import os
import ssl

wsgi_app = "main:app"
bind = "127.0.0.1:0"
backlog = 64
workers = 1
worker_class = "sync"
worker_connections = 1000
timeout = 50
keepalive = 5
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
accesslog = "-"
proc_name = None
if "TLS_CERT" in os.environ:
    certfile, keyfile = os.environ["TLS_CERT"], os.environ["TLS_KEY"]


def pre_fork(server, worker):
    pass


def worker_int(worker):
    worker.log.info("worker received INT or QUIT signal")


def ssl_context(conf, default_ssl_context_factory):
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_3

    def sni_callback(socket, server_hostname, context):
        if server_hostname == "other.example":
            other = default_ssl_context_factory()
            other.load_cert_chain(os.environ["TLS_OTHER"])
            socket.context = other

    context.sni_callback = sni_callback
    return context
