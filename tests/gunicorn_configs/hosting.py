"""Several applications of one host, as provisioning writes it: sockets, logs and pid file of its own."""

bind = ["unix:run/shop.sock", "127.0.0.1:0"]
umask = 0o117
workers = 1
threads = 3
worker_class = "egg:gunicorn#gthread"
pidfile = "run/shop.pid"
accesslog = "run/access.log"
errorlog = "run/error.log"
loglevel = "warning"
capture_output = False
enable_stdio_inheritance = True
wsgi_app = "main:make()"
control_socket_disable = True
