"""WSGI applications on the loop's own thread (-k sync): one at a time, and nobody waits for a slow client."""

from __future__ import annotations

import asyncio
import contextvars
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aserve.adapters import inline, make_adapter, make_runner
from aserve.adapters.inline import InlineRunner
from aserve.adapters.runner import RunnerOptions
from aserve.protocols.group import ConnectionGroup
from aserve.protocols.http1 import Http1Connection
from aserve.protocols.options import ConnectionOptions
from aserve.protocols.states import checked
from tests.support.client import AsyncRawClient, RawClient, Target, request
from tests.support.listening import listening
from tests.support.wire import IncompleteResponseError

PIECE = b"x" * 65536
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Served:
    """Where the server is, and its insides."""

    def __init__(self, target: Target, group: ConnectionGroup, runner: InlineRunner) -> None:
        self.target, self.group, self.runner = target, group, runner

    def client(self, receive_buffer: int | None = None) -> AsyncRawClient:
        return AsyncRawClient(self.target, receive_buffer=receive_buffer)

    async def ask(self, path: str, **options: Any) -> Any:
        async with self.client() as client:
            return await client.ask(request("POST" if "body" in options else "GET", path, **options))

    async def left(self) -> None:
        """Return when no request is at work."""
        await until(lambda: not self.group.running)
        assert not self.runner.busy


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(app: Any, *, queue_limit: int = 0, **options: Any) -> AsyncIterator[Served]:
    loop = asyncio.get_running_loop()
    runner = make_runner("sync", loop, RunnerOptions(queue_limit=queue_limit))
    assert isinstance(runner, InlineRunner)
    adapter = make_adapter(app, "wsgi", loop=loop, runner=runner)
    group = ConnectionGroup(
        checked(adapter.exchange_factory),  # type: ignore[arg-type]
        loop=loop,
        options=ConnectionOptions(**options),
        connection_class=checked(Http1Connection),
    )
    async with listening(adapter, group) as address:
        before = len(os.listdir("/dev/fd"))
        yield Served(address, group, runner)
        await until(lambda: not group.connections)
        assert len(os.listdir("/dev/fd")) == before


class Pieces:
    """An iterable that notes how far it has come."""

    def __init__(self, count: int, piece: bytes = PIECE) -> None:
        self.left, self.piece, self.given, self.closed = count, piece, 0, 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        self.left -= 1
        self.given += 1
        return self.piece

    def close(self) -> None:
        self.closed += 1


async def test_there_is_no_running_loop_in_a_call() -> None:
    """Frameworks refuse synchronous work beside one (Django's ORM), and asyncio.run() does so itself."""

    async def answer() -> bytes:
        await asyncio.sleep(0)
        return b"ran"

    def app(environ: Any, start_response: Any) -> Any:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        start_response("200 OK", [])
        yield asyncio.run(answer())
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        yield asyncio.run(answer())

    async with serving(app) as served:
        assert (await served.ask("/")).body == b"ranran"
        assert asyncio.get_running_loop() is served.group.loop


async def test_every_request_has_a_context_of_its_own() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        before = variable.get()
        variable.set(environ["PATH_INFO"])
        start_response("200 OK", [])
        if environ["QUERY_STRING"]:
            return (each.encode() for each in (before, variable.get()))
        return [before.encode(), variable.get().encode()]

    async with serving(app) as served, served.client() as client:
        variable.set("outside")
        for path in ("/one", "/two", "/three?x", "/four?x"):
            wanted = "unset" + path.partition("?")[0]
            assert (await client.ask(request(target=path))).text == wanted
        assert variable.get() == "outside"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("where", ["/call", "/piece", "/later", "/close"])
async def test_no_exception_ends_the_loop(
    error: type[BaseException], where: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Result:
        def __iter__(self) -> Iterator[bytes]:
            if where == "/piece":
                raise error("deliberate")
            yield b"a"
            if where == "/later":
                raise error("deliberate")

        def close(self) -> None:
            if where == "/close":
                raise error("deliberate")

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "1")])
        if environ["PATH_INFO"] == "/good":
            return [b"g"]
        if where == "/call":
            raise error("deliberate")
        return Result()

    async with serving(app) as served:
        async with served.client() as client:
            await client.send(request(target=where))
            complete = where in ("/later", "/close")  # before it happens
            assert (await client.read()).status == (200 if complete else 500)
        assert (await served.ask("/good")).body == b"g"
        await served.left()
    assert [record.getMessage() for record in caplog.records] == [
        f"exception in the application: GET {where}"
    ]


async def test_one_at_a_time() -> None:
    """Between the pieces of a response nobody else has a turn, as long as its client takes them."""
    notes: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        name = environ["PATH_INFO"]
        start_response("200 OK", [])

        def pieces() -> Iterator[bytes]:
            for _ in range(20):
                notes.append(name)
                yield b"x"

        return pieces()

    async with serving(app) as served:
        await asyncio.gather(*(served.ask(f"/{number}") for number in range(8)))
    assert len(notes) == 160
    assert [notes[i : i + 20] for i in range(0, 160, 20)] == [[name] * 20 for name in dict.fromkeys(notes)]


async def test_a_slow_reader_stops_nobody() -> None:
    """Its pieces are asked for as it takes them, and it gets all of them in the end."""
    slow = Pieces(400)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return slow if environ["PATH_INFO"] == "/slow" else [b"quick"]

    async with serving(app) as served, served.client(receive_buffer=4096) as reader:
        await reader.send(request(target="/slow"))
        await until(lambda: slow.given > 1)
        for _ in range(50):
            assert (await served.ask("/")).body == b"quick"
        given = slow.given
        assert given < 200, "nobody takes that much"
        response = await reader.read()
        assert len(response.body) == 400 * len(PIECE)
        assert (slow.closed, slow.given) == (1, 400)
        await served.left()


async def test_the_iterable_is_closed_when_the_client_goes() -> None:
    slow = Pieces(1 << 30)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return slow

    async with serving(app) as served:
        async with served.client(receive_buffer=4096) as reader:
            await reader.send(request())
            await until(lambda: slow.given > 1)
        await until(lambda: slow.closed > 0)
        await served.left()
    assert slow.closed == 1


async def test_whose_client_has_gone_in_line_is_not_called() -> None:
    """And who comes when the line is full is told so."""
    slow = Pieces(1 << 30, b"x")
    calls: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        calls.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return slow if environ["PATH_INFO"] == "/slow" else [b"quick"]

    async with serving(app, queue_limit=1) as served:
        async with served.client() as reader:
            await reader.send(request(target="/slow"))
            reading = asyncio.create_task(reader.read())
            await until(lambda: slow.given > 1)
            gone = served.client()
            async with gone:
                await gone.send(request(target="/gone"))
                await until(lambda: len(served.group.running) == 2)
                declined = await served.ask("/")
                assert (declined.status, declined.header("retry-after")) == (503, "1")
                gone.reset()
            await until(lambda: len(served.group.connections) == 1)
            slow.left = 0
            assert (await reading).status == 200
        assert (await served.ask("/")).body == b"quick"
        await served.left()
    assert calls == ["/slow", "/"]


@pytest.mark.parametrize("size", [2_000, 65_536, 300_000])
async def test_the_body_is_complete_before_the_call(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow it comes, nobody waits for it; what is large is kept in a file, which goes afterwards."""
    files: list[Any] = []
    make = tempfile.TemporaryFile

    def noting(**given: Any) -> Any:
        files.append(make(**given))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", noting)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        stream = environ["wsgi.input"]
        return [stream.read(3), stream.readline(4), stream.readline(), *stream.readlines(), stream.read()]

    body = (b"a line\n" * (size // 7 + 1))[:size]
    async with serving(app) as served:
        async with served.client() as client:
            data = request("POST", "/", body=body)
            for part in (data[: len(data) // 2], data[len(data) // 2 : -1]):
                await client.send(part)
                await until(lambda: len(served.group.running) == 1)
                assert (await served.ask("/other", body=b"other\n")).body == b"other\n"
            assert (await client.ask(data[-1:])).body == body
        await served.left()
    assert len(files) == (size > 65_536)
    assert all(file.closed for file in files)


async def test_a_body_that_cannot_be_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(**given: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    async with serving(lambda environ, start_response: []) as served:
        async with served.client() as client:
            data = request("POST", "/", body=bytes(100_000))
            await client.send(data[:100])
            await until(lambda: len(served.group.running) == 1)
            assert (await client.ask(data[100:])).status == 500
        await served.left()
    assert "a request's body cannot be kept: [Errno 28] No space left on device" in caplog.text


async def test_an_upload_that_breaks_off() -> None:
    async with serving(lambda environ, start_response: []) as served:
        async with served.client() as client:
            await client.send(request("POST", "/", body=bytes(200_000))[:150_000])
            await until(lambda: len(served.group.running) == 1)
        await served.left()


async def test_write() -> None:
    """What it gets comes before what is returned; it has nothing to wait at."""

    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        for _ in range(100):
            write(PIECE)
        return [b"end"]

    async with serving(app) as served:
        assert (await served.ask("/")).body == 100 * PIECE + b"end"


async def test_another_head_after_write_comes_too_late(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])(b"")
        try:
            raise ValueError("deliberate")
        except ValueError as error:
            start_response("500 Sorry", [], (ValueError, error, error.__traceback__))
        return [b"end"]

    async with serving(app) as served:
        with pytest.raises(IncompleteResponseError):
            await served.ask("/")
    assert "deliberate" in caplog.text


async def test_request_timeout_between_two_pieces() -> None:
    """A call cannot be broken into, but what is still to come is not asked for."""
    slow = Pieces(1 << 30)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return slow

    async with serving(app, request_timeout=0.2) as served:
        async with served.client(receive_buffer=4096) as reader:
            await reader.send(request())
            await until(lambda: slow.closed > 0)
        await served.left()


async def test_who_holds_all_others_is_known() -> None:
    """The heartbeat stands still for a response without an end, unless it waits for its client."""
    endless = Pieces(1 << 30, b"x")

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return endless

    async with serving(app) as served:
        assert served.runner.since > served.group.loop.time()
        async with served.client() as reader:
            await reader.send(request())
            await until(lambda: endless.given > 100)
            since = served.runner.since
            await until(lambda: endless.given > 200)
            assert served.runner.since == since < served.group.loop.time()
        await served.left()
        assert served.runner.since > served.group.loop.time()


async def test_environ() -> None:
    seen: dict[str, Any] = {}

    def app(environ: Any, start_response: Any) -> Any:
        seen.update(environ)
        start_response("200 OK", [])
        return ()

    async with serving(app) as served:
        assert (await served.ask("/")).body == b""
    assert seen["wsgi.multithread"] is False


@pytest.mark.parametrize("length", [True, False])
async def test_iterables_of_one_piece_share_a_turn(length: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of frameworks mostly are: responses leave together, as lists of bytes do."""
    monkeypatch.setattr(inline, "monotonic", lambda: 100.0)  # a turn lasts for a millisecond

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "1")])
        return map(bytes, [b"x"]) if length else Alone()

    async with serving(app) as served, served.client() as one, served.client() as other:
        for client in (one, other):
            await client.ask(request())
        for connection in list(served.group.connections):
            assert isinstance(connection, Http1Connection)
            connection.data_received(request())
        await asyncio.sleep(0)
        assert served.group.requests == 4
        for client in (one, other):
            assert (await client.read()).body == b"x"


class Alone:
    """An iterable of one piece that says so."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"x"])


async def test_the_end_of_a_lone_response_does_not_wait_for_close() -> None:
    """It has its length, and nobody else in that turn has anything to send."""
    answered = threading.Event()

    class Patient(Pieces):
        def close(self) -> None:
            super().close()
            if not answered.wait(10):
                self.closed = 100

    result = Patient(1, b"x")

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "1")])
        return result

    def ask(target: Target) -> bytes:
        with RawClient(target) as client:
            body: bytes = client.ask(request()).body
        answered.set()
        return body

    async with serving(app) as served:
        assert await asyncio.to_thread(ask, served.target) == b"x"
        await served.left()
    assert result.closed == 1
