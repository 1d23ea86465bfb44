"""Requests and responses through nginx: kept connections, streams in both directions, errors, ends."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serve
from tests.proxies.conftest import StartNginx, location, upstream
from tests.proxies.nginx import Nginx
from tests.reliability.conftest import wait_until
from tests.support.client import RawClient, request
from tests.support.pool import FLAVOURS, TESTS, Flavour, ServerPool

APPS = ["fastapi_app:app", "flask_app:app"]

STREAMING = ("proxy_request_buffering off;", "proxy_buffering off;")


def get(nginx: Nginx, target: str) -> Any:
    with nginx.visitor() as visitor:
        return visitor.ask(request("GET", target))


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix"])
@pytest.mark.parametrize("app", ["fast", "flask"])
def test_connections_are_kept(
    serve: Serve, start_nginx: StartNginx, app: str, bind: str, flavour: Flavour, tmp_path: Path
) -> None:
    """A connection for each request that is under way, and not one for each request."""
    bind = f"unix:{tmp_path}/app.sock" if bind == "unix" else bind
    options = ("--forwarded-allow-ips", "none", *flavour.options)
    server = serve(*options, f"apps.origin_app:{app}", bind=bind, cwd=TESTS)
    nginx = start_nginx(upstream(server.target) + location())

    def visit(_: int) -> set[int]:
        ports = set()
        with nginx.visitor() as visitor:
            for number in range(100):
                body = b"x" * number if number % 3 else None
                method = "GET" if body is None else "POST"
                response = visitor.ask(request(method, "/origin", body=body), method)
                assert response.status == (200 if body is None else 405)
                if body is None:
                    ports.add((response.json()["client"] or ["", 0])[1])
        return ports

    assert len(visit(0)) == 1
    with ThreadPoolExecutor(8) as threads:
        several = set[int]().union(*threads.map(visit, range(8)))
    assert len(several) <= 8


def test_a_connection_that_the_server_closes_for_its_idleness_costs_no_request(
    serve: Serve, start_nginx: StartNginx
) -> None:
    server = serve("--keep-alive", "0.2", "apps.fastapi_app:app", cwd=TESTS)
    nginx = start_nginx(upstream(server.target) + location())
    for _ in range(2):
        assert get(nginx, "/").status == 200
        with RawClient(server.target) as other:  # as idle as nginx's, and a little younger
            assert other.ask(request()).status == 200
            assert other.read_until_closed() == b""
        # Who asks before nginx has seen the end of its connection gets a 502, from any server.
        wait_until(lambda: not connections_to(server.port), "nginx closes its connection")


def connections_to(port: int) -> list[str]:
    """The sockets on this machine that are connected to a port, and not closed by their own side."""
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[1] for row in table if row[2].endswith(f":{port:04X}") and row[3] in ("01", "08")]


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("app", ["fast", "flask"])
def test_an_upload_of_50_mb_that_nginx_does_not_hold_back(
    pool: ServerPool, start_nginx: StartNginx, app: str, coding: str, flavour: Flavour
) -> None:
    """The application has begun to read when the visitor has not sent half of it."""
    server = pool.get(f"origin_app:{app}", flavour)
    nginx = start_nginx(upstream(server.target) + location(*STREAMING))
    key = f"{coding}-{flavour}"
    piece, count = bytes(range(256)) * 4096, 50
    field = f"Content-Length: {len(piece) * count}" if coding == "length" else "Transfer-Encoding: chunked"
    digest = hashlib.sha256()
    with nginx.visitor() as visitor:
        visitor.send(f"POST /consume/{key} HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n".encode())
        for number in range(count):
            data = number.to_bytes(2, "big") + piece[2:]
            digest.update(data)
            visitor.send(data if coding == "length" else b"%x\r\n%b\r\n" % (len(data), data))
            if number == 20:
                assert get(nginx, f"/journal/begun-{key}").json() == [""]
        if coding == "chunked":
            visitor.send(b"0\r\n\r\n")
        response = visitor.read("POST")
        assert (response.status, response.json()) == (
            200,
            {"size": len(piece) * count, "sha256": digest.hexdigest()},
        )


@pytest.mark.parametrize("app", APPS)
def test_a_visitor_sees_a_response_before_it_is_complete(
    pool: ServerPool, start_nginx: StartNginx, app: str, request: pytest.FixtureRequest
) -> None:
    server = pool.get(app, FLAVOURS[0])
    key = f"nginx-{request.node.name}"
    nginx = start_nginx(upstream(server.target) + location(*STREAMING))
    with nginx.visitor() as visitor:
        visitor.send(f"GET /steps/{key} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert visitor.read_head().status == 200
        assert visitor.read_bytes(11) == b"6\r\nfirst\n\r\n"
        assert note(nginx, f"go-{key}") in (200, 204)
        assert visitor.read_bytes(17) == b"7\r\nsecond\n\r\n0\r\n\r\n"


def note(nginx: Nginx, name: str) -> int:
    """Write into the application's journal; returns the status."""
    with nginx.visitor() as visitor:
        return visitor.ask(request("POST", f"/journal/{name}", body=b""), "POST").status


@pytest.mark.parametrize("buffering", ["proxy_buffering off;", "proxy_buffering on;"])
@pytest.mark.parametrize("app", APPS)
def test_a_visitor_who_leaves(
    pool: ServerPool, start_nginx: StartNginx, app: str, buffering: str, request: pytest.FixtureRequest
) -> None:
    """nginx closes its connection, and the application that would send without an end hears of it."""
    server = pool.get(app, FLAVOURS[0])
    key = "nginx-left-" + "".join(filter(str.isalnum, request.node.name))
    nginx = start_nginx(upstream(server.target) + location(buffering))
    with nginx.visitor() as visitor:
        visitor.send(f"GET /endless/{key} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert visitor.read_head().status == 200
        visitor.read_bytes(100_000)
        visitor.incoming.data.clear()
    response = get(nginx, f"/journal/closed-{key}")
    assert (response.status, response.json()) == (200, [""])


@pytest.mark.parametrize("app", ["fast", "flask"])
def test_a_visitor_who_leaves_in_the_middle_of_an_upload(
    pool: ServerPool, start_nginx: StartNginx, app: str
) -> None:
    server = pool.get(f"origin_app:{app}", FLAVOURS[0])
    nginx = start_nginx(upstream(server.target) + location(*STREAMING))
    mark = server.mark()
    with nginx.visitor() as visitor:
        visitor.send(
            b"POST /consume/left HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(500_000)
        )
        assert get(nginx, "/journal/begun-left").json() == [""]
    assert get(nginx, "/journal/left").json() == [""]
    server.check(mark)


@pytest.mark.parametrize(
    ("target", "status"),
    [("/none", 404), ("/error", 500), ("/nothing", 204), ("/not-modified", 304), ("/redirect", 302)],
)
@pytest.mark.parametrize("app", APPS)
def test_statuses_are_passed_on(
    pool: ServerPool, start_nginx: StartNginx, app: str, target: str, status: int
) -> None:
    server = pool.get(app, FLAVOURS[0])
    nginx = start_nginx(upstream(server.target) + location())
    with nginx.visitor() as visitor:
        for _ in range(2):  # also on a connection that is kept
            assert visitor.ask(request("GET", target)).status == status
        assert visitor.ask(request("HEAD", "/"), "HEAD").status == 200


@pytest.mark.parametrize("directives", [(), STREAMING], ids=["held back", "streamed"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_a_body_that_is_too_large(
    serve: Serve, start_nginx: StartNginx, directives: tuple[str, ...], coding: str
) -> None:
    """The visitor sees the server's 413 while it is still sending, not a 502."""
    server = serve("--limit-request-body", "100000", "apps.origin_app:fast", cwd=TESTS)
    nginx = start_nginx(upstream(server.target) + location(*directives))
    data = bytes(1_000_000)
    with nginx.visitor() as visitor:
        if coding == "length":
            visitor.send(request("POST", "/consume/large", body=data))
        else:
            visitor.send(request("POST", "/consume/large", [("Transfer-Encoding", "chunked")]))
            visitor.send(b"f4240\r\n" + data + b"\r\n0\r\n\r\n")
        assert visitor.read("POST").status == 413


def test_a_head_that_the_server_refuses(serve: Serve, start_nginx: StartNginx) -> None:
    server = serve("--limit-request-field-size", "300", "apps.fastapi_app:app", cwd=TESTS)
    nginx = start_nginx(upstream(server.target) + location())
    with nginx.visitor() as visitor:
        response = visitor.ask(request("GET", "/", [("X-Long", "x" * 400)]))
        assert (response.status, response.text) == (431, "request header fields too large\n")
        assert visitor.ask(request()).status == 200
