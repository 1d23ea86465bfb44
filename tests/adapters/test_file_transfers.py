"""Files on their way: files that change, clients that are slow or go, disks that are slow."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aserve.protocols import filebody
from aserve.protocols.errors import ClientDisconnectedError, ResponseError
from tests.support.client import TIMEOUT, request
from tests.support.inprocess import Message, Receive, Scope, Send, serving
from tests.support.loops import every_loop
from tests.support.messages import body, content, filesend, pathsend, sending, start
from tests.support.wire import IncompleteResponseError

LARGE = 5_000_011
HUGE = 32 << 20
"""More than the sockets between the two hold."""

# -- files that change ------------------------------------------------------------------------


@every_loop
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_file_that_shrinks(make_file: Callable[[int], Path], framing: str) -> None:
    """It is never taken for complete: a short body, an open chunk, or on 1.0 a reset."""
    path = make_file(HUGE)
    version = "1.0" if framing == "close" else "1.1"
    with path.open("rb") as file:
        first: list[Message] = [] if framing == "length" else [body(b"", more=True)]
        app = sending(start(), *first, filesend(file, offset=0))
        async with serving(app) as served, served.client(receive_buffer=1 << 16) as client:
            await client.send(request(version=version))
            await client.read_head()
            os.truncate(path, HUGE // 2)
            with pytest.raises((AssertionError, IncompleteResponseError), match="closed|reset"):
                await client.read_bytes(HUGE)
            assert client.incoming.end == ("reset" if framing == "close" else client.incoming.end)
            assert len(client.incoming.data) <= HUGE // 2 + 20
            assert not client.incoming.data.endswith(b"0\r\n\r\n")
            client.incoming.data.clear()
            error = await served.error()
            assert isinstance(error, ResponseError)
            assert "ends" in str(error)


@every_loop
async def test_file_that_grows(make_file: Callable[[int], Path]) -> None:
    """What comes later is not part of the response."""
    path = make_file(HUGE)
    app = sending(start(), pathsend(path))
    async with serving(app) as served, served.client(receive_buffer=1 << 16) as client:
        await client.send(request())
        head = await client.read_head()
        assert head.header("content-length") == str(HUGE)
        with path.open("ab") as file:
            file.write(b"more" * 1000)
        assert await client.read_bytes(HUGE) == content(HUGE)
        await client.send(request())
        assert (await client.read_head()).header("content-length") == str(HUGE + 4000)
        client.reset()
        client.incoming.data.clear()


# -- clients that are slow, or go -------------------------------------------------------------


@every_loop
async def test_slow_reader(make_file: Callable[[int], Path]) -> None:
    """The application waits, others are served, and nothing is lost."""
    path = make_file(HUGE)
    sent: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(pathsend(path if scope["path"] == "/huge" else path.parent / "file-7"))
        sent.append(scope["path"])

    make_file(7)
    async with serving(app) as served, served.client(receive_buffer=1 << 16) as slow:
        await slow.send(request(target="/huge"))
        await slow.read_head()
        async with served.client() as other:
            for _ in range(100):
                assert (await other.ask(request())).body == content(7)
        assert "/huge" not in sent
        assert await slow.read_bytes(HUGE) == content(HUGE)
        await slow.send(request())
        assert (await slow.read()).body == content(7)
    assert served.errors == []


@every_loop
async def test_what_was_written_before_leaves_first(make_file: Callable[[int], Path]) -> None:
    """The transport still holds some of it when the file's turn comes."""
    path = make_file(HUGE)
    pieces = 0
    full = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal pieces
        [connection] = served.group.connections
        await send(start())
        while not connection.transport.get_write_buffer_size():
            await send(body(b"%05d" % pieces * 4000, more=True))
            pieces += 1
        # Now there is room again, and the transport does not know it yet.
        with contextlib.suppress(BlockingIOError):
            while True:
                client.incoming.data += client.socket.recv(1 << 20)
        full.set()
        with path.open("rb") as file:
            await send(filesend(file, offset=0))

    async with serving(app) as served, served.client(receive_buffer=1 << 16) as client:
        await client.send(request())
        await asyncio.wait_for(full.wait(), TIMEOUT)
        response = await client.read()
        before = b"".join(b"%05d" % number * 4000 for number in range(pieces))
        assert response.body == before + content(HUGE)


@every_loop
async def test_others_have_their_turn(
    make_file: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while a client takes everything at once."""
    path = make_file(HUGE)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal turns
        counting = asyncio.create_task(count())
        await send(start())
        await send(body(more=True))
        turns = 0
        with path.open("rb") as file:
            await send(filesend(file, offset=0))
        counting.cancel()

    async with serving(app) as served, served.client() as client:
        monkeypatch.setattr(os, "sendfile", lambda out, file, offset, count: count)
        await client.send(request())
        await client.read_head()
        await served.left(0)
        assert served.errors == []
        assert HUGE // filebody.TURN - 1 <= turns <= 2 * HUGE // filebody.TURN
        client.incoming.data.clear()
        client.reset()


@every_loop
@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
async def test_client_goes(make_file: Callable[[int], Path], how: str) -> None:
    """OSError for the application, no descriptor left behind (`serving` looks)."""
    app = sending(start(), pathsend(make_file(HUGE)))
    async with serving(app) as served, served.client(receive_buffer=1 << 16) as client:
        await client.send(request())
        await client.read_head()
        await client.read_bytes(100_000)
        getattr(client, how)()
        if how == "half_close":  # it still reads, so it gets the rest
            assert len(await client.read_until_closed()) == HUGE - 100_000
        client.incoming.data.clear()
        if how == "half_close":
            await served.left(0)
            assert served.errors == []
        else:
            assert isinstance(await served.error(), ClientDisconnectedError)


@every_loop
async def test_client_is_told_of_while_a_file_is_sent(make_file: Callable[[int], Path]) -> None:
    """`receive` in another task tells of the disconnect, and `send` ends at once."""
    path = make_file(HUGE)
    received: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            while (message := await receive())["type"] != "http.disconnect":
                pass
            received.append(message["type"])

        listener = asyncio.create_task(listen())
        try:
            await send(start())
            await send(pathsend(path))
        finally:
            await listener

    async with serving(app) as served, served.client(receive_buffer=1 << 16) as client:
        await client.send(request())
        await client.read_head()
        client.incoming.data.clear()
        client.close()
        assert isinstance(await served.error(), ClientDisconnectedError)
    assert received == ["http.disconnect"]


@every_loop
async def test_write_timeout(make_file: Callable[[int], Path]) -> None:
    """A client that reads nothing is given up; one that reads slowly is not."""
    app = sending(start(), pathsend(make_file(HUGE)))
    async with serving(app, write_timeout=0.4) as served, served.client(receive_buffer=1 << 16) as client:
        await client.send(request())
        head = await client.read_head()
        assert head.status == 200
        for _ in range(8):
            await client.read_bytes(HUGE // 16)
            await asyncio.sleep(0.1)
        assert served.errors == []
        assert isinstance(await served.error(), ClientDisconnectedError)
        client.incoming.data.clear()


@every_loop
async def test_graceful_time_is_over(make_file: Callable[[int], Path]) -> None:
    app = sending(start(), pathsend(make_file(HUGE)))
    async with serving(app) as served, served.client(receive_buffer=1 << 16) as client:
        await client.send(request())
        await client.read_head()
        served.group.abort()
        async with asyncio.timeout(TIMEOUT):
            await served.group.wait_closed()
        assert len(served.errors) == 1
        client.incoming.data.clear()


@every_loop
async def test_drain_waits_for_the_file(make_file: Callable[[int], Path]) -> None:
    app = sending(start(), pathsend(make_file(HUGE)))
    async with serving(app) as served:
        async with served.client(receive_buffer=1 << 16) as client:
            await client.send(request())
            await client.read_head()
            served.group.drain()
            assert await client.read_bytes(HUGE) == content(HUGE)
        async with asyncio.timeout(TIMEOUT):
            await served.group.wait_closed()
    assert served.errors == []


@every_loop
async def test_application_that_gives_up(make_file: Callable[[int], Path]) -> None:
    """A `send` that was cancelled has left half a body: nothing more can be sent."""
    path = make_file(HUGE)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await send(pathsend(path))
        await send(body(b"x"))

    async with serving(app) as served, served.client(receive_buffer=1 << 16) as client:
        await client.send(request())
        assert (await client.read_head()).status == 200
        assert isinstance(await served.error(), ClientDisconnectedError)
        with pytest.raises(AssertionError, match="closed|reset"):
            await client.read_bytes(HUGE)
        client.incoming.data.clear()


# -- where the system does not help -----------------------------------------------------------


@every_loop
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("after", [0, 3], ids=["at once", "midway"])
async def test_without_sendfile(
    make_file: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, number: int, after: int
) -> None:
    """It is read and written instead, from where it was."""
    calls = 0
    sendfile = os.sendfile

    def refusing(*arguments: int) -> int:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(number, os.strerror(number))
        return sendfile(*arguments)

    monkeypatch.setattr(os, "sendfile", refusing)
    with make_file(LARGE).open("rb") as file:
        app = sending(start(), filesend(file, offset=1, more_body=True), body(b"end"))
        async with serving(app) as served, served.client() as client:
            assert (await client.ask(request())).body == content(LARGE)[1:] + b"end"
            assert calls == after + 1
            calls = 0
            assert (await client.ask(request())).body == content(LARGE)[1:] + b"end"


@every_loop
async def test_reading_that_fails(make_file: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken disk: the application hears of it, the client sees that something is missing."""

    def failing(*arguments: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "sendfile", failing)
    path = make_file(LARGE)
    async with serving(sending(start(), pathsend(path))) as served, served.client() as client:
        monkeypatch.setattr(os, "pread", failing)
        await client.send(request())
        with pytest.raises(IncompleteResponseError):
            await client.read()
        error = await served.error()
        assert isinstance(error, ResponseError)
        assert os.strerror(errno.EIO) in str(error)


@every_loop
@pytest.mark.parametrize("call", ["sendfile", "pread", "open"])
async def test_slow_disk(
    make_file: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The loop serves others while a thread waits."""
    go = threading.Event()
    real = getattr(os, call)
    loops_thread = threading.get_ident()

    def waiting(*arguments: Any) -> Any:
        if threading.get_ident() != loops_thread:
            go.wait(TIMEOUT)
        return real(*arguments)

    slow, quick = make_file(LARGE), make_file(7)
    with quick.open("rb") as file:

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await send(pathsend(slow) if scope["path"] == "/slow" else body(file.name.encode()))

        async with serving(app) as served, served.client() as client, served.client() as other:
            cold(monkeypatch)
            if call == "pread":
                without_sendfile(monkeypatch)
            monkeypatch.setattr(os, call, waiting)
            await client.send(request(target="/slow"))
            for _ in range(10):
                assert (await other.ask(request())).text == str(quick)
            go.set()
            assert (await client.read()).body == content(LARGE)


@every_loop
@pytest.mark.parametrize("call", ["sendfile", "pread", "open"])
async def test_client_goes_while_the_disk_is_slow(
    make_file: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The application is not kept; descriptors are closed when the thread is done (`serving` looks)."""
    entered, go = threading.Event(), threading.Event()
    real = getattr(os, call)

    def waiting(*arguments: Any) -> Any:
        entered.set()
        go.wait(TIMEOUT)
        return real(*arguments)

    path = make_file(LARGE)
    async with serving(sending(start(), pathsend(path))) as served, served.client() as client:
        cold(monkeypatch)
        if call == "pread":
            without_sendfile(monkeypatch)
        monkeypatch.setattr(filebody if hasattr(filebody, call) else os, call, waiting)
        await client.send(request())
        async with asyncio.timeout(TIMEOUT):
            while not entered.is_set():
                await asyncio.sleep(0.001)
        served.group.abort()
        async with asyncio.timeout(TIMEOUT):
            await served.group.wait_closed()
        assert not go.is_set()
        go.set()
        client.incoming.data.clear()
    monkeypatch.undo()


@every_loop
async def test_connection_lost_while_a_thread_finds_no_room(
    make_file: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would tell of room in a socket that is kept open by the duplicate alone."""
    path = make_file(LARGE)
    async with serving(sending(start(), pathsend(path))) as served, served.client() as client:
        loop = asyncio.get_running_loop()
        lost = threading.Event()

        def losing(*arguments: int) -> int:
            [connection] = served.group.connections
            loop.call_soon_threadsafe(connection.transport.abort)
            loop.call_soon_threadsafe(lambda: loop.call_later(0.05, lost.set))
            lost.wait(TIMEOUT)
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

        cold(monkeypatch)
        monkeypatch.setattr(os, "sendfile", losing)
        await client.send(request())
        assert isinstance(await served.error(), ClientDisconnectedError)
        client.incoming.data.clear()


def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of any file is in the system's cache."""
    monkeypatch.setattr(filebody.FileTransfer, "_is_in_memory", lambda self, size: False)


def without_sendfile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no sendfile for these."""

    def refusing(*arguments: int) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "sendfile", refusing)
