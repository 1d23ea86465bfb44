"""The command's own options as frameworks feel them: mount point, unix socket, access log, end."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve
from tests.frameworks.conftest import FRAMEWORKS, Framework
from tests.support.client import RawClient, request
from tests.support.pool import FLAVOURS, TESTS, Flavour, ServerPool
from tests.support.site import Site

COMBINED = re.compile(
    r'(?P<host>\S+) - - \[(?P<date>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "(?P<line>.*)" '
    r'(?P<status>\d{3}) (?P<size>\d+|-) "(?P<referer>.*)" "(?P<agent>.*)"'
)


@pytest.mark.parametrize("prefix", ["/api", ""], ids=["with-prefix", "prefix-removed"])
async def test_root_path(pool: ServerPool, framework: Framework, prefix: str) -> None:
    """Behind a mount point, whether the proxy takes it off the path or not, links have it."""
    server = pool.get(framework.app, FLAVOURS[0], "--root-path", "/api")
    async with Site(server) as site:
        response = await site.ask(request(target=f"{prefix}/where?a=1"))
        where = response.json()
        assert where["root"] == "/api"
        assert where["path"] == "/api/where"
        assert where["link"].startswith("http://test/api/where")
        assert (await site.http.get(f"{prefix}/json")).json() == {"hello": "world"}


@pytest.mark.parametrize("app", ["asgi_app:app", "wsgi_app:application", "django_app:application"])
@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
async def test_unix_socket(serve: Serve, tmp_path: Path, flavour: Flavour, app: str) -> None:
    path = tmp_path / "aserve.sock"
    server = serve(*flavour.options, f"apps.{app}", bind=f"unix:{path}", cwd=TESTS)
    async with Site(server) as site:
        assert (await site.http.get("/")).text == "hello"
        async with site.raw() as client:
            assert (await client.ask(request() + request())).text == "hello"
            assert (await client.read()).text == "hello"
        if app == "asgi_app:app":
            scope = (await site.http.get("/scope")).json()
            assert scope["server"] == [str(path), None]
            assert scope["client"] is None
        elif app == "wsgi_app:application":
            environ = (await site.http.get("/environ")).json()
            assert environ["SERVER_NAME"]
            assert environ["SERVER_PORT"]
    server.stop()
    assert not path.exists()


@pytest.mark.parametrize("app", ["asgi_app:app", "wsgi_app:application"])
@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
async def test_access_log(serve: Serve, flavour: Flavour, app: str) -> None:
    """A line per request, in Combined format, with what was on the wire."""
    server = serve(*flavour.options, "--access-logfile", "-", f"apps.{app}", cwd=TESTS)
    async with Site(server) as site, site.raw() as client:
        headers = [("Referer", "http://a.example/"), ("User-Agent", 'quoted " agent')]
        await client.ask(request(target="/?q=1", headers=headers))
        await client.ask(request("HEAD", "/"), "HEAD")
        await client.ask(request("POST", "/unread", body=b"12345"))
        streamed = await client.ask(request(target="/stream?count=3&size=1000"))
        await client.ask(request(target="/status/204"))
        await client.ask(request(target="/error"))
        server.wait_line('"GET /error HTTP/1.1" 500', stream="stdout")
    lines = [COMBINED.fullmatch(line) for line in server.lines("stdout")[-6:]]
    assert all(lines), server.output()
    found = [(line["line"], line["status"], line["size"]) for line in lines if line]
    assert found[:5] == [
        ("GET /?q=1 HTTP/1.1", "200", "5"),
        ("HEAD / HTTP/1.1", "200", found[1][2]),
        ("POST /unread HTTP/1.1", "401", "11"),
        ("GET /stream?count=3&size=1000 HTTP/1.1", "200", str(len(streamed.body))),
        ("GET /status/204 HTTP/1.1", "204", found[4][2]),
    ]
    assert found[1][2] in ("0", "-")
    assert found[4][2] in ("0", "-")
    first = lines[0]
    assert first is not None
    assert first["host"] == "127.0.0.1"
    assert first["referer"] == "http://a.example/"
    assert '" agent' not in first["agent"].replace('\\"', "").replace("\\x22", "")


async def test_access_log_lines_cannot_be_forged(serve: Serve) -> None:
    """What a client sends stays in its field and on its line."""
    server = serve("--access-logfile", "-", "apps.asgi_app:app", cwd=TESTS)
    async with Site(server) as site:
        agent = 'x\t\xe9" 200 1 "-" "forged'
        await site.ask(request(target="/%0d%0aforged", headers=[("User-Agent", agent)]))
        match = server.wait_line(r"forged HTTP/1.1", stream="stdout")
        line = COMBINED.fullmatch(match.string)
        assert line is not None
        assert line["status"] == "404"
        assert line["line"] == "GET /%0d%0aforged HTTP/1.1"
        assert match.string.isascii()
        assert match.string.isprintable()


async def test_no_access_log_unless_asked_for(serve: Serve) -> None:
    server = serve("apps.wsgi_app:application", cwd=TESTS)
    async with Site(server) as site:
        await site.ask(request())
    server.stop()
    assert server.lines("stdout") == []
    assert not [line for line in server.lines("stderr") if "GET" in line]


@pytest.mark.parametrize("app", ["asgi_app:app", "wsgi_app:application"])
async def test_keep_alive_ends(serve: Serve, app: str) -> None:
    """An idle connection is closed after --keep-alive seconds, and not much before."""
    server = serve("--keep-alive", "1", f"apps.{app}", cwd=TESTS)
    async with Site(server) as site, site.raw() as client:
        assert (await client.ask(request())).text == "hello"
        began = time.monotonic()
        assert await client.read_until_closed() == b""
        assert time.monotonic() - began > 0.8


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
async def test_stop_finishes_what_runs(serve: Serve, framework: Framework) -> None:
    """TERM in the middle of a response: it is completed, then the server ends with status 0."""
    server = serve(f"apps.{framework.app}", cwd=TESTS)
    async with Site(server) as site, site.raw() as client, site.raw() as control:
        # The connection for the note must be open before: a stopping server takes no new one.
        await control.ask(request())
        await client.send(request(target=f"/steps/{site.key}"))
        head = await client.read_head()
        assert head.status == 200
        await client.read_bytes(11)
        await control.send(request("POST", f"/journal/go-{site.key}")[:-2])
        server.signal(signal.SIGTERM)
        await asyncio.to_thread(server.wait_line, "stopping: signal SIGTERM")
        await control.send(b"Content-Length: 0\r\n\r\n")
        assert await client.read_bytes(17) == b"7\r\nsecond\n\r\n0\r\n\r\n"
        await control.read()
    server.stop()


async def test_two_servers_of_one_application(serve: Serve, tmp_path: Path) -> None:
    """Several addresses, one application."""
    path = tmp_path / "second.sock"
    server = serve("--bind", f"unix:{path}", "apps.asgi_app:app", cwd=TESTS)
    assert len(server.addresses) == 2
    async with Site(server) as site:
        assert (await site.http.get("/")).text == "hello"
        transport = httpx.AsyncHTTPTransport(uds=str(path), verify=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://unix") as client:
            assert (await client.get("/")).text == "hello"


@pytest.mark.parametrize("app", ["fastapi_app:app", "flask_app:app", "django_app:application"])
def test_two_workers(serve: Serve, app: str) -> None:
    server = serve("--workers", "2", f"apps.{app}", cwd=TESTS)
    assert len(server.worker_pids()) == 2
    for _ in range(20):
        with RawClient(server.target) as client:
            assert client.ask(request()).text == "hello"
            assert client.ask(request()).text == "hello"
    server.stop()
    assert server.worker_pids() == []


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
@pytest.mark.parametrize("app", ["asgi_app:app", "starlette_app:app", "fastapi_app:app"])
async def test_lifespan_runs_once_each_way(serve: Serve, flavour: Flavour, app: str) -> None:
    """Start-up before the server is ready, shutdown before it ends."""
    server = serve(*flavour.options, f"apps.{app}", cwd=TESTS)
    server.wait_line("^lifespan: up$", stream="stdout")  # another pipe than that of "ready"
    server.stop()
    assert server.lines("stdout") == ["lifespan: up", "lifespan: down"]
