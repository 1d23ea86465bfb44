"""Files as bodies: pathsend and zerocopysend, on each loop, byte for byte."""

from __future__ import annotations

import asyncio
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aserve.protocols import filebody
from aserve.protocols.errors import ResponseError
from tests.support.client import AsyncRawClient, request
from tests.support.inprocess import Receive, Scope, Send, serving
from tests.support.loops import every_loop
from tests.support.messages import body, content, filesend, length, pathsend, sending, start
from tests.support.wire import IncompleteResponseError

SMALL = filebody.SMALL
LARGE = 5_000_011
HUGE = 32 << 20
"""More than the sockets between the two hold."""

# -- whole files ------------------------------------------------------------------------------


@every_loop
@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, LARGE])
@pytest.mark.parametrize("announced", [True, False], ids=["length", "no length"])
async def test_path(make_file: Callable[[int], Path], size: int, announced: bool) -> None:
    """With the application's content-length, or one that is found out; the connection goes on."""
    fields = [length(size)] if announced else []
    app = sending(start(*fields), pathsend(make_file(size)))
    async with serving(app) as served, served.client() as client:
        for method, version in (("GET", "1.1"), ("HEAD", "1.1"), ("GET", "1.1"), ("GET", "1.0")):
            response = await client.ask(request(method, version=version), method, version)
            assert response.header("content-length") == str(size)
            assert response.body == (content(size) if method == "GET" else b"")
        await client.read_until_closed()
    assert served.errors == []


@every_loop
@pytest.mark.parametrize("size", [1, LARGE])
async def test_path_behind_a_head_that_has_left(make_file: Callable[[int], Path], size: int) -> None:
    """The application has awaited between the two: the length can no longer be told."""
    path = make_file(size)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await send(start())
        await asyncio.sleep(0.01)
        await send(pathsend(path))

    async with serving(app) as served, served.client() as client:
        for _ in range(2):
            response = await client.ask(request())
            assert (response.framing, response.body) == ("chunked", content(size))


async def test_path_in_one_write_or_two(make_file: Callable[[int], Path]) -> None:
    """Applications that have awaited before the start, too, get a length: opening comes first."""
    path = make_file(LARGE)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.01)
        await send(start())
        await send(pathsend(path))

    async with serving(app) as served, served.client() as client:
        response = await client.ask(request())
        assert (response.framing, response.body) == ("length", content(LARGE))


@every_loop
async def test_pipelined_paths(make_file: Callable[[int], Path]) -> None:
    """Order holds: each response is complete before the next one begins."""
    sizes = [LARGE, 10, 0, SMALL + 1, LARGE]
    paths = [make_file(size) for size in sizes]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(pathsend(paths[int(scope["path"][1:])]))

    async with serving(app) as served, served.client() as client:
        await client.send(b"".join(request(target=f"/{number}") for number in range(len(sizes))))
        for size in sizes:
            assert (await client.read()).body == content(size)


@pytest.mark.parametrize("status", [204, 304])
async def test_path_without_body(make_file: Callable[[int], Path], status: int) -> None:
    """RFC 9110 section 6.4.1."""
    app = sending(start(status=status), pathsend(make_file(LARGE)))
    async with serving(app) as served, served.client() as client:
        for _ in range(2):
            assert (await client.ask(request())).status == status
        await served.left(0)
        assert served.errors == []


async def test_relative_path(make_file: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As open() takes it: frameworks hand on what they were given."""
    path = make_file(100)
    monkeypatch.chdir(path.parent)
    async with serving(sending(start(), pathsend(path.name))) as served, served.client() as client:
        assert (await client.ask(request())).body == content(100)


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "socket", "nul", "none"])
async def test_no_such_file(tmp_path: Path, kind: str) -> None:
    """Nothing has been sent: an error for the application, and a clean 500."""
    path: Any = tmp_path / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    message = pathsend("a\0b" if kind == "nul" else path)
    if kind == "none":
        message["path"] = None
    async with serving(sending(start(), message)) as served, served.client() as client:
        assert (await client.ask(request())).status == 500
        error = await served.error()
        assert isinstance(error, ResponseError)
        assert kind in ("none", "nul") or kind in str(error)
        assert not isinstance(error, OSError)  # which would say that the client has gone


@pytest.mark.parametrize("size", [10, LARGE])
async def test_path_and_length(make_file: Callable[[int], Path], size: int) -> None:
    """A file that has grown since its length was taken is sent up to it; a shorter one is an error."""
    app = sending(start(length(size - 5)), pathsend(make_file(size)))
    async with serving(app) as served, served.client() as client:
        for _ in range(2):
            assert (await client.ask(request())).body == content(size)[:-5]
    app = sending(start(length(size + 5)), pathsend(make_file(size)))
    async with serving(app) as served, served.client() as client:
        assert (await client.ask(request())).status == 500
        assert isinstance(await served.error(), ResponseError)


@pytest.mark.parametrize("second", [b"body", b"path", b"file"])
async def test_nothing_behind_a_path(make_file: Callable[[int], Path], second: bytes) -> None:
    path = make_file(LARGE)
    with path.open("rb") as file:
        messages = {b"body": body(), b"path": pathsend(path), b"file": filesend(file)}
        app = sending(start(), pathsend(path), messages[second])
        async with serving(app) as served, served.client() as client:
            assert (await client.ask(request())).body == content(LARGE)
            assert isinstance(await served.error(), ResponseError)


@pytest.mark.parametrize("kind", ["path", "file"])
async def test_no_start(make_file: Callable[[int], Path], kind: str) -> None:
    path = make_file(LARGE)
    with path.open("rb") as file:
        app = sending(pathsend(path) if kind == "path" else filesend(file))
        async with serving(app) as served, served.client() as client:
            assert (await client.ask(request())).status == 500
            assert isinstance(await served.error(), ResponseError)


# -- parts of open files ----------------------------------------------------------------------


@every_loop
@pytest.mark.parametrize("size", [0, 1, 1000, LARGE])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_file(make_file: Callable[[int], Path], size: int, framing: str) -> None:
    """The whole of it, as one message or followed by another one; it stays open."""
    with make_file(size).open("rb") as file:

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            more = framing == "chunked"
            await send(filesend(file, offset=0, more_body=more))
            if more:
                await send(body())

        async with serving(app) as served, served.client() as client:
            for method in ("GET", "HEAD", "GET"):
                response = await client.ask(request(method), method)
                assert response.body == (content(size) if method == "GET" else b"")
                if method == "GET":
                    assert response.framing == framing
        assert file.tell() == 0
        assert file.read() == content(size)


@every_loop
@pytest.mark.parametrize("announced", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_file_between_bodies(make_file: Callable[[int], Path], announced: bool, version: str) -> None:
    """Whatever the order, everything comes in it (RFC 9112 section 7.1 for the chunks)."""
    data = content(LARGE)
    with make_file(LARGE).open("rb") as file:
        messages = [
            body(b"first", more=True),
            filesend(file, offset=10, count=4_000_000, more_body=True),
            filesend(file, offset=0, count=0, more_body=True),
            body(b"second", more=True),
            filesend(file, offset=LARGE - 3, more_body=True),
            filesend(file, offset=5, count=1, more_body=True),
            body(b"x" * 100_000, more=True),
            filesend(file, offset=7, count=300_000),
        ]
        expected = b"".join(
            (b"first", data[10:4_000_010], b"second", data[-3:], data[5:6], b"x" * 100_000, data[7:300_007])
        )
        fields = [length(len(expected))] if announced else []
        async with serving(sending(start(*fields), *messages)) as served, served.client() as client:
            response = await client.ask(request(version=version), version=version)
            assert response.body == expected
            assert response.framing == ("length" if announced else "chunked" if version == "1.1" else "close")
            if version == "1.1":
                assert (await client.ask(request())).body == expected
            else:
                await client.read_until_closed()
            assert served.errors == []


@pytest.mark.parametrize("kind", ["object", "unbuffered", "descriptor"])
async def test_position(make_file: Callable[[int], Path], kind: str) -> None:
    """Without an offset it is sent from where it is, and moves on (as sendfile(2) does)."""
    data = content(LARGE)
    with make_file(LARGE).open("rb", buffering=0 if kind == "unbuffered" else -1) as file:
        file.read(3)
        if kind == "descriptor":
            os.lseek(file.fileno(), 3, os.SEEK_SET)
        sent = file.fileno() if kind == "descriptor" else file
        messages = [filesend(sent, count=100, more_body=True), filesend(sent)]
        async with serving(sending(start(), *messages)) as served, served.client() as client:
            assert (await client.ask(request())).body == data[3:]
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == LARGE


@every_loop
async def test_file_with_trailers(make_file: Callable[[int], Path]) -> None:
    with make_file(LARGE).open("rb") as file:
        trailers = {"type": "http.response.trailers", "headers": [(b"x", b"y")]}
        app = sending(start(trailers=True), filesend(file, offset=0), trailers)
        async with serving(app) as served, served.client() as client:
            for _ in range(2):
                response = await client.ask(request(headers=[("TE", "trailers")]))
                assert (response.body, response.trailers) == (content(LARGE), [(b"x", b"y")])


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("keys", [{"count": 11}, {"count": 9}, {"count": 9, "more_body": True}])
async def test_file_and_length(make_file: Callable[[int], Path], keys: dict[str, Any], started: bool) -> None:
    """RFC 9110 section 8.6: too much or too little is an error before anything wrong is sent."""
    with make_file(100).open("rb") as file:
        messages = [filesend(file, offset=0, **keys)]
        if started:
            messages.insert(0, body(b"", more=True))
        async with serving(sending(start(length(10)), *messages)) as served, served.client() as client:
            await client.send(request())
            if started or keys.get("more_body"):
                with pytest.raises(IncompleteResponseError) as caught:
                    await client.read()
                assert caught.value.partial is None or len(caught.value.partial.body) < 10
            else:
                assert (await client.read()).status == 500
            if not keys.get("more_body"):
                assert isinstance(await served.error(), ResponseError)


async def test_file_that_has_grown(make_file: Callable[[int], Path]) -> None:
    """Without a count the content-length counts, as for paths."""
    with make_file(100).open("rb") as file:
        app = sending(start(length(10)), filesend(file, offset=0))
        async with serving(app) as served, served.client() as client:
            assert (await client.ask(request())).body == content(10)


@pytest.mark.parametrize(
    "keys",
    [
        {"file": io.BytesIO(b"abc")},
        {"file": "name"},
        {"file": None},
        {"file": 10_000},
        {"offset": -1},
        {"count": -1},
        {"offset": "1"},
        {"count": 1.5},
        {"offset": 90, "count": 20},
    ],
)
async def test_bad_file(make_file: Callable[[int], Path], keys: dict[str, Any]) -> None:
    with make_file(100).open("rb") as file:
        message = filesend(**{"file": file, "offset": 0, "count": 3, **keys})
        app = sending(start(), message)
        async with serving(app) as served, served.client() as client:
            await client.send(request())
            if keys.get("count") == 20:
                with pytest.raises(IncompleteResponseError):
                    await client.read()
            else:
                assert (await client.read()).status == 500
            assert isinstance(await served.error(), ResponseError)


async def test_descriptors_that_are_no_files() -> None:
    """A pipe has no size and no place in it."""
    reading, writing = os.pipe()
    try:
        for keys in ({}, {"offset": 0}, {"offset": 0, "count": 1}):
            app = sending(start(), filesend(reading, **keys))
            async with serving(app) as served, served.client() as client:
                await client.send(request())
                if "count" in keys:
                    with pytest.raises(IncompleteResponseError):
                        await client.read()
                else:
                    assert (await client.read()).status == 500
                assert isinstance(await served.error(), ResponseError)
    finally:
        os.close(reading)
        os.close(writing)


@every_loop
@pytest.mark.parametrize("kind", ["path", "file"])
async def test_messages_of_other_tasks_wait(make_file: Callable[[int], Path], kind: str) -> None:
    """What is sent while a file is on its way comes behind it."""
    path = make_file(HUGE)
    with path.open("rb") as file:

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await send(body(b"<", more=True))
            first = asyncio.ensure_future(send(filesend(file, offset=0, more_body=True)))
            await asyncio.sleep(0)
            await send(body(b">", more=True))
            assert first.done()
            if kind == "path":
                await send(pathsend(path))
            else:
                await send(body())

        async with serving(app) as served, served.client(receive_buffer=1 << 16) as client:
            response = await client.ask(request())
            assert response.body == b"<" + content(HUGE) + b">" + (content(HUGE) if kind == "path" else b"")
            assert served.errors == []


# -- around them ------------------------------------------------------------------------------


@every_loop
async def test_unix_socket(make_file: Callable[[int], Path], tmp_path: Path) -> None:
    """The system copies to these as well."""
    address = str(tmp_path / "socket")
    app = sending(start(), pathsend(make_file(LARGE)))
    async with serving(app, unix=address) as served, AsyncRawClient(address) as client:
        for _ in range(2):
            assert (await client.ask(request())).body == content(LARGE)
    assert served.errors == []


@every_loop
@pytest.mark.parametrize("size", [0, 100, LARGE])
async def test_access_log(make_file: Callable[[int], Path], size: int) -> None:
    """A file's bytes are counted as any body's."""
    logged: list[int] = []
    with make_file(size).open("rb") as file:
        messages = [filesend(file, offset=0, more_body=True), body(b"abc")]
        async with serving(sending(start(), *messages)) as served, served.client() as client:
            served.group.access_log = lambda exchange: logged.append(exchange.body_sent)
            await client.ask(request())
    async with serving(sending(start(), pathsend(make_file(size)))) as served, served.client() as client:
        served.group.access_log = lambda exchange: logged.append(exchange.body_sent)
        await client.ask(request())
    assert logged == [size + 3, size]
