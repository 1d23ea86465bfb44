"""Clients that are slow, silent or rude, each kind in a way of its own, for as long as they can be.

No bad client ever closes its connection, and most never cease to send or to wait: it is the server
that has to end them, all of them, in bounded time. `run` brings a crowd of them to a server.
"""

from __future__ import annotations

import asyncio
import re
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from tests.support.client import Target

PATIENCE = 25.0
"""Seconds within which the server must have ended every bad client; it should take a third of it."""

_KEPT = 1 << 16
_ENDLESS = 64 << 20
_FLOOD = 1 << 16
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(slots=True)
class Outcome:
    """What became of a bad client: the bytes that came first, how many came, and how it ended."""

    kind: str
    key: str
    data: bytes = b""
    size: int = 0
    end: Literal["open", "closed", "reset"] = "open"

    @property
    def statuses(self) -> str:
        """The statuses of the responses that came, one behind the other."""
        return " ".join(status.decode() for status in _STATUS.findall(self.data))


class BadClient:
    """One connection of a bad client.

    Arguments: `pace` is the time between two of its bytes, in seconds. `over` is set when all is
    over: clients that read nothing then look at what there is.
    """

    def __init__(self, kind: Kind, target: Target, *, pace: float, over: asyncio.Event) -> None:
        self.kind = kind
        self.key = uuid.uuid4().hex
        self.outcome = Outcome(kind.name, self.key)
        self._target = target
        self._pace = pace
        self._over = over
        self._answered = asyncio.Event()
        family = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        if kind.reads != "at once":  # or it would take the kernel megabytes to be full
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)

    async def connect(self) -> None:
        """Connect."""
        await asyncio.get_running_loop().sock_connect(self._socket, self._target)

    async def run(self) -> Outcome:
        """Misbehave until `over`; returns what came of it."""
        with self._socket:
            tasks = [asyncio.create_task(self._play())]
            if self.kind.reads != "nothing":
                tasks.append(asyncio.create_task(self._read()))
            try:
                await self._over.wait()
            finally:
                for task in tasks:
                    task.cancel()
                ends = await asyncio.gather(*tasks, return_exceptions=True)
            for end in ends:
                if isinstance(end, Exception):
                    raise end
            await self._read_rest()
        return self.outcome

    async def _play(self) -> None:
        try:
            await self.kind.script(self)
        except OSError:
            pass  # the server has ended it

    async def _read(self) -> None:
        step, pause = (1, self._pace) if self.kind.reads == "bytewise" else (1 << 18, 0)
        while self.outcome.end == "open":
            await self._receive(step)
            await asyncio.sleep(pause)

    async def _read_rest(self) -> None:
        """After the end of all things: what is not there at once is not on its way any more."""
        try:
            while self.outcome.end == "open" and self.outcome.size < _ENDLESS:
                await asyncio.wait_for(self._receive(1 << 18), 0.5)
        except TimeoutError:
            pass

    async def _receive(self, step: int) -> None:
        outcome = self.outcome
        try:
            data = await asyncio.get_running_loop().sock_recv(self._socket, step)
        except ConnectionError:
            outcome.end = "reset"
            return
        if not data:
            outcome.end = "closed"
        outcome.size += len(data)
        outcome.data += data[: max(0, _KEPT - len(outcome.data))]
        if b"\r\n\r\n" in outcome.data:
            self._answered.set()

    # -- for the scripts: what the server ends with an OSError ---------------------------------

    async def send(self, data: bytes) -> None:
        """Send `data`."""
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def drip(self, data: Iterable[bytes]) -> None:
        """Send piece by piece, slowly."""
        for piece in data:
            await self.send(piece)
            await asyncio.sleep(self._pace)

    async def flood(self, data: bytes) -> None:
        """Send `data` again and again: a megabyte as fast as the server takes it, then less, for ever."""
        data *= _FLOOD // len(data) + 1
        for number in count():
            await self.send(data)
            await asyncio.sleep(self._pace if number >= 16 else 0)

    async def answered(self) -> None:
        """Return when a response's head has come."""
        await self._answered.wait()

    def half_close(self) -> None:
        """Say that no more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)


Script = Callable[[BadClient], Awaitable[None]]
Reads = Literal["at once", "bytewise", "nothing"]
Interface = Literal["asgi", "wsgi"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to be bad.

    Arguments: `statuses` are those of the responses that the server gives it, one behind the
    other (alternatives with `|` between them). `whole`: the last of them arrives as a whole, and
    the connection ends without a reset. `told`: the applications that learn of the end, by an
    OSError or by `close` of their iterable (they note it as `closed-KEY`); a WSGI application is
    not called before there is enough of a body. `at_work`: a WSGI application is, until the end.
    """

    name: str
    script: Script
    statuses: str
    reads: Reads
    whole: bool
    told: tuple[Interface, ...]
    at_work: bool

    def __str__(self) -> str:
        return self.name


async def run(
    target: Target,
    kinds: Sequence[Kind],
    *,
    pace: float,
    ended: Callable[[], bool],
    arrived: Callable[[], Awaitable[object]],
) -> tuple[list[Outcome], bool]:
    """Have one bad client of each of `kinds` at a server, all at the same time.

    Returns what became of them, and whether the server has ended them all.

    Arguments: `pace` is the time between two bytes in seconds. `arrived` is awaited when all have
    connected; it returns when the server has accepted them. `ended` tells whether the server has
    ended them all.
    """
    over = asyncio.Event()
    clients = [BadClient(each, target, pace=pace, over=over) for each in kinds]
    running: list[asyncio.Task[Outcome]] = []
    try:
        for client in clients:
            await client.connect()
            running.append(asyncio.create_task(client.run()))
        await arrived()
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not (all_ended := ended()) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
    finally:
        over.set()
        outcomes = await asyncio.gather(*running)
    return outcomes, all_ended
