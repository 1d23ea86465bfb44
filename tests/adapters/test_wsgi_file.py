"""`wsgi.file_wrapper` (PEP 3333, Optional Platform-Specific File Handling)."""

from __future__ import annotations

import bz2
import contextlib
import contextvars
import gzip
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse

import pytest

from aserve.adapters.wsgi_file import FileWrapper
from tests.support.client import request
from tests.support.inprocess_wsgi import Application, Environ, ServedWsgi, serving_wsgi, until
from tests.support.messages import content

# Below the first a file leaves together with its head; the second fits into no buffer on the way.
SIZES = [0, 1, 65536, 65537, 1_000_003]
LARGE = 8 << 20

MakeFile = Callable[[int], Path]


class Noted:
    """A file that notes how it is closed; not one of Python's own, and yet read by its descriptor."""

    def __init__(self, path: Path, closed: list[Any]) -> None:
        self.file = path.open("rb")
        self.read, self.fileno, self.tell = self.file.read, self.file.fileno, self.file.tell
        self.closed = closed

    def close(self) -> None:
        self.file.close()
        self.closed.append((threading.get_ident(), variable.get()))


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def returning(make: Callable[[], Any], *fields: tuple[str, str], block: int = 8192) -> Application:
    """An application that returns what `make()` opens."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/next":
            start_response("200 OK", [])
            return [b"next"]
        start_response("200 OK", list(fields))
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](make(), block)
        return wrapped

    return app


async def then_next(served: ServedWsgi, method: str = "GET") -> Any:
    """The response to a request, on a connection that then serves another one."""
    async with served.client() as client:
        response = await client.ask(request(method), method)
        assert (await client.ask(request(target="/next"))).text == "next"
        return response


@pytest.mark.parametrize("size", SIZES)
async def test_whole_file(make_file: MakeFile, size: int) -> None:
    """The server knows the length. The file is closed, once, where it was opened, when it has been sent."""
    closed: list[Any] = []
    opened: list[Any] = []
    path = make_file(size)

    def make() -> Noted:
        variable.set("the request's own")
        opened.append((threading.get_ident(), "the request's own"))
        return Noted(path, closed)

    async with serving_wsgi(returning(make), threads=3) as served:
        for _ in range(3):
            response = await then_next(served)
            assert (response.framing, response.header("content-length")) == ("length", str(size))
            assert response.body == content(size)
            await served.idle()
        assert closed == opened
        head = await then_next(served, "HEAD")  # what has no body then may be longer otherwise
        assert head.header("content-length") == (str(size) if size else None)
        old = await served.ask(request(version="1.0"), version="1.0")
        assert old.body == content(size)
    assert len(closed) == 5


async def test_small_files_come_with_their_head(make_file: MakeFile) -> None:
    """An empty one, too, and the last that is small: nothing else is different."""
    path = make_file(65536)
    async with serving_wsgi(returning(lambda: path.open("rb"))) as served:
        assert (await then_next(served)).body == content(65536)


@pytest.mark.parametrize("length", [0, 5, 65536, 500_000, 1_000_003 - 7])
async def test_position_and_content_length(make_file: MakeFile, length: int) -> None:
    """From where the file is, as far as the content-length says; that is no error."""
    path = make_file(1_000_003)

    def make() -> Any:
        file = path.open("rb")
        assert file.read(7) == content(7)
        return file

    async with serving_wsgi(returning(make, ("Content-Length", str(length)))) as served:
        response = await then_next(served)
    assert response.header("content-length") == str(length)
    assert response.body == content(1_000_003)[7 : 7 + length]


@pytest.mark.parametrize("size", [10, 100_000])
async def test_file_that_is_too_short(
    make_file: MakeFile, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_file(size)
    app = returning(lambda: path.open("rb"), ("Content-Length", str(size + 1)))
    async with serving_wsgi(app) as served:
        assert (await served.ask(request())).status == 500
    assert f"content-length is {size + 1}, the body has {size} bytes: GET /" in caplog.text


async def test_file_that_becomes_shorter(make_file: MakeFile, caplog: pytest.LogCaptureFixture) -> None:
    """A short body never looks complete."""
    path = make_file(LARGE)
    async with serving_wsgi(returning(lambda: path.open("rb"))) as served:
        async with served.client(receive_buffer=1 << 16) as client:
            await client.send(request())
            await client.read_head()
            await client.read_bytes(100_000)
            os.truncate(path, 200_000)
            client.incoming.data.clear()
            with pytest.raises(AssertionError, match="reset|closed"):
                await client.read_bytes(LARGE - 100_000)
            client.incoming.data.clear()
        await served.idle()
    assert "the file ends" in caplog.text


async def test_a_client_that_reads_slowly_holds_no_thread(make_file: MakeFile) -> None:
    """There is one thread, five clients do not read, and a sixth is answered."""
    closed: list[Any] = []
    path = make_file(LARGE)
    async with serving_wsgi(returning(lambda: Noted(path, closed))) as served:
        clients = [served.client(receive_buffer=1 << 16) for _ in range(5)]
        for client in clients:
            await client.__aenter__()
            await client.send(request())
            assert (await client.read_head()).status == 200
        assert (await served.ask(request(target="/next"))).text == "next"
        assert closed == []
        first, *others = clients
        left = LARGE - len(first.incoming.data)
        assert (bytes(first.incoming.data) + await first.read_bytes(LARGE))[-left:][-100:] == content(LARGE)[
            -100:
        ]
        first.close()
        await until(lambda: len(closed) == 1)
        for client in others:
            client.reset()
        await served.idle()
    assert len(closed) == 5


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_goes(make_file: MakeFile, how: str, caplog: pytest.LogCaptureFixture) -> None:
    closed: list[Any] = []
    path = make_file(LARGE)
    async with serving_wsgi(returning(lambda: Noted(path, closed))) as served:
        async with served.client(receive_buffer=1 << 16) as client:
            await client.send(request())
            await client.read_head()
            client.incoming.data.clear()
            if how == "reset":
                client.reset()
        await served.idle()
        assert (await served.ask(request(target="/next"))).text == "next"
    assert len(closed) == 1
    assert caplog.messages == []


async def test_a_close_that_raises(make_file: MakeFile, caplog: pytest.LogCaptureFixture) -> None:
    """The response is complete; the log has the traceback, and the thread goes on."""
    path = make_file(LARGE)

    class Failing(Noted):
        def close(self) -> None:
            super().close()
            raise ValueError("deliberate: in close")

    async with serving_wsgi(returning(lambda: Failing(path, []))) as served:
        assert (await then_next(served)).body == content(LARGE)
        await served.idle()
    assert "deliberate: in close" in caplog.text


async def test_behind_written_bytes(make_file: MakeFile) -> None:
    path = make_file(200_000)

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])(b"first ")
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](path.open("rb"))
        return wrapped

    async with serving_wsgi(app) as served:
        response = await served.ask(request())
    assert (response.framing, response.body) == ("chunked", b"first " + content(200_000))


async def test_without_a_head(make_file: MakeFile) -> None:
    """A 500, and the file is closed."""
    closed: list[Any] = []

    def app(environ: Environ, _start_response: StartResponse) -> Iterable[bytes]:
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](Noted(make_file(100_000), closed))
        return wrapped

    async with serving_wsgi(app) as served:
        assert (await served.ask(request())).status == 500
        await served.idle()
    assert len(closed) == 1


async def test_nothing_is_sent_of_what_is_not_returned(make_file: MakeFile) -> None:
    """A middleware may look at the blocks, and answer something else."""
    path = make_file(100_000)

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        wrapped = environ["wsgi.file_wrapper"](path.open("rb"), 1000)
        start_response("200 OK", [])
        blocks = list(wrapped)
        wrapped.close()
        return [b"%d blocks" % len(blocks)]

    async with serving_wsgi(app) as served:
        assert (await served.ask(request())).text == "100 blocks"


# Which files are read by their descriptor, and that all others are read at all

DATA = content(100_000).replace(b"1", b"a")


class Reading:
    """Something with no more than a `read`."""

    def __init__(self) -> None:
        self.file = io.BytesIO(DATA)

    def read(self, size: int) -> bytes:
        return self.file.read(size)


class Upper(io.FileIO):
    """A file that is not what its descriptor reads."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size).upper()

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Proxy:
    """What Django's File is: another object's methods."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def _temporary() -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115
    file.write(DATA)
    file.seek(0)
    return file


def _spooled() -> Any:
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115
    file.write(DATA)
    file.seek(0)
    return file


def _piped() -> Any:
    reading, writing = os.pipe()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), open(writing, "wb") as file:
            file.write(DATA)

    threading.Thread(target=write).start()
    return open(reading, "rb")


def _compressed(path: Path, module: Any) -> Any:
    path.write_bytes(module.compress(DATA))
    return module.open(path)


KINDS: dict[str, tuple[Callable[[Path], Any], bool]] = {
    "buffered": (lambda path: path.open("rb"), True),
    "unbuffered": (lambda path: path.open("rb", buffering=0), True),
    "read and write": (lambda path: path.open("r+b"), True),
    "proxy": (lambda path: Proxy(path.open("rb")), True),
    "temporary": (lambda path: _temporary(), True),
    "spooled": (lambda path: _spooled(), False),
    "memory": (lambda path: io.BytesIO(DATA), False),
    "read only": (lambda path: Reading(), False),
    "pipe": (lambda path: _piped(), False),
    "gzip": (lambda path: _compressed(path, gzip), False),
    "bz2": (lambda path: _compressed(path, bz2), False),
    "closed": (lambda path: _closed(path), False),
    "subclass": (lambda path: Upper(path), False),
    "buffered subclass": (lambda path: io.BufferedReader(Upper(path)), False),
}


def _closed(path: Path) -> Any:
    file = path.open("rb")
    file.close()
    return file


@pytest.mark.parametrize("kind", KINDS)
async def test_kinds_of_files(make_file: MakeFile, kind: str) -> None:
    path = make_file(len(DATA))
    path.write_bytes(DATA)
    make, by_descriptor = KINDS[kind]
    wrapper = FileWrapper(make(path))
    assert (wrapper.part() is not None) == by_descriptor
    if hasattr(wrapper, "close"):
        wrapper.close()
    if kind == "closed":
        return
    async with serving_wsgi(returning(lambda: make(path), block=10_000)) as served:
        response = await then_next(served)
    assert response.framing == ("length" if by_descriptor else "chunked")
    assert response.body == (DATA.upper() if "subclass" in kind else DATA)


async def test_text_is_no_body(make_file: MakeFile) -> None:
    path = make_file(100)
    async with serving_wsgi(returning(lambda: path.open())) as served:
        assert (await served.ask(request())).status == 500


async def test_what_werkzeug_needs_for_ranges(make_file: MakeFile) -> None:
    """The file goes to where the range begins, rather than being read up to there."""
    with make_file(1000).open("rb") as file:
        wrapper = FileWrapper(file)
        assert wrapper.seekable()
        wrapper.seek(900)
        assert (wrapper.tell(), next(wrapper)) == (900, content(1000)[900:])
        with pytest.raises(StopIteration):
            next(wrapper)
    assert not FileWrapper(Reading()).seekable()
    assert not hasattr(FileWrapper(Reading()), "close")


async def test_interrupted_by_the_end_of_the_server(make_file: MakeFile) -> None:
    """What is being sent is broken off, and closed."""
    closed: list[Any] = []
    path = make_file(LARGE)
    app = returning(lambda: Noted(path, closed))
    async with serving_wsgi(app) as served, served.client(receive_buffer=1 << 16) as client:
        await client.send(request())
        await client.read_head()
        served.group.abort()
        await served.idle()
        with pytest.raises(AssertionError, match="reset"):
            await client.read_bytes(LARGE)
        client.incoming.data.clear()
    assert len(closed) == 1
