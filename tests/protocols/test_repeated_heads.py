"""Heads that a client repeats to the byte are not read again (protocols/request.py)."""

from __future__ import annotations

from typing import Any

import pytest

from aserve.protocols.exchange import Exchange
from tests.protocols.conftest import Serving, echo
from tests.support.client import request
from tests.support.inprocess import Receive, Scope, Send, serving
from tests.support.inprocess_wsgi import Environ, serving_wsgi, until

PLAIN = b"GET /a%20b?c=d HTTP/1.1\r\nHost: a\r\nCookie: e=f\r\nX-G: h\r\nCookie: i=j\r\n\r\n"


async def test_read_once(serving: Serving) -> None:
    async with serving(echo) as host, host.client() as client:
        for _ in range(4):
            assert (await client.ask(PLAIN)).status == 200
        heads = {id(exchange.request) for exchange in host.begun}
        assert len(host.begun) == 4 and len(heads) == 1


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(request("POST", "/", body=b"abc"), id="a body"),
        pytest.param(PLAIN.replace(b"h\r\n", b"k\r\n"), id="another field"),
        pytest.param(
            PLAIN.replace(b" HTTP/1.1", b" HTTP/1.0").replace(b"X-G: h", b"Connection: keep-alive"), id="1.0"
        ),
    ],
)
async def test_only_what_came_last(serving: Serving, between: bytes) -> None:
    """What has been read in between counts, and is not taken for what came before."""
    async with serving(echo) as host, host.client() as client:
        for data in (PLAIN, PLAIN, between, between, PLAIN, PLAIN):
            await client.ask(data)
        seen = [(each.method, each.http_version, each.headers) for each in host.begun]
        assert seen[0] == seen[1] == seen[4] == seen[5]
        assert seen[2] == seen[3] != seen[0]
        assert host.begun[1].request is not host.begun[4].request


async def test_in_pieces(serving: Serving) -> None:
    """Behind a head that came in pieces, and behind bytes that wait."""
    async with serving(echo) as host, host.client() as client:
        await client.ask(PLAIN)
        await client.send(PLAIN[:20])
        assert (await client.ask(PLAIN[20:])).status == 200
        for _ in range(2):
            await client.send(b"\r\n")  # an empty line in front of it, RFC 9112 section 2.2
            assert (await client.ask(PLAIN)).status == 200
        assert len(host.begun) == 4


async def test_what_is_special_is_read_again(serving: Serving) -> None:
    """A connection that is to be closed ends after the first one."""

    def answer(exchange: Exchange) -> None:
        exchange.respond(200, b"a")

    async with serving(answer) as host, host.client() as client:
        response = await client.ask(PLAIN.replace(b"X-G: h", b"Connection: close") * 2)
        assert response.connection == {"close"}
        assert await client.read_until_closed() == b""
        assert len(host.begun) == 1


async def test_asgi_applications_may_change_their_scopes() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append({**scope, "headers": list(scope["headers"]), "extensions": dict(scope["extensions"])})
        scope["headers"].append((b"added", b"1"))
        scope["extensions"]["added"] = {}
        scope["path"] = scope["raw_path"] = scope["added"] = "changed"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with serving(app) as served, served.client() as client:
        for _ in range(4):
            await client.ask(PLAIN)
    assert len(seen) == 4 and all(each == seen[0] for each in seen)
    assert seen[0]["path"] == "/a b" and seen[0]["query_string"] == b"c=d"


async def test_wsgi_applications_may_change_their_environ() -> None:
    seen: list[Environ] = []

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        assert environ["wsgi.input"].read() == b""
        environ["wsgi.input"].close()
        seen.append({name: each for name, each in environ.items() if name.isupper()})
        environ.update(dict.fromkeys(seen[0], "changed"), added="1")
        start_response("204 No Content", [])
        return []

    async with serving_wsgi(app) as served, served.client() as client:
        for _ in range(4):
            await client.ask(PLAIN)
    assert len(seen) == 4 and all(each == seen[0] for each in seen)
    assert seen[0]["PATH_INFO"] == "/a b" and seen[0]["HTTP_COOKIE"] == "e=f; i=j"


async def test_behind_pipelined_ones(serving: Serving) -> None:
    async with serving(echo) as host, host.client() as client:
        await client.ask(PLAIN)
        await client.send(request("GET", "/others") * 2)
        await client.read()
        await client.read()
        await client.ask(PLAIN)
        assert [each.target for each in host.begun] == [b"/a%20b?c=d", b"/others", b"/others", b"/a%20b?c=d"]


async def test_behind_one_whose_turn_has_not_come(serving: Serving) -> None:
    """Between the end of a response and the next request's turn there may be nobody at work."""

    def hold(exchange: Exchange) -> None:
        pass

    async with serving(hold) as host, host.client() as client:
        await client.send(PLAIN)
        await until(lambda: len(host.begun) == 1)
        first = host.begun[0]
        await client.send(PLAIN)
        await until(lambda: first.connection.queue is not None)
        [second] = first.connection.queue
        first.start(204, [])
        first.write(b"")
        first.connection.data_received(PLAIN)
        await until(lambda: len(host.begun) == 2)
        assert host.begun[1] is second
        second.start(204, [])
        second.write(b"")
        await until(lambda: len(host.begun) == 3)
        host.begun[2].start(204, [])
        host.begun[2].write(b"")
        for _ in range(3):
            assert (await client.read()).status == 204


async def test_bodies_behind_the_same_head(serving: Serving) -> None:
    """In one read with it and in several, in the same read as other requests, and with nothing behind it."""
    head = request("POST", "/", headers=[("Content-Length", "3")])
    async with serving(echo) as host, host.client() as client:
        for body in (b"abc", b"def"):
            assert (await client.ask(head + body)).body == body
        await client.send(head)
        assert (await client.ask(b"ghi")).body == b"ghi"
        connection = await host.accepted(client)
        for piece in (head + b"j", b"k", b"l" + head + b"mno" + PLAIN + head):
            connection.data_received(piece)
        for body in (b"jkl", b"mno", b""):
            assert (await client.read()).body == body
        assert (await client.ask(b"pqr")).body == b"pqr"
        assert len({id(exchange.request) for exchange in host.begun if exchange.method == "POST"}) == 2


async def test_large_heads_are_not_kept(serving: Serving) -> None:
    """An idle connection would hold twice as much."""
    large = PLAIN.replace(
        b"X-G: h", b"\r\n".join(b"X-%d: %b" % (number, bytes([97]) * 4000) for number in range(4))
    )
    async with serving(echo) as host, host.client() as client:
        for _ in range(3):
            await client.ask(PLAIN)
            await client.ask(large)
            assert host.begun[-1].headers[-2][1] == b"a" * 4000
        [connection] = host.group.connections
        host.forget()
        assert len(connection.last_head.headers) == 0
        assert connection.last_bytes is None and connection.reader.known_bytes is None
        assert (await client.ask(PLAIN)).status == 200


# -- the same with other targets --------------------------------------------------------------


def ask_for(target: bytes) -> bytes:
    return PLAIN.replace(b"/a%20b?c=d", target)


TARGETS = [b"/a", b"/b", b"/c%20d?e=%20", b"/?f", b"//g/../h;i", b"/a", b"/a", b"/j"]


async def test_fields_are_read_once(serving: Serving) -> None:
    async with serving(echo) as host, host.client() as client:
        for target in TARGETS:
            assert (await client.ask(ask_for(target))).status == 200
        assert [each.target for each in host.begun] == TARGETS
        assert all(each.headers == host.begun[0].headers for each in host.begun)
        assert len({id(each.headers) for each in host.begun[1:]}) == 1
        assert (await client.ask(request("POST", "/k", body=b"abc"))).body == b"abc"
        assert (await client.ask(ask_for(b"/l"))).status == 200
        assert (await client.ask(ask_for(b"/m").replace(b"GET", b"PUT"))).status == 200
        assert (await client.ask(ask_for(b"/n").replace(b": h", b": o"))).status == 200
        assert [each.method for each in host.begun[-4:]] == ["POST", "GET", "PUT", "GET"]
        assert host.begun[-1].headers[2] == (b"x-g", b"o")


async def test_an_authority_in_the_target(serving: Serving) -> None:
    """It stands for Host in its own request only (RFC 9112 section 3.2.2)."""
    targets = [b"http://z/a", b"http://z/b", b"http://z/c", b"/d", b"/e", b"/f", b"http://y/g", b"/h"]
    async with serving(echo) as host, host.client() as client:
        for target in targets:
            await client.ask(ask_for(target))
        hosts = [dict(each.headers)[b"host"] for each in host.begun]
        assert hosts == [b"z", b"z", b"z", b"a", b"a", b"a", b"y", b"a"]


@pytest.mark.parametrize("target", [b"", b"a", b"/ ", b"/a b", b"/\t", b"/\x00", b"/\x7f", b"/a\r", b"/\n/"])
async def test_targets_that_are_none(serving: Serving, target: bytes) -> None:
    async with serving(echo) as host, host.client() as client:
        for good in TARGETS:
            await client.ask(ask_for(good))
        assert (await client.ask(ask_for(target))).status == 400
        assert len(host.begun) == len(TARGETS)


async def test_a_target_that_is_too_long(serving: Serving) -> None:
    async with serving(echo) as host, host.client() as client:
        for good in TARGETS:
            await client.ask(ask_for(good))
        limit = host.group.options.limit_line
        assert (await client.ask(ask_for(b"/" * (limit - len("GET  HTTP/1.1"))))).status == 200
        assert (await client.ask(ask_for(b"/" * (limit - len("GET  HTTP/1.1") + 1)))).status == 414


async def test_scopes_for_other_targets() -> None:
    seen: list[tuple[Any, ...]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["raw_path"], scope["path"], scope["query_string"], list(scope["headers"])))
        scope["headers"].append((b"added", b"1"))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with serving(app) as served, served.client() as client:
        for target in TARGETS:
            await client.ask(ask_for(target))
    assert [each[:3] for each in seen[2:5]] == [
        (b"/c%20d", "/c d", b"e=%20"),
        (b"/", "/", b"f"),
        (b"//g/../h;i", "//g/../h;i", b""),
    ]
    assert all(each[3] == seen[0][3] for each in seen)


@pytest.mark.parametrize("root_path", ["", "/c d"])
async def test_environs_for_other_targets(root_path: str) -> None:
    seen: list[Environ] = []

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        seen.append({name: each for name, each in environ.items() if name.isupper()})
        environ.update(dict.fromkeys(seen[0], "changed"), added="1")
        start_response("204 No Content", [])
        return []

    async with serving_wsgi(app, root_path=root_path) as served:
        async with served.client() as client:
            for target in TARGETS:
                await client.ask(ask_for(target))
        together, seen[:] = seen[:], []
        for target in TARGETS:
            async with served.client() as client:
                await client.ask(ask_for(target))
    for one, other in zip(together, seen, strict=True):
        assert {**one, "REMOTE_PORT": ""} == {**other, "REMOTE_PORT": ""}
    assert [each["PATH_INFO"] for each in seen[:3]] == ["/a", "/b", "" if root_path else "/c d"]
