"""gunicorn's hooks, in workers of ours."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.gunicorn_worker.conftest import Gunicorn, with_both
from tests.reliability.conftest import Code, ask
from tests.support.client import RawClient, request

CONFIGURATION = """
import os

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def post_fork(server, worker): say("post_fork", worker.age)
def post_worker_init(worker): say("post_worker_init", callable(worker.wsgi))
def pre_request(worker, req): say("pre_request", req.method, req.path, worker.nr)
def post_request(worker, req, environ, resp):
    say("post_request", req.uri, environ["PATH_INFO"], resp.status, resp.sent, worker.nr)
def worker_int(worker): say("worker_int", worker.alive)
def worker_abort(worker): say("worker_abort", worker.alive)
def worker_exit(server, worker): say("worker_exit", worker.nr, server.num_workers)
def child_exit(server, worker): say("child_exit", worker.pid)
"""


@pytest.fixture
def configured(app_dir: Path) -> None:
    """Have a configuration file with hooks, which gunicorn finds by itself."""
    (app_dir / "gunicorn.conf.py").write_text(CONFIGURATION)


def said(lines: list[str]) -> list[str]:
    """Return what the hooks have said."""
    return [line for line in lines if line.startswith(("post_", "pre_", "worker_", "child_"))]


@pytest.mark.usefixtures("configured")
@with_both
def test_the_hooks_are_called(gunicorn: Gunicorn, code: Code, interface: str) -> None:
    code.write(interface)
    server = gunicorn("main:app", interface=interface)
    (pid,) = server.worker_pids()
    assert ask(server, "/a%20b?c") == "one"
    server.wait_line("^post_request", stream="stdout")
    server.stop(signal.SIGINT)
    assert said(server.lines("stdout")) == [
        "post_fork 1",
        "post_worker_init True",
        "pre_request GET /a%20b 0",
        "post_request /a%20b?c /a b 200 OK 3 1",
        "worker_int False",
        "worker_exit 1 1",
        # Older ones do not wait for who has been told to end quickly.
        *([f"child_exit {pid}"] if "child_exit" in " ".join(server.lines("stdout")) else []),
    ]


@pytest.mark.usefixtures("configured")
def test_the_hooks_of_an_abort(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    server = gunicorn("--timeout", "1", "main:app", interface="asgi")
    server.allowed_tracebacks.append("SystemExit")
    with RawClient(server.target) as client:
        client.send(request(target="/block"))
        assert client.read_head().status == 200
        client.read_bytes(11)
        server.wait_line("^child_exit", stream="stdout")
        client.read_until_closed()
    found = said(server.lines("stdout"))
    assert "worker_abort False" in found
    assert "worker_exit 0 1" in found


def test_the_default_hook_tells_requests(gunicorn: Gunicorn, code: Code) -> None:
    """gunicorn's own pre_request writes a line when it says everything."""
    code.asgi()
    server = gunicorn("--log-level", "debug", "main:app", interface="asgi")
    ask(server, "/told")
    server.wait_line(r"\[DEBUG\] GET /told$")


def test_a_hook_that_fails_does_not_keep_a_worker_alive(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    (code.folder / "gunicorn.conf.py").write_text("def worker_int(worker): raise ValueError('deliberate')")
    server = gunicorn("main:app", interface="asgi")
    server.stop(signal.SIGINT)
    assert any("the hook worker_int failed" in line for line in server.lines("stderr"))
    assert any(line.startswith("shutdown") for line in server.lines("stdout"))
