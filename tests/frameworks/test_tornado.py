"""A Tornado application, served with Tornado's own HTTP on our connections."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.apps.shared import block
from tests.support.client import chunked, request
from tests.support.pool import FLAVOURS, Flavour, ServerPool
from tests.support.report import watch
from tests.support.site import Site

FORMAT = '%(h)s %(m)s %(U)s %(q)s %(H)s %(s)s %(b)s "%({x-test}i)s" "%({x-answer}o)s"'


@pytest.fixture(params=FLAVOURS, ids=str)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Each loop once: it is not for greenlets."""
    chosen: Flavour = request.param
    return chosen


@pytest.fixture
async def site(request: pytest.FixtureRequest, pool: ServerPool, flavour: Flavour) -> AsyncIterator[Site]:
    """The application with an access log, on each loop; told from the object on the second one."""
    options = ["--access-logfile", "-", "--access-logformat", FORMAT, "--header", "X-Frame-Options:DENY"]
    if flavour == FLAVOURS[0]:
        options += ["-k", "tornado"]
    server = pool.get("tornado_app:app", flavour, *options)
    watch(request, server)
    async with Site(server) as opened:
        yield opened


async def test_requests_one_behind_the_other(site: Site) -> None:
    async with site.raw() as client:
        await client.send(request() + request("HEAD") + request(target="/nothing"))
        first = await client.read()
        assert (first.status, first.text) == (200, "hello")
        assert (first.header("server") or "").startswith("TornadoServer/")
        assert first.header("x-frame-options") == "DENY"
        assert (await client.read("HEAD")).header("content-length") == "5"
        assert (await client.read()).status == 404
        last = await client.ask(request(headers=[("Connection", "close")]))
        assert last.connection == {"close"}
        assert await client.read_until_closed() == b""


async def test_a_streamed_response(site: Site) -> None:
    async with site.raw() as client:
        response = await client.ask(request(target="/stream?count=40&size=50000"))
        assert response.header("transfer-encoding") == "chunked"
        assert response.body == b"".join(block(50_000, number) for number in range(40))


async def test_uploads(site: Site) -> None:
    body = block(3_000_000)
    response = await site.http.post("/echo", content=body)
    assert response.content == body
    async with site.raw() as client:
        pieces = [body[start : start + 70_000] for start in range(0, len(body), 70_000)]
        head = [("Transfer-Encoding", "chunked"), ("Expect", "100-continue")]
        await client.send(request("PUT", "/digest", head))
        assert (await client.read_head()).status == 100
        await client.send(chunked(*pieces))
        assert (await client.read()).text == f"{len(body)} {hashlib.sha256(body).hexdigest()}"
    answer = await site.http.post("/form", data={"name": "me"}, files={"file": body[:100_000]})
    assert answer.json() == {"name": "me", "files": {"file": 100_000}}


async def test_a_websocket(site: Site) -> None:
    url = site.server.url.replace("http", "ws", 1)
    socket = await websocket_connect(f"{url}/socket?key={site.key}")
    for message in ("text", b"bytes", "x" * 200_000):
        await socket.write_message(message, binary=isinstance(message, bytes))
        assert await socket.read_message() == message
    socket.close(1000, "enough")
    assert await socket.read_message() is None
    notes = (await site.http.get(f"/journal/websocket-{site.key}")).json()
    assert notes == {"notes": ["1000"]}
    site.server.wait_line(r"^127\.0\.0\.1 GET /socket key=\S+ HTTP/1\.1 101 0 ", since=site.since)


async def test_an_exception_stands_in_the_error_log(site: Site) -> None:
    assert (await site.http.get("/boom")).status_code == 500
    site.server.wait_line(r"\[ERROR\] Uncaught exception GET /boom", since=site.since)
    site.server.wait_line("DeliberateError: deliberate: in a handler$", since=site.since)
    site.server.wait_line("^127.0.0.1 GET /boom  HTTP/1.1 500 93 ", since=site.since)


async def test_what_happens_to_other_connections_stands_there_as_well(site: Site) -> None:
    async with site.raw() as client:
        await client.send(request(target=f"/backend?key={site.key}"))
        assert (await client.read_until_closed()).endswith(b"begun\r\n0\r\n\r\n")
    site.server.wait_line(rf"\[ERROR\] Uncaught exception GET /backend\?key={site.key}", since=site.since)
    site.server.wait_line("Cannot send error response after headers written$", since=site.since)
    site.server.allowed_tracebacks.append("Stream is closed")


async def test_a_line_per_request_in_our_access_log_and_none_in_tornados(site: Site) -> None:
    await site.http.get(f"/?key={site.key}", headers={"X-Test": 'quo"te'})
    await site.http.get(f"/nothing?key={site.key}")
    await site.http.get(f"/stream?count=2&size=10&key={site.key}")
    site.server.wait_line(f"size=10&key={site.key}", since=site.since)
    assert [line for line in site.server.lines(since=site.since) if site.key in line] == [
        f'127.0.0.1 GET / key={site.key} HTTP/1.1 200 5 "quo\\x22te" "yes"',
        f'127.0.0.1 GET /nothing key={site.key} HTTP/1.1 404 69 "-" "-"',
        f'127.0.0.1 GET /stream count=2&size=10&key={site.key} HTTP/1.1 200 20 "-" "-"',
    ]


async def test_a_client_that_leaves(site: Site) -> None:
    async with site.raw() as client:
        await client.send(request(target=f"/gone?key={site.key}"))
        await site.http.get(f"/journal/begun-{site.key}")
    await site.http.get(f"/journal/closed-{site.key}")
    await site.http.post(f"/journal/go-{site.key}")
    site.server.wait_line(rf"GET /gone key={site.key} ", since=site.since)
    assert "exception" not in "\n".join(site.server.lines("stderr", since=site.since))


async def test_what_a_trusted_proxy_says(site: Site) -> None:
    """By our rules: Tornado's xheaders would believe X-Real-Ip and X-Scheme, which proxies pass on."""
    headers = {
        "X-Forwarded-For": "203.0.113.9, 127.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.example",
        "X-Real-Ip": "198.51.100.66",
        "X-Scheme": "http",
    }
    answer = await site.http.get(f"/origin?key={site.key}", headers=headers)
    assert answer.json() == {
        "remote_ip": "203.0.113.9",
        "protocol": "https",
        "host": "shop.example",
        "url": f"https://shop.example/origin?key={site.key}",
    }
    site.server.wait_line(rf"^203\.0\.113\.9 GET /origin key={site.key} ", since=site.since)
    assert (await site.http.get("/origin")).json()["remote_ip"] == "127.0.0.1"  # the same connection
    assert "X-Forwarded" not in (await site.http.get("/origin")).text


async def test_a_proxy_that_contradicts_itself_is_refused(site: Site) -> None:
    async with site.raw() as client:
        fields = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")]
        await client.send(request(target=f"/?key={site.key}", headers=fields))
        assert (await client.read_until_closed()).startswith(b"HTTP/1.1 400 ")
    site.server.wait_line(rf"GET / key={site.key} HTTP/1.1 400 0 ", since=site.since)


async def test_a_websocket_of_another_origin_is_refused(site: Site) -> None:
    """Tornado compares Origin and Host: what a proxy says of the host counts."""
    url = site.server.url.replace("http", "ws", 1) + "/socket"
    proxied = {"Origin": "https://shop.example", "X-Forwarded-Host": "shop.example"}
    socket = await websocket_connect(HTTPRequest(url, headers=proxied | {"X-Forwarded-Proto": "https"}))
    socket.close()
    with pytest.raises(Exception, match="403"):
        await websocket_connect(HTTPRequest(url, headers={"Origin": "https://shop.example"}))


async def test_nobody_is_believed_who_is_not_trusted(pool: ServerPool) -> None:
    server = pool.get("tornado_app:app", FLAVOURS[0], "--forwarded-allow-ips", "none", *LIMITS)
    async with Site(server) as site:
        headers = {"X-Forwarded-For": "203.0.113.9", "X-Real-Ip": "203.0.113.9", "X-Scheme": "https"}
        answer = json.loads((await site.http.get("/origin", headers=headers)).text)
        assert (answer["remote_ip"], answer["protocol"]) == ("127.0.0.1", "http")


LIMITS = ("--no-server-header", "--limit-request-head", "5000", "--limit-request-body", "1000")


async def test_limits(pool: ServerPool) -> None:
    server = pool.get("tornado_app:app", FLAVOURS[0], "--forwarded-allow-ips", "none", *LIMITS)
    async with Site(server) as site:
        async with site.raw() as client:
            response = await client.ask(request("POST", "/echo", body=bytes(1000)))
            assert response.status == 200
            assert response.header("server") is None
            await client.send(request("POST", "/echo", body=bytes(1001)))
            assert (await client.read_until_closed()).startswith(b"HTTP/1.1 400 ")
        async with site.raw() as client:
            await client.send(request(headers=[("X-Long", "x" * 6000)])[:5500])
            assert await client.read_until_closed() == b""
        async with site.raw() as client:  # without an access log of ours Tornado's own is heard
            assert (await client.ask(request(target=f"/nothing?key={site.key}"))).status == 404
        server.wait_line(rf"\[WARNING\] 404 GET /nothing\?key={site.key} \(127\.0\.0\.1\)", since=site.since)
