"""start_response, write and the iterable (PEP 3333), as a client sees what an application does with them."""

from __future__ import annotations

import gc
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse

import pytest

from aserve.adapters.errorlog import UNFINISHED
from tests.support.client import request
from tests.support.inprocess_wsgi import Environ, serving_wsgi, until
from tests.support.wire import IncompleteResponseError, Response

Body = Callable[[StartResponse], Iterable[bytes]]
TEXT = ("Content-Type", "text/plain")


def length(size: int) -> tuple[str, str]:
    return ("Content-Length", str(size))


async def answer(body: Body, *, method: str = "GET") -> Response:
    """The response of an application, over a connection that then serves another request."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/next":
            start_response("200 OK", [])
            return [b"next"]
        return body(start_response)

    async with serving_wsgi(app) as served, served.client() as client:
        response = await client.ask(request(method), method)
        if "close" not in response.connection:
            assert (await client.ask(request(target="/next"))).text == "next"
        return response


async def broken(body: Body) -> Response | None:
    """What came of a response that breaks off."""
    with pytest.raises(IncompleteResponseError) as caught:
        await answer(body)
    return caught.value.partial


class Closing:
    """An iterable that counts its pieces and its `close`."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = iter(pieces)
        self.asked = self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.asked += 1
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        data: bytes = piece
        return data

    def close(self) -> None:
        self.closed += 1


class Sized(Closing):
    """One that can tell how many pieces it has."""

    def __init__(self, *pieces: Any) -> None:
        super().__init__(*pieces)
        self.size = len(pieces)

    def __len__(self) -> int:
        return self.size


# start_response


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        ("200 OK", 200, b"OK"),
        ("200 Fine", 200, b"Fine"),
        ("418 I'm a teapot", 418, b"I'm a teapot"),
        ("299 caf\xe9", 299, b"caf\xe9"),
        ("200", 200, b"OK"),
        ("200 ", 200, b"OK"),
    ],
)
async def test_status(status: str, code: int, reason: bytes) -> None:
    def body(start_response: StartResponse) -> list[bytes]:
        start_response(status, [TEXT])
        return [b"x"]

    response = await answer(body)
    assert (response.status, response.reason) == (code, reason)


@pytest.mark.parametrize(
    "status",
    ["OK", "20 OK", "2000 OK", "200OK", "200 a\r\nb: c", "200 \u0151", "200 \x7f", "100 Continue", 200, None],
)
async def test_status_that_is_none(status: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is an error at once, where the application is still running."""
    raised: list[str] = []

    def body(start_response: StartResponse) -> list[bytes]:
        try:
            start_response(status, [TEXT])
        except Exception as error:
            raised.append(str(error))
            raise
        return [b"x"]

    assert (await answer(body)).status == 500
    assert raised == [
        f"invalid response status: {status if status != '100 Continue' else 100!r}"
    ] or raised == [f"invalid response status: {status!r}"]


@pytest.mark.parametrize(
    "field",
    [("X-A", 1), ("X-A", b"b"), (b"X-A", "b"), ("X-A", "\u0151"), ("X A", "b"), ("X-A", "a\nb"), ("X-A",)],
)
async def test_header_that_is_none(field: Any) -> None:
    def body(start_response: StartResponse) -> list[bytes]:
        with pytest.raises(Exception, match=r"header|name"):
            start_response("200 OK", [field])
        start_response("500 Sorry", [TEXT], (ValueError, ValueError(), None))  # type: ignore[arg-type]
        return [b"sorry"]

    response = await answer(body)
    assert (response.status, response.text) == (500, "sorry")


@pytest.mark.parametrize("first", ["200 OK", "no status"])
async def test_a_second_call(first: str) -> None:
    """A fatal error, also if the first has failed."""
    raised: list[str] = []

    def body(start_response: StartResponse) -> list[bytes]:
        try:
            start_response(first, [TEXT])
        except Exception as error:
            raised.append(type(error).__name__)
        start_response("201 Created", [TEXT])
        return [b"x"]

    assert (await answer(body)).status == 500
    assert raised == ([] if first == "200 OK" else ["ResponseError"])


async def test_exc_info_replaces_the_head() -> None:
    def body(start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("X-First", "1"), length(3)])
        try:
            raise ValueError("changed its mind")
        except ValueError:
            start_response("503 Sorry", [TEXT], sys.exc_info())
        return [b"sorry, in full"]

    response = await answer(body)
    assert (response.status, response.text) == (503, "sorry, in full")
    assert response.header("x-first") is None


async def test_exc_info_behind_the_head() -> None:
    """What was given is raised, with its traceback; the connection breaks off; the iterable is closed."""
    seen: list[BaseException] = []
    given = ValueError("in the middle")

    class Body(Closing):
        def __init__(self, start_response: StartResponse) -> None:
            super().__init__(b"first", b"second")
            self.start_response = start_response

        def __next__(self) -> bytes:
            if self.asked == 1:
                try:
                    raise given
                except ValueError:
                    try:
                        self.start_response("500 Sorry", [TEXT], sys.exc_info())
                    except ValueError as error:
                        seen.append(error)
                        raise
            return super().__next__()

    made: list[Body] = []

    def body(start_response: StartResponse) -> Body:
        start_response("200 OK", [TEXT])
        made.append(Body(start_response))
        return made[0]

    partial = await broken(body)
    assert partial is not None
    assert partial.body in (b"", b"first")
    assert seen == [given]
    assert made[0].closed == 1


async def test_start_response_of_another_call() -> None:
    """HEAD, and what write() has been given, change nothing of the rules."""

    def body(start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [TEXT])
        write(b"one, ")
        write(b"")
        write(b"two, ")
        return [b"three"]

    assert (await answer(body)).text == "one, two, three"
    assert (await answer(body, method="HEAD")).body == b""


# The iterable


@pytest.mark.parametrize(
    ("pieces", "framing"),
    [
        ([b"one"], "length"),
        ((b"one",), "length"),
        ([b"o", b"ne"], "length"),
        (Sized(b"one"), "length"),
        (Sized(b"o", b"ne"), "chunked"),
        (Closing(b"one"), "chunked"),
        (Closing(b"", b"o", b"", b"ne", b""), "chunked"),
    ],
    ids=["list", "tuple", "two", "sized", "sized two", "iterator", "blanks"],
)
async def test_framing(pieces: Any, framing: str) -> None:
    """PEP 3333, Handling the Content-Length Header."""

    def body(start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [TEXT])
        return pieces  # type: ignore[no-any-return]

    response = await answer(body)
    assert (response.framing, response.text) == (framing, "one")
    if isinstance(pieces, Closing):
        assert pieces.closed == 1


@pytest.mark.parametrize("pieces", [[], (), Sized(), Closing(), [b""], Closing(b"", b""), Sized(b"")])
async def test_no_body(pieces: Any) -> None:
    def body(start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [TEXT])
        return pieces  # type: ignore[no-any-return]

    response = await answer(body)
    assert (response.header("content-length"), response.body) == ("0", b"")


@pytest.mark.parametrize("piece", ["text", 1, bytearray(b"x"), [b"x"]])
@pytest.mark.parametrize("make", [lambda piece: [piece], Closing], ids=["list", "iterator"])
async def test_pieces_that_are_no_bytes(piece: Any, make: Any) -> None:
    def body(start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [TEXT])
        return make(piece)  # type: ignore[no-any-return]

    assert (await answer(body)).status == 500


async def test_what_is_no_iterable() -> None:
    def body(start_response: StartResponse) -> Any:
        start_response("200 OK", [TEXT])

    assert (await answer(body)).status == 500


@pytest.mark.parametrize(
    "pieces", [[b"x"], [], Closing(b"x"), Closing()], ids=["list", "no", "iterator", "none"]
)
async def test_no_head(pieces: Any) -> None:
    """Without start_response there is nothing to send it under."""
    assert (await answer(lambda start_response: pieces)).status == 500


async def test_a_list_with_a_close() -> None:
    """It is called once; the response is there."""

    class Closed(list[bytes]):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    made = Closed([b"one"])

    def body(start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [TEXT])
        return made

    assert (await answer(body)).text == "one"
    assert made.closed == 1


async def test_error_in_the_middle_closes() -> None:
    pieces = Closing(b"one", ValueError("deliberate"))

    def body(start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [TEXT])
        return pieces

    partial = await broken(body)
    assert partial is not None
    assert pieces.closed == 1


async def test_a_client_that_goes(caplog: pytest.LogCaptureFixture) -> None:
    """The application sees it at its next piece; the iterable is closed; the log stays calm."""
    endless = Closing(*[bytes(100_000)] * 10_000)

    def app(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [TEXT])
        return endless

    async with serving_wsgi(app) as served:
        async with served.client(receive_buffer=1 << 16) as client:
            await client.send(request())
            await client.read_head()
            await client.read_bytes(10_000)
            client.incoming.data.clear()
        await served.idle()
    assert endless.closed == 1
    assert endless.asked < 1000
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("wrapped", [False, True], ids=["raised", "made another"])
async def test_writing_to_a_client_that_has_gone(caplog: pytest.LogCaptureFixture, wrapped: bool) -> None:
    """write() raises an OSError; whatever the application makes of that is no failure of its own."""
    errors: list[type[BaseException]] = []

    def app(_environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [TEXT])
        try:
            while True:
                write(bytes(100_000))
        except OSError as error:
            errors.append(type(error))
            if wrapped:
                raise ValueError("no more") from error
            raise

    async with serving_wsgi(app) as served:
        async with served.client() as client:
            await client.send(request())
            await client.read_head()
            client.incoming.data.clear()
        await served.idle()
    assert [error.__name__ for error in errors] == ["ClientDisconnectedError"]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# The content-length


async def test_more_than_the_content_length(caplog: pytest.LogCaptureFixture) -> None:
    """No more bytes leave than the header says, and no more are asked for; the log says so."""
    cases: list[Any] = [
        [b"12345", b"678"],
        [b"12345678"],
        Closing(b"123", b"45678", b"9"),
        Closing(b"12345", b"6", b"7"),
    ]
    for pieces in cases:

        def body(start_response: StartResponse, pieces: Any = pieces) -> Iterable[bytes]:
            start_response("200 OK", [length(5)])
            return pieces  # type: ignore[no-any-return]

        caplog.clear()
        response = await answer(body)
        assert (response.framing, response.text) == ("length", "12345")
        assert caplog.messages == ["the body is longer than its content-length, and cut off: GET /"]
        if isinstance(pieces, Closing):
            assert (pieces.asked, pieces.closed) == (2, 1)


async def test_exactly_the_content_length_is_used_up() -> None:
    """What an iterable does behind its last piece is done."""
    done: list[str] = []

    def body(start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [length(5)])
        yield b"123"
        yield b"45"
        done.append("behind the last piece")

    assert (await answer(body)).text == "12345"
    assert done == ["behind the last piece"]


async def test_a_complete_response_does_not_wait_for_the_end_of_the_iteration() -> None:
    """What the application still does keeps neither the client nor its next request waiting."""
    waiting: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [length(5)])
        yield environ["PATH_INFO"].encode()
        while environ["PATH_INFO"] == "/slow" and not waiting:
            time.sleep(0.001)

    async with serving_wsgi(app, threads=2) as served, served.client() as client:
        assert (await client.ask(request(target="/slow"))).text == "/slow"
        assert (await client.ask(request(target="/next"))).text == "/next"
        assert len(served.group.running) >= 1
        waiting.append("no more")
        await served.idle()


@pytest.mark.parametrize(
    "pieces", [[b"1234"], Closing(b"12", b"34"), []], ids=["list", "iterator", "nothing"]
)
async def test_less_than_the_content_length(pieces: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The connection ends, and the log says why: a short body must not look complete."""

    def body(start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [length(5)])
        return pieces  # type: ignore[no-any-return]

    if isinstance(pieces, list):
        response = await answer(body)
        assert (response.status, response.connection) == (500, {"close"})
    else:
        partial = await broken(body)
        assert partial is not None
        assert partial.body in (b"", b"1234")
    assert "content-length is 5, the body has" in caplog.text


async def test_writing_past_the_content_length() -> None:
    """write() raises."""
    raised: list[str] = []

    def body(start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [length(5)])
        write(b"123")
        try:
            write(b"45678")
        except Exception as error:
            raised.append(str(error))
        return []

    assert (await answer(body)).text == "12345"
    assert raised == ["write() of more than the content-length says"]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_statuses_without_a_body(status: str) -> None:
    def body(start_response: StartResponse) -> list[bytes]:
        start_response(status, [TEXT])
        return [b"a body", b" all the same"]

    response = await answer(body)
    assert (response.framing, response.header("content-length")) == ("none", None)


@pytest.mark.parametrize("own", [True, False])
async def test_head(own: bool) -> None:
    """The length that a GET has, if it is known."""

    def body(start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [length(5)] if own else [])
        return [b"12345"]

    response = await answer(body, method="HEAD")
    assert response.header("content-length") == "5"


# wsgi.errors


async def test_an_unfinished_line_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    """Nor does the next request's begin in it."""
    caplog.set_level(logging.ERROR, "aserve")

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.errors"].write(f"{environ['PATH_INFO']} has no line end")
        start_response("200 OK", [])
        return [b"x"]

    async with serving_wsgi(app) as served, served.client() as client:
        for number in range(2):
            await client.ask(request(target=f"/{number}"))
        await until(lambda: len(caplog.messages) == 2)
    assert caplog.messages == [f"/{number} has no line end" for number in range(2)]


async def test_an_unfinished_line_of_later_is_logged_when_its_connection_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A thread of the application's goes on writing behind its request; nobody ends that line."""
    caplog.set_level(logging.ERROR, "aserve")
    streams: list[Any] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        streams.append(environ["wsgi.errors"])
        start_response("200 OK", [])
        return [b"x"]

    async with serving_wsgi(app) as served, served.client() as client:
        await client.ask(request())
        await until(lambda: not served.group.running)
        streams[0].write("written late")
        key = id(streams.pop())
        assert key in UNFINISHED and not caplog.messages
    await until(lambda: gc.collect() >= 0 and caplog.messages == ["written late"])
    assert key not in UNFINISHED


async def test_known_responses_are_what_they_were() -> None:
    """The same status and headers again: with another reason phrase, replaced, and changed afterwards."""
    sequence = [b"200 OK", b"200 OK", b"200 Fine", b"200 Fine", b"200 OK", b"404 Not Found"] * 2
    statuses = iter(sequence)
    headers = [("X-Test", "1"), ("Content-Length", "3")]

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        own = list(headers)
        start_response("500 Oh", own)
        try:
            raise ValueError
        except ValueError:
            start_response(next(statuses).decode(), own, sys.exc_info())
        own.append(("X-Late", "1"))
        return [b"abc"]

    async with serving_wsgi(app) as served, served.client() as client:
        for status in sequence:
            response = await client.ask(request("GET", "/"))
            assert b"%d %b" % (response.status, response.reason) == status
            assert (response.body, response.header("x-test"), response.header("x-late")) == (
                b"abc",
                "1",
                None,
            )
