"""The error log is gunicorn's, with its format and its metrics."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

from tests.gunicorn_worker.conftest import Gunicorn, with_both
from tests.reliability.conftest import Code, ask
from tests.support.client import RawClient, request

FAILING = {
    "asgi": """
async def app(scope, receive, send):
    if scope["type"] == "http":
        raise ValueError("deliberate")
""",
    "wsgi": """
def app(environ, start_response):
    environ["wsgi.errors"].write("said by the application\\n")
    raise ValueError("deliberate")
""",
}


@with_both
def test_an_applications_error(gunicorn: Gunicorn, code: Code, interface: str) -> None:
    code.broken(FAILING[interface])
    server = gunicorn("--error-logfile", "error.log", "main:app", interface=interface, ready=False)
    log = code.folder / "error.log"
    server.wait_log(log, "Worker ready")
    target = server.target_of(log)
    with RawClient(target) as client:
        assert client.ask(request(headers=[("Connection", "close")])).status == 500
    text = server.wait_log(log, "ValueError: deliberate")
    assert re.search(r"^\[\d{4}-.* [+-]\d{4}\] \[\d+\] \[ERROR\] .*GET /", text, re.MULTILINE), text
    assert (interface == "wsgi") is ("\nsaid by the application\n" in text)
    server.stop()


def test_a_logging_configuration_may_name_our_logger(gunicorn: Gunicorn, code: Code) -> None:
    code.broken(FAILING["asgi"])
    (code.folder / "gunicorn.conf.py").write_text(
        """
logconfig_dict = {
    "version": 1,
    "handlers": {
        "own": {"class": "logging.FileHandler", "filename": "own.log"},
        "console": {"class": "logging.StreamHandler"},
    },
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "aserve": {"handlers": ["own"], "level": "INFO", "propagate": False},
        "gunicorn.error": {"handlers": ["console"], "level": "INFO", "propagate": False},
    },
}
"""
    )
    server = gunicorn("main:app", interface="asgi", ready=False)
    server.wait_ready()
    with RawClient(server.target) as client:
        assert client.ask(request(headers=[("Connection", "close")])).status == 500
    server.wait_log(code.folder / "own.log", "ValueError: deliberate")
    assert not [line for line in server.lines("stderr") if "deliberate" in line]


def test_statsd(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(10)
        port = statsd.getsockname()[1]
        # Not checked for what it does not close: that is gunicorn's own socket.
        server = gunicorn("--statsd-host", f"127.0.0.1:{port}", "main:app", interface="asgi", ready=False)
        server.wait_ready()
        assert ask(server) == "one"
        found: set[str] = set()
        wanted = {"gunicorn.requests:1|c|@1.0", "gunicorn.request.status.200:1|c|@1.0"}
        while not wanted <= found or not any("gunicorn.request.duration" in metric for metric in found):
            found.add(statsd.recv(1000).decode())


def test_files_are_opened_again(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    options = ("--access-logfile", "access.log", "--error-logfile", "error.log")
    server = gunicorn(*options, "main:app", interface="asgi", ready=False)
    error = code.folder / "error.log"
    server.wait_log(error, "Worker ready")
    target = server.target_of(error)
    for name in ("access.log", "error.log"):
        (code.folder / name).rename(code.folder / f"{name}.1")
    server.signal(signal.SIGUSR1)
    server.wait_log(error, "")
    access = Path(code.folder / "access.log")
    while not access.exists() or not access.read_text():  # the arbiter comes first
        with RawClient(target) as client:
            client.ask(request(headers=[("Connection", "close")]))
    server.stop()
    assert "Worker exiting" in error.read_text()
