"""Heads of responses: what an application may say, what is the server's to say, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from aserve.protocols.errors import ResponseError
from aserve.protocols.exchange import Exchange
from tests.protocols.conftest import Serving
from tests.support.client import request

CONTROLS = [*range(1, 9), 11, 12, *range(14, 32), 127]


@pytest.mark.parametrize("number", CONTROLS)
async def test_control_characters(serving: Serving, number: int) -> None:
    """RFC 9110 section 5.5: none of them belongs into a field value; the error tells in which."""
    errors: list[ResponseError] = []

    def script(exchange: Exchange) -> None:
        try:
            exchange.start(200, [(b"fine", b"a\tb \xff"), (b"x-bad", b"a%cb" % number)])
        except ResponseError as error:
            errors.append(error)
            exchange.fail()

    async with serving(script) as host, host.client() as client:
        assert (await client.ask(request())).status == 500
    assert "x-bad" in str(errors[0])


async def test_values_that_look_odd(serving: Serving) -> None:
    """RFC 9110 section 5.5: tabs, blanks and obs-text; blanks around a value are not part of it."""

    def script(exchange: Exchange) -> None:
        exchange.start(200, [(b"a", b" b\tc "), (b"d", b""), (b"e", b"\x80\xff")])
        exchange.write(b"")

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request())
        assert [response.all(name) for name in ("a", "d", "e")] == [["b\tc"], [""], ["\x80\xff"]]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", "5")],
        [(b"content-length", 5)],
        [(b"content-length", b"")],
        [(b"content-length", b" 5")],
        [(b"content-length", b"+5")],
        [(b"content-length", b"5, 5")],
        [(b"content-length", b"1234567890123456789")],
        [(b"Connection", "close")],
        [(b"connection", b"a b")],
        [(b"x-new-name", 5)],
        [(b"x", None)],
        [(b"x",)],
        [b"x"],
        [None],
        None,
        5,
    ],
)
async def test_malformed_headers(serving: Serving, headers: Any) -> None:
    """Whatever it is that the application gives: the error is a ResponseError."""
    errors: list[Exception] = []

    def script(exchange: Exchange) -> None:
        try:
            exchange.start(200, headers)
        except Exception as error:
            errors.append(error)
            exchange.fail()

    async with serving(script) as host, host.client() as client:
        for _ in range(2):
            assert (await client.ask(request())).status == 500
    assert [type(error) for error in errors] == [ResponseError, ResponseError]


async def test_a_refused_head_leaves_nothing_behind(serving: Serving) -> None:
    """Neither itself, nor the one before it that was still held."""

    def script(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"5"), (b"a", b"1")])
        with pytest.raises(ResponseError):
            exchange.start(201, [(b"content-length", b"7"), (b"a b", b"2")])
        with pytest.raises(ResponseError):
            exchange.write(b"seven..")
        exchange.start(202, [(b"c", b"3")])
        exchange.write(b"abc")

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request())
        assert (response.status, response.body) == (202, b"abc")
        assert (response.header("a"), response.header("c")) == (None, "3")


@pytest.mark.parametrize(
    ("headers", "upgrade", "options"),
    [
        ([(b"Connection", b"keep-alive")], None, set()),
        ([(b"Connection", b"x-mine, Keep-Alive"), (b"x-mine", b"1")], None, {"x-mine"}),
        ([(b"Connection", b"Content-Length, transfer-encoding, X-Mine")], None, {"x-mine"}),
        ([(b"Upgrade", b"h2c"), (b"Connection", b"upgrade, keep-alive")], "h2c", {"upgrade"}),
        ([(b"Upgrade", b"websocket")], "websocket", {"upgrade"}),
        ([(b"Upgrade", b"websocket"), (b"connection", b"close")], "websocket", {"upgrade", "close"}),
        ([(b"Connection", b"upgrade")], None, set()),
        ([(b"TE", b"trailers"), (b"Proxy-Connection", b"close")], None, set()),
    ],
)
async def test_connection_options(
    serving: Serving, headers: list[tuple[bytes, bytes]], upgrade: str | None, options: set[str]
) -> None:
    """RFC 9110 section 7.6.1, 7.8: what the application may say of the connection, and what is ours."""

    def script(exchange: Exchange) -> None:
        exchange.start(426, headers)
        exchange.write(b"abc")

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request())
        assert (response.header("upgrade"), response.connection) == (upgrade, options)
        assert response.body == b"abc"
        for name in ("te", "proxy-connection", "transfer-encoding"):
            assert response.header(name) is None
        if "close" in options:
            await client.read_until_closed()
        else:
            assert (await client.ask(request())).status == 426


async def test_upgrade_is_nothing_for_http_1_0(serving: Serving) -> None:
    """RFC 9110 section 7.8."""

    def script(exchange: Exchange) -> None:
        exchange.start(426, [(b"upgrade", b"h2c")])
        exchange.write(b"abc")

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request(version="1.0"), version="1.0")
        assert response.header("upgrade") is None
        assert response.connection == {"close"}
        await client.read_until_closed()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("status", [200, 204, 299, 300, 404])
async def test_connect(serving: Serving, status: int, streamed: bool) -> None:
    """RFC 9110 section 9.3.6: a 2xx has no content and no framing; others are as usual."""

    def script(exchange: Exchange) -> None:
        exchange.start(status, [(b"content-length", b"3")])
        if streamed:
            exchange.write(b"a", more=True)
        exchange.write(b"bc" if streamed else b"abc")

    async with serving(script) as host, host.client() as client:
        head = b"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n"
        response = await client.ask(head, "CONNECT")
        assert response.status == status
        assert (response.framing, response.body) == (("none", b"") if status < 300 else ("length", b"abc"))
        assert response.connection == {"close"}
        assert await client.read_until_closed() == b""


@pytest.mark.parametrize("length", [None, b"0", b"3"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_reset_content(serving: Serving, streamed: bool, length: bytes | None) -> None:
    """RFC 9110 section 15.3.6: no content, and the framing says so."""

    def script(exchange: Exchange) -> None:
        exchange.start(205, [(b"content-length", length)] if length else [])
        if streamed:
            exchange.write(b"a", more=True)
        exchange.write(b"bc")

    async with serving(script) as host, host.client() as client:
        for _ in range(2):
            response = await client.ask(request())
            assert (response.header("content-length"), response.body) == ("0", b"")


@pytest.mark.parametrize("status", [100, 101, 103, 199])
async def test_interim_status_as_the_final_one(serving: Serving, status: int) -> None:
    """RFC 9110 section 15.2."""

    def script(exchange: Exchange) -> None:
        with pytest.raises(ResponseError, match="status"):
            exchange.start(status, [])
        exchange.fail()

    async with serving(script) as host, host.client() as client:
        assert (await client.ask(request())).status == 500


async def test_first_of_several_pieces_against_length(serving: Serving) -> None:
    """RFC 9110 section 8.6: found before anything has left, so there is a clean 500, and the end."""

    def script(exchange: Exchange) -> None:
        exchange.start(200, [(b"content-length", b"3")])
        with pytest.raises(ResponseError, match="content-length is 3"):
            exchange.write(b"abcd", more=True)
        exchange.fail()

    async with serving(script) as host, host.client() as client:
        response = await client.ask(request())
        assert (response.status, response.connection) == (500, {"close"})
        assert await client.read_until_closed() == b""


@pytest.mark.parametrize("status", [200, 304])
async def test_length_without_body_is_kept(serving: Serving, status: int) -> None:
    """RFC 9110 section 8.6: it is that of the body that there would be."""

    def script(exchange: Exchange) -> None:
        exchange.start(status, [(b"content-length", b"1000")])
        exchange.write(b"")

    async with serving(script) as host, host.client() as client:
        for _ in range(2):
            response = await client.ask(request("HEAD"), "HEAD")
            assert response.header("content-length") == "1000"
