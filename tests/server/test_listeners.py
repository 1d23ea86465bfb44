"""Taking connections and ceasing to, without losing one (server/listeners.py)."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, cast

import pytest

from aserve import loops
from aserve.listeners import Listeners, Take
from aserve.sharedpage import SharedPage

Run: TypeAlias = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run a coroutine on each of the loops."""
    loop = loops.new_loop(request.param)
    yield lambda main: loop.run_until_complete(main())
    loop.close()


def served_by(protocol: Callable[[], asyncio.Protocol]) -> Take:
    """Have each connection served by a protocol of its own."""
    return lambda sock: asyncio.get_running_loop().connect_accepted_socket(protocol, sock)


class Greeter(asyncio.Protocol):
    """Greets everybody once, and counts."""

    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Greeter.made += 1
        connection = cast(asyncio.Transport, transport)  # uvloop's are none by their type
        connection.write(b"hello")
        connection.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A listening socket, with the supervisor's copy in the place of the second process."""
    Greeter.made = 0
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


def connect(sock: socket.socket) -> socket.socket:
    client = socket.create_connection(sock.getsockname(), timeout=10)
    client.settimeout(10)
    return client


def read(client: socket.socket) -> bytes:
    with client:
        data = b""
        while part := client.recv(100):
            data += part
        return data


def test_what_waits_is_taken_before_the_end(run: Run, listening: socket.socket) -> None:
    copy = listening.dup()
    copy.setblocking(False)
    clients: list[socket.socket] = []

    async def main() -> None:
        listeners = Listeners([copy], SharedPage(1).take())
        listeners.open(served_by(Greeter), ())
        # All of them are in the kernel's queue when the loop gets to see the first one.
        clients.extend(connect(listening) for _ in range(20))
        await listeners.close(empty=[0])
        assert listeners.filenos() == [-1]
        await asyncio.sleep(0.05)

    run(main)
    assert Greeter.made == 20
    assert [read(client) for client in clients] == [b"hello"] * 20


def test_what_is_not_taken_stays_for_the_others(run: Run, listening: socket.socket) -> None:
    copy = listening.dup()
    copy.setblocking(False)

    async def main() -> None:
        listeners = Listeners([copy], SharedPage(1).take())
        listeners.open(served_by(Greeter), ())
        await listeners.close(empty=())
        with connect(listening):
            await asyncio.sleep(0.05)

    run(main)
    assert Greeter.made == 0
    taken, _ = listening.accept()
    taken.close()


def test_an_accepted_connection_gets_its_protocol_whenever_the_end_comes(
    run: Run, listening: socket.socket
) -> None:
    """Between accepting and connection_made() there are turns of the loop."""
    for turns in range(6):
        copy = listening.dup()
        copy.setblocking(False)
        clients: list[socket.socket] = []
        Greeter.made = 0

        async def main(copy: socket.socket = copy, turns: int = turns) -> None:
            listeners = Listeners([copy], SharedPage(1).take())
            listeners.open(served_by(Greeter), ())
            clients.extend(connect(listening) for _ in range(5))  # noqa: B023
            for _ in range(turns):
                await asyncio.sleep(0)
            await listeners.close(empty=())
            made = Greeter.made
            await asyncio.sleep(0.05)
            assert Greeter.made == made, "connection_made() came after close()"

        run(main)
        for _ in range(5 - Greeter.made):  # left for the others
            taken, _address = listening.accept()
            taken.sendall(b"hello")
            taken.close()
        assert [read(client) for client in clients] == [b"hello"] * 5


class Keeper(asyncio.Protocol):
    """Keeps its connection until the test closes it."""

    listeners: Listeners
    open: ClassVar[set[Keeper]] = set()
    seen: str

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.seen = current.get()
        self.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.open.discard(self)
        self.listeners.has_ended()


current = contextvars.ContextVar("current", default="nothing")


def test_at_the_limit_they_wait_until_one_has_ended(run: Run, listening: socket.socket) -> None:
    copy = listening.dup()
    copy.setblocking(False)

    async def settled(count: int) -> None:
        deadline = time.monotonic() + 10
        while len(Keeper.open) != count:
            assert len(Keeper.open) < count, "more than the limit"
            assert time.monotonic() < deadline
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(Keeper.open) == count

    async def main() -> None:
        Keeper.listeners = listeners = Listeners([copy], SharedPage(1).take(), 3)
        listeners.open(served_by(Keeper), Keeper.open)
        with contextlib.ExitStack() as clients:
            for _ in range(6):
                clients.enter_context(connect(listening))
            await settled(3)
            # What a connection does at its end, in the context of its last request perhaps.
            context = contextvars.copy_context()
            context.run(current.set, "a request's")
            gone = next(iter(Keeper.open))
            context.run(gone.connection_lost, None)
            await settled(3)
            assert {keeper.seen for keeper in Keeper.open} == {"nothing"}
            await listeners.close(empty=[0])
            assert len(Keeper.open) == 5, "at a stop there is no limit"
            for keeper in (gone, *Keeper.open):
                keeper.transport.close()
            await asyncio.sleep(0.05)

    run(main)


def test_a_unix_sockets_file_stays(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        copy = sock.dup()
        copy.setblocking(False)

        async def main() -> None:
            listeners = Listeners([copy], SharedPage(1).take())
            listeners.open(served_by(Greeter), ())
            await listeners.close(empty=[0])

        run(main)
        assert path.exists()
