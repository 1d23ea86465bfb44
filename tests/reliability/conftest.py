"""Tiny applications that tests rewrite under a running server, and what they ask of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

PATIENCE = 15.0
"""Seconds to wait for what has no log line; everything is done in a fraction of it."""

_ASGI = """
import asyncio, os, pathlib, time

FOLDER = pathlib.Path(__file__).parent
VERSION = {version!r}

def say(*words):  # in one piece, since several workers share the output
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

{on_import}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        {on_startup}
        say("startup", os.getpid())
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        {on_shutdown}
        say("shutdown", os.getpid())
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    path = scope["path"]
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    if path == "/wait":  # until the file `go` is there
        await send({{"type": "http.response.body", "body": b"begun ", "more_body": True}})
        while not (FOLDER / "go").exists():
            await asyncio.sleep(0.01)
    elif path == "/cancelled":
        await send({{"type": "http.response.body", "body": b"begun ", "more_body": True}})
        try:
            await asyncio.Event().wait()
        finally:
            say("cancelled")
    elif path == "/block":  # the loop, for ever
        await send({{"type": "http.response.body", "body": b"begun ", "more_body": True}})
        await asyncio.sleep(0)
        while True:
            time.sleep(0.1)
    elif path == "/exit":
        os._exit(0)
    elif path == "/stream":
        for _ in range(10):
            await send({{"type": "http.response.body", "body": f"{{VERSION}} ".encode(), "more_body": True}})
            await asyncio.sleep(0.02)
        await send({{"type": "http.response.body"}})
        return
    body = {{"/pid": str(os.getpid())}}.get(path, VERSION)
    if path == "/length":
        length, more = 0, True
        while more:
            message = await receive()
            length, more = length + len(message.get("body", b"")), message.get("more_body", False)
        body = f"{{VERSION}} {{length}}"
    await send({{"type": "http.response.body", "body": body.encode()}})
"""

HEARS_SIGNALS = """\
import asyncio
import os
import signal


async def app(scope, receive, send):
    assert scope["type"] == "http"
    heard = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, heard.set)
    os.kill(os.getpid(), signal.SIGUSR2)
    async with asyncio.timeout(5):
        await heard.wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"heard"})
"""
"""An application with a signal handler of its own on the loop."""

_WSGI = """
import os, pathlib, time

FOLDER = pathlib.Path(__file__).parent
VERSION = {version!r}
{on_import}

def app(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [])
    if path == "/wait":
        yield b"begun "
        while not (FOLDER / "go").exists():
            time.sleep(0.01)
    elif path == "/block":  # a thread, for ever
        yield b"begun "
        while True:
            time.sleep(0.1)
    elif path == "/stream":
        for _ in range(10):
            yield f"{{VERSION}} ".encode()
            time.sleep(0.02)
        return
    elif path == "/length":
        length = 0
        while data := environ["wsgi.input"].read(65536):
            length += len(data)
        yield f"{{VERSION}} {{length}}".encode()
        return
    yield {{"/pid": str(os.getpid())}}.get(path, VERSION).encode()
"""


@dataclass(frozen=True, slots=True)
class Code:
    """The application `main:app` of a test, in `folder`, to be written again and again."""

    folder: Path

    def asgi(
        self,
        version: str = "one",
        *,
        on_import: str = "",
        on_startup: str = "pass",
        on_shutdown: str = "pass",
    ) -> None:
        """Write the ASGI application: it answers with `version`, and runs code at three moments."""
        self._write(
            _ASGI.format(version=version, on_import=on_import, on_startup=on_startup, on_shutdown=on_shutdown)
        )

    def wsgi(self, version: str = "one", *, on_import: str = "") -> None:
        """Write the WSGI application."""
        self._write(_WSGI.format(version=version, on_import=on_import))

    def write(self, interface: str, version: str = "one", *, on_import: str = "") -> None:
        """Write the application of that interface."""
        if interface == "asgi":
            self.asgi(version, on_import=on_import)
        else:
            self.wsgi(version, on_import=on_import)

    def broken(self, source: str) -> None:
        """Write something else."""
        self._write(source)

    def go(self) -> None:
        """Let the requests of /wait end."""
        (self.folder / "go").touch()

    def _write(self, source: str) -> None:
        # In one step, since a worker may be reading it
        new = self.folder / "main.py.new"
        new.write_text(source)
        new.replace(self.folder / "main.py")


@pytest.fixture
def code(app_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Code:
    """The test's application; it is compiled at every import.

    A compiled file is taken for that of its source if size and second of change are the same, and
    tests change their source more than once in a second.
    """
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return Code(app_dir)


def ask(server: ServerProcess, path: str = "/") -> str:
    """Return the body of a response on a connection of its own."""
    with RawClient(server.target) as client:
        response = client.ask(request("GET", path, [("Connection", "close")]))
        assert response.status == 200, response
        return response.text


def pid_of(server: ServerProcess, number: int, generation: int = 1) -> int:
    """Return the pid of the last worker of that place and generation to boot."""
    line = rf"worker={number} gen={generation} pid=(\d+) booting$"
    return [int(match[1]) for text in server.lines("stderr") if (match := re.search(line, text))][-1]


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Return when `true()` is; raise AssertionError with `what` if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.01)


def worker_log(server: ServerProcess) -> list[str]:
    """Return the log without times and pids, one line per event: `worker=0 gen=1 ready`."""
    events = []
    for text in server.lines("stderr"):
        if text.startswith("[") and text.count("]") >= 3:
            words = text.split("] ", 3)[3].split()
            events.append(" ".join(word for word in words if not word.startswith("pid=")))
    return events
