"""Workers that serve WSGI inline (-k sync): what the heartbeat shows is the application's own progress."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import ask
from tests.support.client import RawClient, request

APP = """
import os
import time

def app(environ, start_response):
    write = start_response("200 OK", [])
    if environ["PATH_INFO"] == "/write":
        write(b"first")
        end = time.monotonic() + 20
        while not os.path.exists("go") and time.monotonic() < end:
            time.sleep(0.01)
    if environ["PATH_INFO"] == "/long":
        time.sleep(60)
    if environ["PATH_INFO"] == "/endless":
        return iter(lambda: b"x", b"")
    return [b"one"]
"""


@pytest.mark.parametrize("path", ["/long", "/endless"])
def test_a_request_that_takes_longer_than_the_timeout(serve: Serve, app_dir: Path, path: str) -> None:
    """The worker is killed and replaced, as gunicorn does it: in a call, and between the pieces."""
    (app_dir / "main.py").write_text(APP)
    server = serve("-k", "sync", "--timeout", "1", "main:app")
    server.wait_line(r"ready: interface=wsgi, inline ")
    (pid,) = server.worker_pids()
    with RawClient(server.target) as client:
        client.send(request(target=path))
        client.read_head() if path == "/endless" else None
        server.wait_line(rf"worker=0 gen=1 pid={pid} silent for 1 s: aborting it$")
        server.wait_line(rf"worker=0 gen=1 pid={pid} died: signal SIGABRT$")
        client.reset()
        client.incoming.data.clear()
    assert ask(server) == "one"


def test_a_response_that_its_client_does_not_read_is_no_reason(serve: Serve, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(APP.replace('b"x", b""', 'bytes(65536), b""'))
    server = serve("-k", "sync", "--timeout", "1", "main:app")
    with RawClient(server.target, receive_buffer=4096) as client:
        client.send(request(target="/endless"))
        client.read_head()
        with pytest.raises(AssertionError, match="within 2"):
            server.wait_line("silent|died", timeout=2)
        assert ask(server) == "one"
        client.reset()
        client.incoming.data.clear()


def test_what_write_gets_leaves_during_the_call(serve: Serve, app_dir: Path) -> None:
    """PEP 3333, Buffering and Streaming: no block is held back, though the loop stands still."""
    (app_dir / "main.py").write_text(APP)
    server = serve("-k", "sync", "--timeout", "30", "main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/write"))
        client.read_head()
        assert client.read_bytes(10) == b"5\r\nfirst\r\n"
        (app_dir / "go").touch()
        assert client.read_bytes(13) == b"3\r\none\r\n0\r\n\r\n"


def test_gthread_is_another_name_for_threads(serve: Serve, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(APP)
    server = serve("-k", "gthread", "--threads", "3", "main:app")
    server.wait_line(r"ready: interface=wsgi, 3 threads ")
