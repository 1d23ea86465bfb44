"""Responses: framing, persistence, and what an application may not send."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aserve.protocols.errors import ClientDisconnectedError, ResponseError
from aserve.protocols.exchange import Exchange
from tests.protocols.conftest import Serving
from tests.support.client import request
from tests.support.wire import IncompleteResponseError


async def test_inferred_length(serving: Serving) -> None:
    """A complete body of unknown length gets a content-length, not chunks."""

    def script(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"abc")

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request())
        assert (response.framing, response.body) == ("length", b"abc")


@pytest.mark.parametrize(("version", "framing"), [("1.1", "chunked"), ("1.0", "close")])
async def test_streamed(serving: Serving, version: str, framing: str) -> None:
    """RFC 9112 section 6.3, 7.1: chunks, but never for HTTP/1.0."""

    def script(exchange: Exchange) -> None:
        exchange.start(200, [])
        for piece in (b"a", b"", b"bc", b"x" * 70000):
            exchange.write(piece, more=True)
        exchange.write(b"end")

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request(version=version), version=version)
        assert (response.framing, response.body) == (framing, b"abc" + b"x" * 70000 + b"end")


async def test_streamed_with_length(serving: Serving) -> None:
    def script(exchange: Exchange) -> None:
        exchange.start(200, [(b"Content-Length", b"6")])
        exchange.write(b"abc", more=True)
        exchange.write(b"def")

    async with serving(script) as host, host.client() as client:
        for _ in range(2):
            response = await client.ask(request())
            assert (response.framing, response.body) == ("length", b"abcdef")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("length", [False, True])
async def test_head(serving: Serving, streamed: bool, length: bool) -> None:
    """RFC 9110 section 9.3.2: no body, whatever the application sends."""

    def script(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"3")] if length else [])
        if streamed:
            exchange.write(b"ab", more=True)
        exchange.write(b"c" if streamed else b"abc")

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request("HEAD"), "HEAD")
        assert response.header("content-length") == ("3" if length or not streamed else None)
        assert (await client.ask(request("HEAD"), "HEAD")).status == 200


@pytest.mark.parametrize("status", [204, 304])
async def test_without_body(serving: Serving, status: int) -> None:
    """RFC 9110 section 6.4.1, and section 8.6: no content-length in a 204."""

    def script(exchange: Exchange) -> None:
        exchange.start(status, [(b"content-length", b"3")])
        exchange.write(b"")

    async with serving(script) as host, host.client() as client:
        for _ in range(2):
            response = await client.ask(request())
            assert response.status == status


async def test_default_headers_can_be_replaced(serving: Serving) -> None:
    """RFC 9110 section 6.6.1, 10.2.4."""
    date = b"Sun, 06 Nov 1994 08:49:37 GMT"

    def script(exchange: Exchange) -> None:
        exchange.start(200, [(b"date", date), (b"Server", b"mine"), (b"x", b"y")])
        exchange.write(b"")

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request())
        assert response.header("date") == date.decode()
        assert response.header("server") == "mine"


async def test_reason_phrase(serving: Serving) -> None:
    """RFC 9112 section 4: an application's own one, and no way to end the line with it."""

    def script(exchange: Exchange) -> None:
        with pytest.raises(ResponseError):
            exchange.start(418, [], b"Short\r\nx: y")
        exchange.start(418, [(b"date", b"Sun, 06 Nov 1994 08:49:37 GMT")], b"Short and stout")
        exchange.write(b"")

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request())
        assert (response.status, response.reason) == (418, b"Short and stout")


async def test_hop_by_hop_headers_are_the_servers(serving: Serving) -> None:
    """RFC 9110 section 7.6.1."""

    def script(exchange: Exchange) -> None:
        exchange.start(
            200,
            [(b"transfer-encoding", b"chunked"), (b"keep-alive", b"timeout=9"), (b"connection", b"close")],
        )
        exchange.write(b"abc")

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request())
        assert response.framing == "length"
        assert response.connection == {"close"}
        assert response.header("keep-alive") is None
        await client.read_until_closed()


BAD_HEADS = [
    (200, [(b"a b", b"c")]),
    (200, [(b"", b"c")]),
    (200, [(b"a", b"b\r\nc: d")]),
    (200, [(b"a", b"b\nc: d")]),
    (200, [(b"a", b"b\0c")]),
    (200, [(b"a\r\nb", b"c")]),
    (200, [("a", b"b")]),
    (200, [(b"a", "b")]),
    (200, [(b"content-length", b"-1")]),
    (200, [(b"content-length", b"1"), (b"content-length", b"2")]),
    (99, []),
    (1000, []),
    ("200", []),
]


@pytest.mark.parametrize(("status", "headers"), BAD_HEADS)
async def test_bad_head(serving: Serving, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    """RFC 9110 section 5.1, 5.5: an error for the application, a 500 for the client, nothing half."""
    errors: list[ResponseError] = []

    def script(exchange: Exchange) -> None:
        try:
            exchange.start(status, headers)
        except ResponseError as error:
            errors.append(error)
            exchange.fail()

    async with serving(script) as host, host.client() as client:
        for _ in range(2):
            response = await client.ask(request())
            assert response.status == 500
            assert not response.all("a")
    assert len(errors) == 2


@pytest.mark.parametrize("body", [b"ab", b"abcd"])
async def test_whole_body_against_length(serving: Serving, body: bytes) -> None:
    """RFC 9110 section 8.6: found before anything has left, so there is a clean 500."""

    def script(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"3")])
        with pytest.raises(ResponseError, match="content-length is 3"):
            exchange.write(body)
        exchange.fail()

    async with serving(script) as host, host.client() as client:
        assert (await client.ask(request())).status == 500


@pytest.mark.parametrize("second", [b"", b"cd"])
async def test_streamed_body_against_length(serving: Serving, second: bytes) -> None:
    """RFC 9110 section 8.6: too late for a 500, so the client must see a broken body."""

    def script(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"3")])
        exchange.write(b"ab", more=True)
        with pytest.raises(ResponseError, match="content-length is 3"):
            exchange.write(second)

    async with serving(script) as host, host.client() as client:
        await client.send(request())
        with pytest.raises(IncompleteResponseError) as caught:
            await client.read()
        assert caught.value.partial is None or b"c" not in caught.value.partial.body


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_failure_after_the_start_is_noticed(serving: Serving, version: str) -> None:
    """RFC 9112 section 8: no last chunk; on 1.0, where the end of the connection ends the body, a reset."""

    def script(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"abc", more=True)
        exchange.fail()

    async with serving(script) as host, host.client() as client:
        await client.send(request(version=version))
        with pytest.raises(IncompleteResponseError):
            await client.read(version=version)


async def test_misplaced_calls(serving: Serving) -> None:
    caught: list[type[Exception]] = []

    def attempt(call: Callable[..., object], *args: object) -> None:
        try:
            call(*args)
        except Exception as error:
            caught.append(type(error))

    def script(exchange: Exchange) -> None:
        attempt(exchange.write, b"")
        exchange.start(200, [])
        exchange.write(b"a", True)
        attempt(exchange.start, 200, [])
        exchange.write(b"")
        attempt(exchange.write, b"")
        exchange.disconnect()
        attempt(exchange.write, b"")

    async with serving(script) as host, host.client() as client:
        assert (await client.ask(request())).body == b"a"
    assert caught == [ResponseError, ResponseError, ResponseError, ClientDisconnectedError]
