"""`wsgi.input` (PEP 3333, Input and Error Streams) at every framing and size of a body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from wsgiref.types import StartResponse

import pytest

from tests.support.client import chunked, request
from tests.support.inprocess_wsgi import Environ, serving_wsgi, until

LINES = b"one\n" + b"second line\n" + b"\n" + b"x" * 300 + b"\n" + b"no end"
# Larger than what is read ahead of the application, and than one read of it.
LARGE = LINES + (b"\n" + LINES) * 600

Way = Callable[[Any], list[bytes]]


def _until_empty(read: Callable[[], bytes]) -> list[bytes]:
    return list(iter(read, b""))


WAYS: dict[str, Way] = {
    "read()": lambda stream: [stream.read()],
    "read(-1)": lambda stream: [stream.read(-1)],
    "read(None)": lambda stream: [stream.read(None)],
    "read(beyond)": lambda stream: [stream.read(1 << 30)],
    "read(7)": lambda stream: _until_empty(lambda: stream.read(7)),
    "readline()": lambda stream: _until_empty(stream.readline),
    "readline(5)": lambda stream: _until_empty(lambda: stream.readline(5)),
    "readline(-1)": lambda stream: _until_empty(lambda: stream.readline(-1)),
    "readlines()": lambda stream: list(stream.readlines()),
    "readlines(hint)": lambda stream: [
        line for lines in iter(lambda: stream.readlines(20), []) for line in lines
    ],
    "iteration": list,
}


def requests(body: bytes) -> dict[str, bytes]:
    """The same body with each framing."""
    pieces = [body[start : start + 997] for start in range(0, len(body), 997)]
    return {
        "length": request("POST", "/", body=body),
        "chunked": request("POST", "/", [("Transfer-Encoding", "chunked")]) + chunked(*pieces),
    }


def expected(way: str, body: bytes) -> list[bytes]:
    """What Python's own files give."""
    lines = body.splitlines(keepends=True)
    if way in ("readline()", "readline(-1)", "readlines()", "readlines(hint)", "iteration"):
        return lines
    if way == "readline(5)":
        return [line[start : start + 5] for line in lines for start in range(0, len(line), 5)]
    if way == "read(7)":
        return [body[start : start + 7] for start in range(0, len(body), 7)]
    return [body]


@pytest.mark.parametrize("body", [LINES, LARGE], ids=["small", "large"])
async def test_ways_to_read(body: bytes) -> None:
    """Each method of PEP 3333's table, and what comes behind the end: nothing, again and again."""
    seen: list[bytes] = []
    way = ""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        stream = environ["wsgi.input"]
        seen[:] = WAYS[way](stream)
        assert (stream.read(), stream.read(1), stream.readline()) == (b"", b"", b"")
        assert (stream.readlines(), list(stream)) == ([], [])
        start_response("200 OK", [])
        return [b"read"]

    async with serving_wsgi(app) as served, served.client() as client:
        for framing, data in requests(body).items():
            for way in WAYS:
                assert (await client.ask(data)).text == "read", (framing, way)
                assert seen == expected(way, body), (framing, way)


@pytest.mark.parametrize("data", [request(), request("POST", body=b"")], ids=["GET", "empty"])
async def test_no_body(data: bytes) -> None:
    """The end at once, rather than a wait for bytes that never come."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        stream = environ["wsgi.input"]
        found = stream.read(), stream.read(5), stream.readline(), *stream.readlines(), *stream
        start_response("200 OK", [])
        return [b"".join(found)]

    async with serving_wsgi(app) as served:
        assert (await served.ask(data)).body == b""


async def test_nothing_is_read_past_the_end() -> None:
    """What comes behind a body is the next request, however much the application asks for."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        body = environ["wsgi.input"].read(1 << 20)
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode(), b" ", body]

    async with serving_wsgi(app) as served, served.client() as client:
        first = request("POST", "/1", body=b"first")
        second = request("POST", "/2", [("Transfer-Encoding", "chunked")]) + chunked(b"sec", b"ond")
        await client.send(first + second + request(target="/3"))
        assert [(await client.read()).text for _ in range(3)] == ["/1 first", "/2 second", "/3 "]


async def test_what_is_there_is_given_while_the_rest_is_awaited() -> None:
    """A line of a streamed body can be read, and answered, before the next one is sent."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])
        return iter(environ["wsgi.input"].readline, b"")

    async with serving_wsgi(app) as served, served.client() as client:
        padding = b"x" * 70_000 + b"\n"  # a streamed body: more than is read ahead
        await client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]))
        await client.send(b"%x\r\n%b\r\n" % (len(padding), padding))
        assert (await client.read_head()).header("transfer-encoding") == "chunked"
        assert await client.read_bytes(len(padding) + 9) == b"%x\r\n%b\r\n" % (len(padding), padding)
        for number in range(3):
            line = b"line %d\n" % number
            await client.send(b"7\r\n%b\r\n" % line)
            assert await client.read_bytes(12) == b"7\r\n%b\r\n" % line
        await client.send(b"0\r\n\r\n")
        assert await client.read_bytes(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_a_body_that_breaks_off_is_an_error(reset: bool) -> None:
    """It must not be taken for a complete one: reading raises, each time, and an OSError."""
    errors: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        stream = environ["wsgi.input"]
        for _ in range(2):
            try:
                while stream.read(1000):
                    pass
            except OSError as error:
                errors.append(str(error))
        start_response("200 OK", [])
        return [b"too late"]

    async with serving_wsgi(app) as served:
        async with served.client() as client:
            await client.send(request("POST", "/", [("Content-Length", "200000")]) + b"x" * 100_000)
            await until(lambda: served.group.running)
            if reset:
                client.reset()
        await served.idle()
    assert errors == ["the client disconnected before its request was complete"] * 2


async def test_unread() -> None:
    """The application need not read, whether the body is small, or large and still on its way."""

    def app(_environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [b"not read"]

    async with serving_wsgi(app) as served, served.client() as client:
        for size in (10, 70_000, 200_000):
            assert (await client.ask(request("POST", "/", body=b"x" * size))).text == "not read"


async def test_expect_continue() -> None:
    """PEP 3333, HTTP 1.1 Expect/Continue: the client is asked for the body at once."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    async with serving_wsgi(app) as served, served.client() as client:
        await client.send(request("POST", "/", [("Expect", "100-continue"), ("Content-Length", "4")]))
        assert (await client.read_head()).status == 100
        assert (await client.ask(b"body")).text == "body"
