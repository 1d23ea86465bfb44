"""WebSockets of real frameworks, spoken to by real clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.support.client import TIMEOUT
from tests.support.pool import FLAVOURS, Flavour, ServerPool
from tests.support.report import watch
from tests.support.site import Site


@pytest.fixture(autouse=True)
async def limit() -> AsyncIterator[None]:
    """Clients of others have time limits of their own, and some have none."""
    async with asyncio.timeout(2 * TIMEOUT):
        yield


Opener = Callable[..., Any]


@pytest.fixture
async def open_site(request: pytest.FixtureRequest, pool: ServerPool) -> AsyncIterator[Opener]:
    """Open the site of an application in tests/apps; its output is checked at the end."""
    opened: list[Site] = []

    async def get(app: str, flavour: Flavour = FLAVOURS[0]) -> Site:
        server = pool.get(app, flavour)
        watch(request, server)
        opened.append(await Site(server).__aenter__())
        return opened[-1]

    yield get
    for site in opened:
        await site.__aexit__(None, None, None)


def url(site: Site, path: str) -> str:
    return site.server.url.replace("http:", "ws:") + path


APPS = ["websocket_app:fastapi", "websocket_app:starlette"]
BINARY = bytes(range(256)) * 400


# -- each client with FastAPI and Starlette ----------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("compression", ["deflate", None])
async def test_websockets(open_site: Opener, app: str, flavour: Flavour, compression: str | None) -> None:
    websockets = pytest.importorskip("websockets")
    site = await open_site(app, flavour)
    options = {"subprotocols": ["other", "chat"], "compression": compression, "proxy": None}
    async with websockets.connect(url(site, "/echo"), **options) as client:
        assert client.subprotocol == "chat"
        assert [type(each).__name__ for each in client.protocol.extensions] == (
            ["PerMessageDeflate"] if compression else []
        )
        for message in ("gr\u00fc\u00df dich", "", BINARY, b"", "x" * 100_000, "\U0001f600" * 1000):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["in ", "several ", "frames"])
        assert await client.recv() == "in several frames"
        await (await client.ping())
        await client.close(4000, "enough")
    assert (client.close_code, client.close_reason) == (4000, "")


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("compress", [0, 15, 9])
async def test_aiohttp(open_site: Opener, app: str, compress: int) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    site = await open_site(app)
    async with aiohttp.ClientSession() as session:
        options = {"protocols": ["chat"], "compress": compress}
        async with session.ws_connect(url(site, "/echo"), **options) as client:
            assert client.protocol == "chat"
            assert bool(client.compress) is bool(compress)
            for number in range(3):  # a context for all of them
                await client.send_str(f"gr\u00fc\u00df dich {number}" * 50)
                assert await client.receive_str() == f"gr\u00fc\u00df dich {number}" * 50
            await client.send_bytes(BINARY)
            assert await client.receive_bytes() == BINARY
            await client.close(code=4000, message=b"enough")
            assert client.close_code == 4000


@pytest.mark.parametrize("app", APPS)
async def test_httpx_ws(open_site: Opener, app: str) -> None:
    """wsproto's client, in httpx."""
    httpx = pytest.importorskip("httpx")
    httpx_ws = pytest.importorskip("httpx_ws")
    site = await open_site(app)
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        httpx_ws.aconnect_ws(url(site, "/echo"), http, subprotocols=["chat"]) as client,
    ):
        assert client.subprotocol == "chat"
        await client.send_text("gr\u00fc\u00df dich")
        assert await client.receive_text() == "gr\u00fc\u00df dich"
        await client.send_bytes(BINARY)
        assert await client.receive_bytes() == BINARY
        await client.ping()


# -- what else they do -------------------------------------------------------------------------


async def test_denials(open_site: Opener) -> None:
    websockets = pytest.importorskip("websockets")
    site = await open_site(APPS[0])
    for path, status, body in (
        ("/guarded", 403, b"Forbidden"),
        ("/denied", 418, b"not today"),
        ("/nowhere", 403, b"Forbidden"),
    ):
        with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
            await websockets.connect(url(site, path), proxy=None)
        assert (caught.value.response.status_code, caught.value.response.body) == (status, body)
    assert caught.value.response.headers["connection"] == "close"


async def test_accepted_after_a_dependency(open_site: Opener) -> None:
    websockets = pytest.importorskip("websockets")
    site = await open_site(APPS[0])
    async with websockets.connect(url(site, "/guarded?token=secret"), proxy=None) as client:
        assert await client.recv() == "hello somebody"
        with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
            await client.recv()
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "bye")


async def test_careless_application(open_site: Opener) -> None:
    """The site's end sees that the disconnect has left no traceback in the log."""
    websockets = pytest.importorskip("websockets")
    site = await open_site(APPS[0])
    async with websockets.connect(url(site, "/careless"), proxy=None) as client:
        await client.send('{"a": 1}')
        assert json.loads(await client.recv()) == {"a": 1}


async def test_requests_beside_it(open_site: Opener) -> None:
    site = await open_site(APPS[0])
    assert "new WebSocket" in (await site.http.get("/")).text


# -- Channels and Socket.IO --------------------------------------------------------------------


async def test_channels(open_site: Opener) -> None:
    websockets = pytest.importorskip("websockets")
    pytest.importorskip("channels")
    site = await open_site("channels_app:application")
    assert (await site.http.get("/")).text == "django"
    room = url(site, "/room")
    async with (
        websockets.connect(room, subprotocols=["room"], proxy=None) as one,
        websockets.connect(room, proxy=None) as two,
    ):
        assert (one.subprotocol, two.subprotocol) == ("room", None)
        await one.send('{"hello": "all"}')
        for client in (one, two):
            assert json.loads(await client.recv()) == {"hello": "all"}
    async with websockets.connect(url(site, "/blocking"), proxy=None) as client:
        for message in ("text", b"bytes", "bye"):
            await client.send(message)
            assert await client.recv() == message
        with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
            await client.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4005, "bye yourself")
    with pytest.raises(websockets.exceptions.InvalidStatus) as denied:
        await websockets.connect(url(site, "/blocking?no"), proxy=None)
    assert denied.value.response.status_code == 403


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]])
async def test_socketio(open_site: Opener, transports: list[str]) -> None:
    socketio = pytest.importorskip("socketio")
    pytest.importorskip("aiohttp")
    site = await open_site("socketio_app:app")
    heard: list[asyncio.Queue[str]] = [asyncio.Queue(), asyncio.Queue()]
    clients = []
    for queue in heard:
        client = socketio.AsyncClient(reconnection=False)
        client.on("said", queue.put)
        await client.connect(site.server.url, transports=transports)
        clients.append(client)
    for client in clients:
        assert await client.call("join", "lobby") == "joined lobby"
    await clients[0].emit("say", {"room": "lobby", "text": "gr\u00fc\u00df euch"})
    assert [await queue.get() for queue in heard] == ["gr\u00fc\u00df euch"] * 2
    assert await clients[1].call("double", BINARY) == BINARY * 2
    assert clients[0].transport() == "websocket"
    for client in clients:
        await client.disconnect()
