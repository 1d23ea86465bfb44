"""WebSockets through reloads and stops of real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.client import RawClient
from tests.support.footprint import needs_proc, resident, wait_for_rest
from tests.support.process import ServerProcess
from tests.support.websocket import CLOSE, TEXT, WebSocketClient, closing, frame, handshake

_APP = """
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": str(os.getpid())})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    if scope["path"] == "/stubborn":
        await asyncio.sleep(60)
"""


@pytest.fixture
def main(app_dir: Path) -> str:
    (app_dir / "main.py").write_text(_APP)
    return "main:app"


async def wait_line(server: ServerProcess, pattern: str) -> None:
    await asyncio.to_thread(server.wait_line, pattern)


class Talkers:
    """Clients that have everything they say echoed, and come back when they are sent away with 1012."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.over = asyncio.Event()
        self.failures: list[str] = []
        self.echoes = 0
        self.returns = 0
        self.pids: set[str] = set()

    async def run(self, number: int) -> None:
        while not self.over.is_set():
            try:
                async with WebSocketClient(self.server.target) as client:
                    await client.open()
                    self.pids.add((await client.read_frame()).text)
                    await self.talk(client, number)
            except (AssertionError, OSError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")

    async def talk(self, client: WebSocketClient, number: int) -> None:
        while True:
            said = f"{number} {self.echoes}"
            leaving = self.over.is_set()
            await client.send(closing(1000) if leaving else frame(TEXT, said.encode()))
            found = await client.read_frame()
            if found.opcode == CLOSE:
                code = int.from_bytes(found.payload[:2], "big")
                self.returns += code == 1012
                assert code == 1012 or (leaving and code == 1000)
                if not leaving:  # otherwise the two have crossed
                    await client.send(closing(code))
                assert await client.read_until_closed() == b""
                return
            assert found.text == said
            self.echoes += 1
            await asyncio.sleep(0.005)


async def test_reloads(serve: Serve, main: str) -> None:
    """Not one message is lost but those that cross the Close frame, and every end is a regular one."""
    server = serve("-w", "2", "--graceful-timeout", "3", main)
    talkers = Talkers(server)
    running = [asyncio.create_task(talkers.run(number)) for number in range(8)]
    for generation in (2, 3):
        await asyncio.sleep(0.2)
        server.signal(signal.SIGHUP)
        await wait_line(server, f"reload complete: gen={generation} ")
    for worker in (0, 1):
        await wait_line(server, rf"worker={worker} gen=1 pid=\d+ exited$")
    talkers.over.set()
    await asyncio.gather(*running)
    assert talkers.failures == [], server.output()
    assert talkers.returns >= 8
    assert talkers.echoes > 50
    assert len(talkers.pids) >= 2
    server.stop()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_stop(serve: Serve, main: str, loop: str) -> None:
    server = serve("--loop", loop, "--graceful-timeout", "3", main)
    async with WebSocketClient(server.target) as client:
        await client.open()
        pid = int((await client.read_frame()).text)
        server.signal(signal.SIGTERM)
        await wait_line(server, "draining$")
        assert await client.ask_text("still there") == "still there"
        assert await client.read_close() == (1012, "")
        await client.send(closing(1012))
        assert await client.read_until_closed() == b""
    await asyncio.to_thread(server.wait)
    assert pid != os.getpid()
    server.stop(0)


async def test_stop_with_a_client_that_does_not_answer(serve: Serve, main: str) -> None:
    """And an application that does not end: both have an end with the graceful time."""
    server = serve("--graceful-timeout", "1", main)
    async with WebSocketClient(server.target) as client:
        await client.open("/stubborn")
        await client.read_frame()
        server.signal(signal.SIGTERM)
        await wait_line(server, r"1 s are over, connections cut off: 1$")
        assert await client.read_close() == (1012, "")
        client.abandon()
    server.stop(0)


async def test_quick_stop(serve: Serve, main: str) -> None:
    server = serve(main)
    async with WebSocketClient(server.target) as client:
        await client.open()
        await client.read_frame()
        server.signal(signal.SIGINT)
        assert await client.read_end() == (1001, "")
    server.stop(0)


async def test_access_log(serve: Serve, main: str) -> None:
    """One line at the end, with the close code and the duration."""
    server = serve("--access-logfile", "-", "--access-logformat", "%(r)s %(s)s %(B)s %(w)s %(L)s", main)
    async with WebSocketClient(server.target) as client:
        await client.open("/chat?room=1")
        pid = (await client.read_frame()).text
        await asyncio.sleep(0.3)
        await client.send(closing(4321))
        await client.read_end()
    match = server.wait_line(r"^GET /chat\?room=1 HTTP/1\.1 101 (\d+) 4321 (\d+\.\d+)$", stream="stdout")
    assert int(match[1]) == 2 + len(pid) + 4
    assert float(match[2]) >= 0.3
    server.stop()
    assert sum("/chat" in line for line in server.lines("stdout")) == 1


async def test_off(serve: Serve, app_dir: Path) -> None:
    """With --ws none, and for WSGI, a request for a WebSocket is a request like others."""
    (app_dir / "main.py").write_text(
        "async def app(scope, receive, send):\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': scope['type'].encode()})\n"
    )
    (app_dir / "wsgi.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [environ['HTTP_UPGRADE'].encode()]\n"
    )
    for arguments, body in (
        (["--lifespan", "off", "--ws", "none", "main:app"], b"http"),
        (["wsgi:app"], b"websocket"),
    ):
        server = serve(*arguments)
        async with WebSocketClient(server.target) as client:
            response = await client.ask(handshake())
            assert (response.status, response.body) == (200, body)
        server.stop()


# -- what they hold ---------------------------------------------------------------------------


def open_many(server: ServerProcess, count: int) -> list[RawClient]:
    """Return that many open WebSockets."""
    clients = []
    for _ in range(count):
        client = RawClient(server.target)
        client.send(handshake())
        assert client.read_head().status == 101
        assert client.read_bytes(2)[0] == 0x81  # the message that everybody gets
        clients.append(client)
    return clients


def close_all(clients: list[RawClient]) -> None:
    for client in clients:
        client.reset()


@needs_proc
def test_memory(serve: Serve, main: str) -> None:
    """An idle one takes at most 12 KiB, and what has gone has left nothing behind."""
    server = serve(main)
    (pid,) = server.worker_pids()
    close_all(open_many(server, 300))
    first = open_many(server, 50)
    wait_for_rest(pid)
    before = resident(pid)
    clients = open_many(server, 600)
    assert (resident(pid) - before) / 600 < 12 * 1024
    close_all(clients)
    wait_for_rest(pid)
    for _ in range(3):
        close_all(open_many(server, 300))
    wait_for_rest(pid)
    assert resident(pid) - before < 600 * 8 * 1024
    close_all(first)
