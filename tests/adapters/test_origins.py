"""What applications see of a request that has come through trusted proxies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from aserve.adapters import make_adapter, make_runner
from aserve.adapters.runner import RunnerOptions
from aserve.protocols.forwarded import Trust
from aserve.protocols.group import ConnectionGroup
from aserve.protocols.options import ConnectionOptions
from tests.support.client import AsyncRawClient, request

Kind = Literal["asgi", "wsgi"]
KINDS: list[Kind] = ["asgi", "wsgi"]


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    shown = {name: scope[name] for name in ("client", "scheme", "server", "root_path", "path")}
    shown["raw_path"] = scope["raw_path"].decode()
    shown["hosts"] = [value.decode() for name, value in scope["headers"] if name == b"host"]
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": json.dumps(shown).encode()})


def _wsgi(environ: Any, start_response: Any) -> list[bytes]:
    names = ("REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT")
    shown = {name: environ.get(name) for name in (*names, "SCRIPT_NAME", "PATH_INFO", "RAW_URI")}
    start_response("200 OK", [])
    return [json.dumps(shown).encode()]


@asynccontextmanager
async def serving(
    kind: Kind, *, root_path: str = "", trust: Trust | None = None, unix: Path | None = None
) -> AsyncIterator[Any]:
    """Serve an application that shows what it gets; yields the address."""
    loop = asyncio.get_running_loop()
    app, interface = (_wsgi, "wsgi") if kind == "wsgi" else (_asgi, "asgi3")
    runner = make_runner("wsgi", loop, RunnerOptions(threads=1))
    adapter = make_adapter(app, interface, loop=loop, lifespan="off", root_path=root_path, runner=runner)  # type: ignore[arg-type]
    await adapter.startup()
    options = ConnectionOptions(forwarded_trust=trust or Trust(["*"]))
    group = ConnectionGroup(adapter.exchange_factory, loop=loop, options=options)
    group.start()
    if unix is not None:
        server: Any = await loop.create_unix_server(group.connection, unix)
    else:
        server = await loop.create_server(group.connection, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        group.abort()
        group.stop()
        await adapter.shutdown()


async def ask(address: Any, target: str = "/items", *fields: tuple[str, str]) -> Any:
    async with AsyncRawClient(address) as client:
        response = await client.ask(request("GET", target, [("X-Unrelated", "1"), *fields]))
    assert response.status == 200
    return response.json()


ALL = (
    ("X-Forwarded-For", "203.0.113.7:5678"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "a.example"),
    ("X-Forwarded-Prefix", "/caf%C3%A9"),
)


async def test_scope() -> None:
    async with serving("asgi") as address:
        assert await ask(address, "/items/%C3%A9?q", *ALL) == {
            "client": ["203.0.113.7", 5678],
            "scheme": "https",
            "server": ["a.example", 443],
            "root_path": "/café",
            "path": "/café/items/é",
            "raw_path": "/caf%C3%A9/items/%C3%A9",
            "hosts": ["a.example"],
        }


async def test_environ() -> None:
    async with serving("wsgi") as address:
        assert await ask(address, "/items/%C3%A9?q", *ALL) == {
            "REMOTE_ADDR": "203.0.113.7",
            "REMOTE_PORT": "5678",
            "wsgi.url_scheme": "https",
            "HTTP_HOST": "a.example",
            "SERVER_NAME": "a.example",
            "SERVER_PORT": "443",
            "SCRIPT_NAME": "/café".encode().decode("latin-1"),
            "PATH_INFO": "/items/é".encode().decode("latin-1"),
            "RAW_URI": "/items/%C3%A9?q",
        }


@pytest.mark.parametrize("kind", KINDS)
async def test_from_others_nothing_is_taken(kind: Kind) -> None:
    async with serving(kind, trust=Trust(["10.0.0.1"])) as address:
        shown = await ask(address, "/items", *ALL)
    if kind == "asgi":
        assert (shown["client"][0], shown["scheme"], shown["root_path"]) == ("127.0.0.1", "http", "")
        assert (shown["server"], shown["hosts"]) == (list(address), ["test"])
    else:
        assert (shown["REMOTE_ADDR"], shown["wsgi.url_scheme"], shown["SCRIPT_NAME"]) == (
            "127.0.0.1",
            "http",
            "",
        )
        assert (shown["SERVER_PORT"], shown["HTTP_HOST"]) == (str(address[1]), "test")


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_not_said_stays_as_it_is(kind: Kind) -> None:
    async with serving(kind) as address:
        shown = await ask(address, "/items", ("X-Forwarded-Proto", "https"))
    if kind == "asgi":
        assert (shown["scheme"], shown["client"][0]) == ("https", "127.0.0.1")
        assert (shown["server"], shown["path"], shown["hosts"]) == (list(address), "/items", ["test"])
    else:
        assert (shown["wsgi.url_scheme"], shown["REMOTE_ADDR"]) == ("https", "127.0.0.1")
        assert (shown["SERVER_PORT"], shown["PATH_INFO"]) == (str(address[1]), "/items")
        assert shown["REMOTE_PORT"] != "0"


@pytest.mark.parametrize("kind", KINDS)
async def test_the_port_alone(kind: Kind) -> None:
    async with serving(kind) as address:
        shown = await ask(address, "/", ("X-Forwarded-Port", "8443"))
    if kind == "asgi":
        assert (shown["server"], shown["hosts"]) == ([address[0], 8443], ["test"])
    else:
        assert (shown["SERVER_NAME"], shown["SERVER_PORT"]) == (address[0], "8443")
        assert shown["HTTP_HOST"] == "test"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", ["unknown", "_secret"])
async def test_a_client_that_is_not_known_is_not_taken_for_the_proxy(kind: Kind, hidden: str) -> None:
    async with serving(kind) as address:
        shown = await ask(address, "/", ("X-Forwarded-For", hidden))
    if kind == "asgi":
        assert shown["client"] is None
    else:
        assert (shown["REMOTE_ADDR"], shown["REMOTE_PORT"]) == ("", None)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_whose_port_is_not_known(kind: Kind) -> None:
    async with serving(kind) as address:
        shown = await ask(address, "/", ("X-Forwarded-For", "2001:db8::7"))
    if kind == "asgi":
        assert shown["client"] == ["2001:db8::7", 0]
    else:
        assert (shown["REMOTE_ADDR"], shown["REMOTE_PORT"]) == ("2001:db8::7", None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("root_path", ["", "/configured"])
@pytest.mark.parametrize(
    ("target", "below"),
    [("/items", "/items"), ("/api/items", "/items"), ("/api", ""), ("/apis", "/apis"), ("/", "/")],
)
async def test_a_prefix_may_be_left_in_the_path_or_not(
    kind: Kind, root_path: str, target: str, below: str
) -> None:
    """It replaces the configured one."""
    async with serving(kind, root_path=root_path) as address:
        shown = await ask(address, target, ("X-Forwarded-Prefix", "/api/"))
    if kind == "asgi":
        assert (shown["root_path"], shown["path"], shown["raw_path"]) == (
            "/api",
            "/api" + below,
            "/api" + below,
        )
    else:
        assert (shown["SCRIPT_NAME"], shown["PATH_INFO"]) == ("/api", below)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_ipv6_server(kind: Kind) -> None:
    async with serving(kind) as address:
        shown = await ask(address, "/", ("Forwarded", 'for="[2001:db8::7]:80";host="[::1]:8000"'))
    if kind == "asgi":
        assert (shown["client"], shown["server"]) == (["2001:db8::7", 80], ["::1", 8000])
        assert shown["hosts"] == ["[::1]:8000"]
    else:
        assert (shown["REMOTE_ADDR"], shown["SERVER_NAME"]) == ("2001:db8::7", "[::1]")
        assert (shown["SERVER_PORT"], shown["HTTP_HOST"]) == ("8000", "[::1]:8000")


@pytest.mark.parametrize("kind", KINDS)
async def test_peers_on_unix_sockets(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(kind, trust=Trust(["unix"]), unix=path) as address:
        shown = await ask(address, "/", ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Port", "443"))
    if kind == "asgi":
        assert (shown["client"], shown["server"]) == (["203.0.113.7", 0], [str(path), None])
    else:
        assert (shown["REMOTE_ADDR"], shown["SERVER_NAME"]) == ("203.0.113.7", "test")
        assert shown["SERVER_PORT"] == "443"
