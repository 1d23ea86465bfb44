"""Health checks that stand in no log, and hooks that look into the server's settings and loggers."""

import logging

wsgi_app = "main:app"
bind = "127.0.0.1:0"
worker_class = "gthread"
threads = 2
accesslog = "-"


class WithoutHealthChecks(logging.Filter):
    def filter(self, record):
        return record.args["U"] != "/healthz" and not record.args["a"].startswith("ELB-HealthChecker")


def on_starting(server):
    server.log.access_log.addFilter(WithoutHealthChecks())
    server.log.error_log.addFilter(lambda record: "booting" not in record.getMessage())


def when_ready(server):
    cfg = server.cfg
    server.log.info(
        "serving: %s %s %s %s",
        cfg.worker_class_str,
        cfg.proc_name,
        cfg.settings["threads"].get(),
        cfg.settings["bind"].value,
    )
