"""prometheus-client with several workers: its files are cleared, and dead workers' gauges with them."""

import os
from pathlib import Path

_metrics = os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(Path("metrics").absolute()))

from prometheus_client import multiprocess  # noqa: E402  # it looks at the variable when it is imported

bind = "127.0.0.1:0"
workers = 2
wsgi_app = "main:app"


def on_starting(server):
    Path(_metrics).mkdir(exist_ok=True)
    for file in Path(_metrics).glob("*.db"):
        file.unlink()
    server.log.info("metrics cleared")


def when_ready(server):
    server.log.info("Server is ready. Spawning workers")


def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)


def worker_int(worker):
    worker.log.info("worker received INT or QUIT signal")


def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
    server.log.info("metrics of %s removed", worker.pid)


def on_exit(server):
    server.log.info("bye from %s", server.pid)
