"""Reloads behind nginx: no visitor sees a 502, although nginx is told to try nothing twice."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.proxies.conftest import StartNginx, location, upstream
from tests.reliability.conftest import Code
from tests.support.client import AsyncRawClient, Target, request

VISITORS = 8

VERSIONS = ["one", "two", "three", "four"]


@dataclass
class Visitors:
    """Visitors who keep asking, half of them with a body: nginx must not send those again."""

    target: Target
    answers: Counter[tuple[int, str]] = field(default_factory=Counter)

    async def run(self, over: asyncio.Event) -> None:
        """Ask until `over`."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(VISITORS):
                tasks.create_task(self._keep_asking(over, number))

    async def _keep_asking(self, over: asyncio.Event, number: int) -> None:
        method, body = ("POST", b"x" * 1000) if number % 2 else ("GET", None)
        headers = [] if number % 4 < 2 else [("Connection", "close")]
        while not over.is_set():
            async with AsyncRawClient(self.target) as client:
                close = False
                while not close and not over.is_set():
                    response = await client.ask(request(method, "/", headers, body), method)
                    self.answers[response.status, response.text] += 1
                    close = "close" in response.connection
                if close:
                    assert await client.read_until_closed() == b""

    async def serve_more(self, running: asyncio.Task[None], text: str = "") -> None:
        """Return when there are a hundred more answers, that say `text` if it is given."""

        def count() -> int:
            return sum(n for (_, said), n in self.answers.items() if text in ("", said))

        enough = count() + 100
        while count() < enough:
            assert not running.done(), running
            await asyncio.sleep(0.01)


@pytest.fixture
def code(app_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Code:
    """The test's application, compiled at every import: it changes more than once in a second."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return Code(app_dir)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix"])
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
async def test_no_request_fails(
    serve: Serve, code: Code, start_nginx: StartNginx, interface: str, bind: str, tmp_path: Path
) -> None:
    bind = f"unix:{tmp_path}/app.sock" if bind == "unix" else bind
    code.write(interface, VERSIONS[0])
    server = serve("-w", "2", "main:app", bind=bind)
    nginx = start_nginx(upstream(server.target) + location())
    visitors = Visitors(nginx.target)
    over = asyncio.Event()
    running = asyncio.create_task(visitors.run(over))
    for generation, version in enumerate(VERSIONS[1:], 2):
        await visitors.serve_more(running)
        code.write(interface, version, on_import="time.sleep(0.3)")
        server.signal(signal.SIGHUP)
        await asyncio.to_thread(server.wait_line, f"reload complete: gen={generation} ")
    await visitors.serve_more(running, VERSIONS[-1])
    over.set()
    await running
    assert set(visitors.answers) == {(200, version) for version in VERSIONS}, server.output()
