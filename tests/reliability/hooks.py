"""A configuration file with all hooks, each of which notes that it was called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

Conf: TypeAlias = Callable[[str], None]
"""Writes the configuration file, `conf.py`."""

# Every hook notes its name, the process that it was called in, and what it was given.
ALL = """
import os

_FILE = os.path.abspath("calls")

def _note(name, *values):
    with open(_FILE, "a") as file:
        file.write(" ".join(map(str, (name, os.getpid(), *values))) + "\\n")

def on_starting(server):
    server.token = "of the server"
    _note("on_starting", server.pid, server.cfg.workers, len(server.LISTENERS))

def when_ready(server):
    _note("when_ready", *(sock.getsockname()[0] for sock in server.LISTENERS))

def on_reload(server):
    _note("on_reload", server.cfg.timeout)

def pre_exec(server):
    _note("pre_exec")

def on_exit(server):
    _note("on_exit", len(server.WORKERS))

def nworkers_changed(server, new_value, old_value):
    assert server.num_workers == new_value
    _note("nworkers_changed", old_value, new_value)

def pre_fork(server, worker):
    worker.token = worker.age
    _note("pre_fork", worker.pid, worker.age)

def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)
    _note("post_fork", worker.pid, worker.token, server.pid, server.token)

def post_worker_init(worker):
    _note("post_worker_init", worker.wsgi is not None, worker.cfg.proc_name)

def worker_int(worker):
    _note("worker_int")

def worker_abort(worker):
    _note("worker_abort", worker.aborted)

def worker_exit(server, worker):
    _note("worker_exit", worker.nr)

def child_exit(server, worker):
    _note("child_exit", worker.pid, worker.pid in server.WORKERS)

def pre_request(worker, req):
    req.token = dict(req.headers)["X-TOKEN"]
    _note("pre_request", req.method, req.uri, req.path, req.query)

def post_request(worker, req, environ, resp):
    _note("post_request", req.token, environ["HTTP_X_TOKEN"], resp.status, resp.sent)
"""


class Calls:
    """What the hooks have noted: `NAME PID VALUES...`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "calls"

    def all(self) -> list[list[str]]:
        return [line.split() for line in self._file.read_text().splitlines()] if self._file.exists() else []

    def names(self) -> list[str]:
        return [name for name, *_ in self.all()]

    def of(self, name: str) -> list[list[str]]:
        return [call[1:] for call in self.all() if call[0] == name]

    def clear(self) -> None:
        self._file.write_text("")


@pytest.fixture
def calls(app_dir: Path) -> Calls:
    return Calls(app_dir)


@pytest.fixture
def conf(app_dir: Path) -> Conf:
    """Write the configuration file, `conf.py`."""

    def write(source: str) -> None:
        (app_dir / "conf.py").write_text(source)

    return write


def get(server: ServerProcess, path: str = "/", status: int = 200) -> None:
    fields = [("X-Token", "mine"), ("Connection", "close")]
    with RawClient(server.target) as client:
        assert client.ask(request("GET", path, fields)).status == status
