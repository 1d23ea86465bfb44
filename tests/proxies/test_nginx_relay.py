"""The PROXY protocol: version 1 from nginx, version 2 from a client of our own."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from tests.conftest import Serve
from tests.proxies.conftest import StartNginx, documented
from tests.proxies.nginx import VISITOR
from tests.support.client import RawClient, request
from tests.support.pool import FLAVOURS, TESTS, Flavour
from tests.support.process import ServerProcess

FORGED = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https")]

LINE = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"
BINARY = (
    bytes.fromhex("0D0A0D0A000D0A515549540A 21 11 000C")
    + socket.inet_aton("203.0.113.7")
    + socket.inet_aton("192.0.2.1")
    + struct.pack("!HH", 56324, 443)
)


def relay(server: ServerProcess) -> str:
    """What stands in the documentation's `stream` block, with the server's address."""
    block = documented("nginx relays connections").replace("listen 80;", "listen LISTEN;")
    address = f"unix:{server.uds}" if server.uds else f"127.0.0.1:{server.port}"
    return block.partition("{")[2].rpartition("}")[0].replace("127.0.0.1:8000", address)


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix"])
@pytest.mark.parametrize("app", ["fast", "flask"])
def test_version_1_from_nginx(
    serve: Serve, start_nginx: StartNginx, app: str, bind: str, flavour: Flavour, tmp_path: Any
) -> None:
    bind = f"unix:{tmp_path}/app.sock" if bind == "unix" else bind
    server = serve("--proxy-protocol", "v1", *flavour.options, f"apps.origin_app:{app}", bind=bind, cwd=TESTS)
    nginx = start_nginx(stream=relay(server))
    for _ in range(2):
        with nginx.visitor() as visitor:
            for _ in range(3):
                shown = visitor.ask(request("GET", "/origin", FORGED)).json()
                assert shown["client"] == list(visitor.socket.getsockname())
                assert shown["server"] == list(nginx.target)
                assert shown["url"] == "http://test/origin"
            body = bytes(1_000_000)
            assert visitor.ask(request("POST", "/consume/relayed", body=body), "POST").json()["size"] == len(
                body
            )


def test_the_access_log_has_the_visitor(serve: Serve, start_nginx: StartNginx) -> None:
    options = ("--proxy-protocol", "auto", "--access-logfile", "-")
    server = serve(*options, "apps.origin_app:fast", cwd=TESTS)
    nginx = start_nginx(stream=relay(server))
    with nginx.visitor() as visitor:
        assert visitor.ask(request("GET", "/origin")).status == 200
    server.wait_line(rf'^{VISITOR} - - .*"GET /origin HTTP/1.1" 200', stream="stdout")


@pytest.mark.parametrize("app", ["fast", "flask"])
@pytest.mark.parametrize(
    ("version", "header"), [("v2", BINARY), ("auto", BINARY), ("v1", LINE), ("auto", LINE)]
)
def test_a_client_of_our_own(serve: Serve, app: str, version: str, header: bytes) -> None:
    server = serve("--proxy-protocol", version, f"apps.origin_app:{app}", cwd=TESTS)
    with RawClient(server.target) as proxy:
        proxy.send(header)
        for _ in range(2):
            shown = proxy.ask(request("GET", "/origin", FORGED)).json()
            assert (shown["client"], shown["server"]) == (["203.0.113.7", 56324], ["192.0.2.1", 443])


@pytest.mark.parametrize("data", [LINE, BINARY, b""], ids=["version 1", "version 2", "no header"])
def test_whoever_is_not_trusted_gets_nothing(serve: Serve, data: bytes) -> None:
    server = serve("--proxy-protocol", "auto", "apps.origin_app:fast", cwd=TESTS)
    with socket.create_connection(("127.0.0.1", server.port), source_address=(VISITOR, 0)) as visitor:
        visitor.settimeout(10)
        port = visitor.getsockname()[1]
        visitor.sendall(data + request("GET", "/origin"))
        try:
            assert visitor.recv(100) == b""
        except ConnectionResetError:
            pass  # what it sent has not been read
    server.wait_line(rf"refused: PROXY protocol from a peer that is not trusted .* client={VISITOR}:{port}$")


def test_without_a_header_nobody_gets_anything(serve: Serve) -> None:
    server = serve("--proxy-protocol", "v1", "apps.origin_app:fast", cwd=TESTS)
    with socket.create_connection(("127.0.0.1", server.port)) as visitor:
        visitor.settimeout(10)
        visitor.sendall(request("GET", "/origin"))
        try:
            assert visitor.recv(100) == b""
        except ConnectionResetError:
            pass  # what it sent has not been read
    server.wait_line(r"refused: no PROXY protocol header client=127\.0\.0\.1:\d+$")
