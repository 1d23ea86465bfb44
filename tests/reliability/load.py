"""Clients of every kind that go on asking while a server is reloaded, stopped or upgraded."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from tests.support.client import AsyncRawClient, Target, request
from tests.support.process import ServerProcess

INTERVAL = 0.01
"""Seconds between two new connections, whether or not the ones before have been answered."""

KEEP_ALIVE_CLIENTS = 8
SLOW_CLIENTS = 4
"""Of each kind: those that upload in pieces, and those to whom a response is streamed."""

PIECES = 10
PIECE = b"x" * 20_000
PAUSE = 0.02
"""Seconds between two pieces of an upload; the application makes as long ones in a stream."""


@dataclass
class Load:
    """The clients, and how they fared."""

    target: Target
    answers: Counter[str] = field(default_factory=Counter)
    """How often each version of the application has answered."""
    kinds: Counter[str] = field(default_factory=Counter)
    """How many answers each kind of client has got."""
    failures: list[str] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    """The client's port of each connection (TCP) that has failed; 0 for one that was never made."""
    longest: float = 0.0
    """Seconds of the slowest answer to a new connection, for who wants to know."""
    interval: float = INTERVAL
    _port: ContextVar[int] = field(default_factory=lambda: ContextVar("port"))

    async def run(self, over: asyncio.Event) -> None:
        """Ask until `over`, and wait for every answer."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(KEEP_ALIVE_CLIENTS):
                tasks.create_task(self._again_and_again("a kept connection", self._keep_asking, over))
            for _ in range(SLOW_CLIENTS):
                tasks.create_task(self._again_and_again("an upload", self._upload, over))
                tasks.create_task(self._again_and_again("a streamed response", self._stream, over))
            begin, sent = time.monotonic(), 0
            while not over.is_set():
                tasks.create_task(self._watched("a new connection", self._ask_once, over))
                sent += 1
                await asyncio.sleep(begin + sent * self.interval - time.monotonic())

    async def _again_and_again(
        self, kind: str, work: Callable[[asyncio.Event], Awaitable[None]], over: asyncio.Event
    ) -> None:
        while not over.is_set():
            await self._watched(kind, work, over)

    async def _watched(
        self, kind: str, work: Callable[[asyncio.Event], Awaitable[None]], over: asyncio.Event
    ) -> None:
        """Take note of failures, and go on."""
        begin = time.monotonic()
        self._port.set(0)
        try:
            await work(over)
            self.kinds[kind] += 1
        except (OSError, AssertionError) as error:
            self.failures.append(f"{kind}: {error!r}")
            self.failed.append(self._port.get())
        if kind == "a new connection":
            self.longest = max(self.longest, time.monotonic() - begin)

    async def _ask_once(self, _: asyncio.Event) -> None:
        async with self._connected() as client:
            response = await client.ask(request(headers=[("Connection", "close")]))
            self._note(response.status, response.text)
            assert await client.read_until_closed() == b""

    async def _keep_asking(self, over: asyncio.Event) -> None:
        async with self._connected() as client:
            close = False
            while not close and not over.is_set():
                response = await client.ask(request())
                self._note(response.status, response.text)
                close = "close" in response.connection
                await asyncio.sleep(0.002)

    async def _upload(self, _: asyncio.Event) -> None:
        async with self._connected() as client:
            headers = [("Content-Length", str(PIECES * len(PIECE))), ("Connection", "close")]
            await client.send(request("POST", "/length", headers))
            for _piece in range(PIECES):
                await client.send(PIECE)
                await asyncio.sleep(PAUSE)
            response = await client.read("POST")
            version, _space, length = response.text.partition(" ")
            assert length == str(PIECES * len(PIECE)), response.text
            self._note(response.status, version)
            assert await client.read_until_closed() == b""

    async def _stream(self, _: asyncio.Event) -> None:
        async with self._connected() as client:
            response = await client.ask(request(target="/stream", headers=[("Connection", "close")]))
            versions = response.text.split()
            assert len(versions) == PIECES and len(set(versions)) == 1, response.text
            self._note(response.status, versions[0])
            assert await client.read_until_closed() == b""

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncRawClient]:
        async with AsyncRawClient(self.target) as client:
            if not isinstance(self.target, str):
                self._port.set(client.socket.getsockname()[1])
            yield client

    def _note(self, status: int, text: str) -> None:
        assert status == 200, f"{status} {text}"
        self.answers[text] += 1


async def wait_line(server: ServerProcess, pattern: str) -> None:
    """Wait for a line while clients are at work."""
    await asyncio.to_thread(server.wait_line, pattern)


async def reload_under_load(
    server: ServerProcess, versions: Sequence[str], write: Callable[[str], None]
) -> Load:
    """Reload the server, which serves the first version, to each of the others, and ask it all the time.

    Arguments: `write` writes a version.
    """
    load = Load(server.target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    for generation, version in enumerate(versions[1:], 2):
        await asyncio.sleep(0.2)
        write(version)
        server.signal(signal.SIGHUP)
        await wait_line(server, f"reload complete: gen={generation} ")
    await asyncio.sleep(0.2)
    over.set()
    await running
    assert load.failures == [], f"{len(load.failures)} of {load.answers.total()}\n{server.output()}"
    assert set(load.answers) == set(versions)
    assert len(load.kinds) == 4, load.kinds
    return load
