"""The strict reader has to notice what is wrong, or no test that relies on it can fail."""

from __future__ import annotations

import pytest

from tests.support.client import chunked
from tests.support.wire import BadResponseError, Incoming, IncompleteResponseError, Response, read_response

DATE = b"Date: Mon, 23 Nov 2026 00:00:00 GMT\r\n"
OK = b"HTTP/1.1 200 OK\r\n" + DATE


def read(data: bytes, method: str = "GET", version: str = "1.1", *, end: str = "closed") -> Response:
    """Read `data`, byte by byte, as the response on a connection that then ends."""
    incoming = Incoming()
    reading = read_response(incoming, method, version)
    try:
        next(reading)
        for position in range(len(data)):
            incoming.data += data[position : position + 1]
            next(reading)
        incoming.end = "closed" if end == "closed" else "reset"
        next(reading)
    except StopIteration as stop:
        assert not incoming.data
        response: Response = stop.value
        return response
    raise AssertionError("still waiting after the end")


def test_content_length() -> None:
    response = read(OK + b"Content-Length: 5\r\nX-Test:  a b \r\n\r\nhello")
    assert (response.status, response.reason, response.framing) == (200, b"OK", "length")
    assert response.text == "hello"
    assert response.header("x-test") == "a b"


def test_chunks_and_trailers() -> None:
    response = read(
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"ab", b"c", trailers=[("X-Sum", "1")])
    )
    assert (response.body, response.chunks, response.framing) == (b"abc", [2, 1], "chunked")
    assert response.trailers == [(b"x-sum", b"1")]


def test_until_close() -> None:
    response = read(OK + b"Connection: close\r\n\r\nabc")
    assert (response.body, response.framing) == (b"abc", "close")


def test_interim_responses() -> None:
    response = read(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n")
    assert [interim.status for interim in response.interim] == [100]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_body(method: str) -> None:
    status = b"200" if method == "HEAD" else b"304"
    response = read(b"HTTP/1.1 %b X\r\n" % status + DATE + b"Content-Length: 5\r\n\r\n", method)
    assert (response.body, response.framing) == (b"", "none")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\n" + DATE + b"Content-Length: 0\r\n\r\n",
        b"HTTP/2 200 OK\r\n" + DATE + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200\r\n" + DATE + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 No\r\n" + DATE + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 0\r\n\r\n",
        OK + DATE + b"Content-Length: 0\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        OK + b"Content-Length: +1\r\n\r\nx",
        OK + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n",
        OK + b"Bad Name: x\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-Nul: \0\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        OK + b"\r\nuntil close, unannounced",
        b"HTTP/1.1 204 No Content\r\n" + DATE + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n" + DATE + b"Transfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(BadResponseError):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_not_for_http_1_0(data: bytes) -> None:
    with pytest.raises(BadResponseError):
        read(data, version="1.0")


@pytest.mark.parametrize("end", ["closed", "reset"])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"", None),
        (OK, None),
        (OK + b"Content-Length: 5\r\n\r\nhell", b"hell"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", b"hel"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", b"hel"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n", b"hel"),
    ],
)
def test_incomplete(data: bytes, body: bytes | None, end: str) -> None:
    with pytest.raises(IncompleteResponseError) as caught:
        read(data, end=end)
    assert caught.value.reset is (end == "reset")
    assert (caught.value.partial.body if caught.value.partial else None) == body
