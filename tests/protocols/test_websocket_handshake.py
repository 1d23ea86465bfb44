"""The opening handshake: what is refused (RFC 6455 section 4), what is agreed on (RFC 7692 section 7)."""

from __future__ import annotations

import pytest

from aserve.protocols.options import WebSocketOptions
from aserve.protocols.trust import Trust
from aserve.protocols.websocket.deflate import Deflate
from tests.support.inprocess import Receive, Scope, Send, serving
from tests.support.websocket import TEXT, closing, frame, handshake


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"http"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})


KEY, VERSION = "Sec-WebSocket-Key", "Sec-WebSocket-Version"


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (handshake(method="POST"), 400, "a WebSocket begins with a GET request"),
        (handshake("/", ("Content-Length", "1")) + b"x", 400, "a WebSocket's request has no body"),
        (
            handshake("/", ("Transfer-Encoding", "chunked")) + b"0\r\n\r\n",
            400,
            "a WebSocket's request has no body",
        ),
        (handshake(without=[KEY]), 400, "missing or invalid Sec-WebSocket-Key"),
        (handshake("/", (KEY, "AAAA"), without=[KEY]), 400, "missing or invalid Sec-WebSocket-Key"),
        (handshake("/", (KEY, "x" * 24), without=[KEY]), 400, "missing or invalid Sec-WebSocket-Key"),
        (handshake("/", (KEY, "\xe4" * 24), without=[KEY]), 400, "missing or invalid Sec-WebSocket-Key"),
        (handshake("/", (KEY, "dGhlIHNhbXBsZSBub25jZQ==")), 400, "missing or invalid Sec-WebSocket-Key"),
        (handshake(without=[VERSION]), 400, "missing Sec-WebSocket-Version"),
        (handshake("/", (VERSION, "8"), without=[VERSION]), 426, "WebSocket version not supported"),
        (handshake("/", (VERSION, "13")), 426, "WebSocket version not supported"),
        (handshake("/", ("Sec-WebSocket-Extensions", "a=b")), 400, "malformed Sec-WebSocket-Extensions"),
        (handshake("/", ("Sec-WebSocket-Extensions", 'a; b="c')), 400, "malformed Sec-WebSocket-Extensions"),
        (handshake(without=["Host"]).replace(b"Host: test\r\n", b""), 400, "missing Host header"),
    ],
)
async def test_refused(
    data: bytes, status: int, text: str, http: str, caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 6455 section 4.2.1, 4.2.2 and 9.1; nothing reaches the application."""
    caplog.set_level("INFO")
    async with serving(echo, http=http) as served, served.client() as client:
        response = await client.ask(data)
        assert (response.status, response.text) == (status, text + "\n")
        assert "close" in response.connection
        if "Version" in text or "version" in text:
            assert response.header("sec-websocket-version") == "13"
        if status == 426:
            assert response.header("upgrade") == "websocket"  # RFC 9110 section 15.5.22
            assert "upgrade" in response.connection
        assert not served.group.running
        assert await client.read_until_closed() == b""
    assert f"refused: {status} {text} (RFC " in caplog.text


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize(
    "data",
    [
        handshake(without=["Connection"]),
        handshake("/", ("Connection", "keep-alive"), without=["Connection"]),
        handshake(without=["Upgrade"]),
        handshake("/", ("Upgrade", "h2c"), without=["Upgrade"]),
        handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["no option", "another option", "no upgrade", "another protocol", "HTTP/1.0"],
)
async def test_no_offer(data: bytes, http: str) -> None:
    """RFC 9110 section 7.8: then it is a request like others."""
    async with serving(echo, http=http) as served, served.client() as client:
        response = await client.ask(data, version="1.0" if b"HTTP/1.0" in data else "1.1")
        assert (response.status, response.body) == (200, b"http")


@pytest.mark.parametrize(
    "fields",
    [
        [("Upgrade", "WebSocket")],
        [("Upgrade", "foo/2, websocket")],
        [("Upgrade", "foo/2"), ("Upgrade", "websocket")],
    ],
)
@pytest.mark.parametrize("connection", ["upgrade", "keep-alive, Upgrade", "close, upgrade"])
async def test_spellings_of_the_offer(fields: list[tuple[str, str]], connection: str) -> None:
    data = handshake("/", *fields, ("Connection", connection), without=["Upgrade", "Connection"])
    async with serving(echo) as served, served.websocket() as client:
        await client.send(data)
        assert (await client.read_head()).status == 101
        await client.send(closing(1000))
        await client.read_end()


@pytest.mark.parametrize(
    ("offer", "options", "agreed"),
    [
        ("", {}, "server_max_window_bits=12"),
        ("; client_max_window_bits", {}, "server_max_window_bits=12; client_max_window_bits=12"),
        ("; client_max_window_bits=10", {}, "server_max_window_bits=12; client_max_window_bits=10"),
        ('; client_max_window_bits="10"', {}, "server_max_window_bits=12; client_max_window_bits=10"),
        ("; client_max_window_bits=15", {}, "server_max_window_bits=12; client_max_window_bits=12"),
        ("; server_max_window_bits=10", {}, "server_max_window_bits=10"),
        ("; server_max_window_bits=15", {}, "server_max_window_bits=12"),
        ("; server_max_window_bits=15", {"window_bits": 15}, "server_max_window_bits=15"),
        ("", {"window_bits": 15}, ""),
        ("; client_no_context_takeover", {"window_bits": 15}, "client_no_context_takeover"),
        ("; server_no_context_takeover", {"window_bits": 15}, "server_no_context_takeover"),
        (
            "",
            {"window_bits": 15, "context_takeover": False},
            "server_no_context_takeover; client_no_context_takeover",
        ),
        ("; server_max_window_bits=8", {}, None),  # zlib cannot
        ("; server_max_window_bits=16", {}, None),
        ("; server_max_window_bits=010", {}, None),
        ("; server_max_window_bits", {}, None),
        ("; client_max_window_bits=7", {}, None),
        ("; client_max_window_bits=", {}, None),
        ("; client_no_context_takeover=1", {}, None),
        ("; client_no_context_takeover; client_no_context_takeover", {}, None),
        ("; unknown", {}, None),
    ],
)
def test_parameters(offer: str, options: dict[str, int], agreed: str | None) -> None:
    """RFC 7692 section 7.1."""
    assert Deflate(WebSocketOptions(**options)).accept("permessage-deflate" + offer) == agreed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("offers", "agreed"),
    [
        ("permessage-deflate; unknown, permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
        (
            "permessage-deflate; server_max_window_bits=9, permessage-deflate",
            "permessage-deflate; server_max_window_bits=9",
        ),
        ("x-webkit-deflate-frame, permessage-bzip2", None),
    ],
)
async def test_offers(offers: str, agreed: str | None) -> None:
    """The first that can be taken is, the others are declined (RFC 7692 section 5.1)."""
    async with serving(echo) as served, served.websocket() as client:
        response = await client.open("/", ("Sec-WebSocket-Extensions", offers))
        assert response.header("sec-websocket-extensions") == agreed
        await client.send(closing(1000))
        await client.read_end()


async def test_deflate_can_be_off() -> None:
    options = WebSocketOptions(deflate=False)
    async with serving(echo, websocket=options) as served, served.websocket() as client:
        response = await client.open("/", ("Sec-WebSocket-Extensions", "permessage-deflate"))
        assert response.header("sec-websocket-extensions") is None
        await client.send(closing(1000))
        await client.read_end()


async def test_behind_the_proxy_protocol() -> None:
    """All of it in one piece: the header, the handshake, and what belongs to the WebSocket."""
    trust = Trust(["127.0.0.1"])
    async with (
        serving(echo, proxy_protocol="auto", proxy_trust=trust) as served,
        served.websocket() as client,
    ):
        line = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"
        await client.send(line + handshake() + frame(TEXT, b"first"))
        assert (await client.read_head()).status == 101
        assert (await client.read_frame()).text == "first"
        [connection] = served.group.connections
        assert connection.client == ("203.0.113.7", 56324)
        await client.send(closing(1000))
        await client.read_end()
