"""What FastAPI and Flask see of a visitor behind nginx."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.conftest import Serve
from tests.proxies.conftest import StartNginx, documented, location, upstream
from tests.proxies.nginx import VISITOR, Nginx
from tests.support.client import RawClient
from tests.support.pool import FLAVOURS, TESTS, ServerPool

APPS = ["fast", "flask"]

FORWARDING = (
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    "proxy_set_header X-Forwarded-Proto $scheme;",
    "proxy_set_header X-Forwarded-Host $http_host;",
    "proxy_set_header X-Forwarded-Port $server_port;",
)


def ask(nginx: Nginx, *fields: str, target: str = "/origin") -> Any:
    """What the application says, as JSON."""
    lines = [f"GET {target} HTTP/1.1", "Host: shop.example:8080", *fields, "", ""]
    with nginx.visitor() as visitor:
        response = visitor.ask("\r\n".join(lines).encode())
        assert response.status == 200, response
        shown = response.json()
        shown["visitor"] = list(visitor.socket.getsockname())
        return shown


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:app.sock"])
@pytest.mark.parametrize("app", APPS)
def test_the_usual_headers(serve: Serve, start_nginx: StartNginx, app: str, bind: str, tmp_path: Any) -> None:
    if bind.startswith("unix:"):
        bind = f"unix:{tmp_path}/app.sock"
    server = serve(f"apps.origin_app:{app}", bind=bind, cwd=TESTS)
    nginx = start_nginx(upstream(server.target) + location(*FORWARDING))
    for claimed in ("", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: garbage, 127.0.0.1"):
        shown = ask(nginx, claimed) if claimed else ask(nginx)
        assert shown["client"] == [VISITOR, 0]
        assert shown["forwarded"].endswith(VISITOR)
        assert (shown["url"], shown["link"]) == ("http://shop.example:8080/origin",) * 2
        assert (shown["host"], shown["server"]) == ("shop.example:8080", ["shop.example", nginx.target[1]])


@pytest.mark.parametrize("app", APPS)
def test_without_headers_of_its_own_nginx_is_the_client(
    pool: ServerPool, start_nginx: StartNginx, app: str
) -> None:
    server = pool.get(f"origin_app:{app}", FLAVOURS[0])
    nginx = start_nginx(upstream(server.target) + location())
    shown = ask(nginx)
    assert shown["client"][0] == "127.0.0.1"
    assert shown["client"] != shown["visitor"]


@pytest.mark.parametrize("app", APPS)
def test_a_proxy_that_is_not_trusted(serve: Serve, start_nginx: StartNginx, app: str) -> None:
    server = serve("--forwarded-allow-ips", "10.0.0.0/8", f"apps.origin_app:{app}", cwd=TESTS)
    nginx = start_nginx(upstream(server.target) + location(*FORWARDING))
    shown = ask(nginx)
    assert shown["client"][0] == "127.0.0.1"
    assert shown["forwarded"] == VISITOR  # a header as any other


@pytest.mark.parametrize("app", APPS)
def test_two_proxies_in_a_row(pool: ServerPool, start_nginx: StartNginx, app: str) -> None:
    """The outer one is a stranger to the server: trusted by its address, here that of the inner one."""
    server = pool.get(f"origin_app:{app}", FLAVOURS[0])
    inner = start_nginx(upstream(server.target) + location(FORWARDING[0]))
    assert isinstance(inner.target, tuple)
    outer = start_nginx(upstream(inner.target) + location(FORWARDING[0]))
    shown = ask(outer, "X-Forwarded-For: 6.6.6.6")
    assert shown["forwarded"] == f"6.6.6.6, {VISITOR}, 127.0.0.1"
    assert shown["client"] == [VISITOR, 0]


@pytest.mark.parametrize("app", APPS)
def test_forwarded_as_nginx_can_write_it(pool: ServerPool, start_nginx: StartNginx, app: str) -> None:
    server = pool.get(f"origin_app:{app}", FLAVOURS[0])
    nginx = start_nginx(
        upstream(server.target)
        + location(
            r'set $node "\"$remote_addr:$remote_port\"";',
            r'proxy_set_header Forwarded "for=$node;host=\"$http_host\";proto=https";',
            'proxy_set_header X-Forwarded-For "";',
        )
    )
    shown = ask(nginx, "Forwarded: for=6.6.6.6;host=evil.example")
    assert shown["client"] == shown["visitor"]
    assert (shown["url"], shown["link"]) == ("https://shop.example:8080/origin",) * 2


@pytest.mark.parametrize("app", APPS)
def test_a_prefix_that_nginx_takes_off(pool: ServerPool, start_nginx: StartNginx, app: str) -> None:
    server = pool.get(f"origin_app:{app}", FLAVOURS[0])
    prefix = "proxy_set_header X-Forwarded-Prefix /shop;"
    http = location(prefix, path="/shop/").replace("http://app;", "http://app/;")
    shown = ask(start_nginx(upstream(server.target) + http), target="/shop/origin")
    assert shown["root"] == "/shop"
    assert (shown["url"], shown["link"]) == ("http://shop.example:8080/shop/origin",) * 2


@pytest.mark.parametrize("app", APPS)
def test_a_prefix_that_nginx_leaves_in_the_path(pool: ServerPool, start_nginx: StartNginx, app: str) -> None:
    server = pool.get(f"origin_app:{app}", FLAVOURS[0])
    http = location("proxy_set_header X-Forwarded-Prefix /shop;", path="/shop/")
    shown = ask(start_nginx(upstream(server.target) + http), target="/shop/origin")
    assert shown["root"] == "/shop"
    assert (shown["url"], shown["link"]) == ("http://shop.example:8080/shop/origin",) * 2


def test_a_contradiction_reaches_the_visitor_as_400(serve: Serve, start_nginx: StartNginx) -> None:
    server = serve("apps.origin_app:fast", cwd=TESTS)
    nginx = start_nginx(upstream(server.target) + location(FORWARDING[1]))
    with nginx.visitor() as visitor:
        response = visitor.ask(b"GET /origin HTTP/1.1\r\nHost: a\r\nX-Forwarded-Ssl: on\r\n\r\n")
    assert (response.status, response.text) == (400, "proxy headers contradict each other\n")


@pytest.mark.parametrize("app", APPS)
def test_the_configuration_of_the_documentation(
    serve: Serve, start_nginx: StartNginx, app: str, tmp_path: Any
) -> None:
    """As it is written there but for the addresses: a visitor can claim nothing, and connections are kept."""
    server = serve(f"apps.origin_app:{app}", bind=f"unix:{tmp_path}/app.sock", cwd=TESTS)
    http = documented("nginx in front of aserve").replace("unix:/run/app/app.sock", f"unix:{server.target}")
    nginx = start_nginx(http.replace("listen 80;", "listen LISTEN;"))
    shown = ask(
        nginx,
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Protocol: ssl",
        "X-Forwarded-Ssl: on",
        "X-Forwarded-Port: 666",
        "X-Forwarded-Prefix: /evil",
        "Forwarded: for=6.6.6.6;host=evil.example",
    )
    assert shown["client"] == [VISITOR, 0]
    assert (shown["url"], shown["link"]) == ("http://shop.example:8080/origin",) * 2
    assert (shown["host"], shown["root"]) == ("shop.example:8080", "")


def test_whoever_comes_to_the_server_itself_is_not_believed(serve: Serve) -> None:
    """No proxy, and not from a trusted address."""
    server = serve("apps.origin_app:fast", cwd=TESTS)
    with socket.create_connection(("127.0.0.1", server.port), source_address=(VISITOR, 0)) as direct:
        direct.settimeout(10)
        direct.sendall(b"GET /origin HTTP/1.0\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
        answer = b"".join(iter(lambda: direct.recv(65536), b""))
    assert f'"client":["{VISITOR}",'.encode() in answer
    with RawClient(server.target) as trusted:
        shown = trusted.ask(b"GET /origin HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n").json()
    assert shown["client"] == ["6.6.6.6", 0]
