"""Processes that an application forks in a view, and that come back from it: they end there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import ask

APP = """
import os
import sys

def end(path):
    if path == "/exit":
        sys.exit(3)
    if path == "/exit-none":
        sys.exit()
    if path == "/exit-text":
        sys.exit("said by the child")
    if path == "/error":
        raise RuntimeError("of the child")
    if path == "/stdout":
        print("printed by the child")
        sys.exit()

def pieces(path):
    pid = os.fork()
    if pid == 0:
        if path == "/pieces/more":
            yield b"by the child"
        if path != "/pieces":
            return
        sys.exit(4)
    yield b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [])
    if path.startswith("/pieces"):
        return pieces(path)
    pid = os.fork()
    if pid == 0:
        end(path)
        return iter([b"answered by the child"] * 2)
    return [b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
"""


@pytest.mark.parametrize("worker_class", ["wsgi", "sync", "gevent", "eventlet"])
def test_children_that_come_back(serve: Serve, app_dir: Path, worker_class: str) -> None:
    """They would answer their parent's clients and disturb its event loop, and stay when it has gone."""
    (app_dir / "main.py").write_text(APP)
    server = serve("-k", worker_class, "main:app")
    server.allowed_tracebacks.append("RuntimeError: of the child")
    assert ask(server, "/exit") == "3"
    assert ask(server, "/exit-none") == "0"
    assert ask(server, "/pieces") == "4"
    for path in ("/pieces/more", "/pieces/end"):
        assert ask(server, path) == "1"
        server.wait_line(rf"forked comes back from the call, and ends here.*: GET {path}$")
    assert ask(server, "/exit-text") == "1"
    server.wait_line(r"^said by the child$")
    assert ask(server, "/stdout") == "0"
    server.wait_line(r"^printed by the child$", stream="stdout")
    assert ask(server, "/error") == "1"
    server.wait_line(r"exception in the application: GET /error$")
    server.wait_line(r"^RuntimeError: of the child$")
    assert ask(server, "/return") == "1"
    server.wait_line(r"forked comes back from the call, and ends here.*: GET /return$")
