"""Refused requests stand in the access log, with what is known of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.client import RawClient, request

APP = """
async def app(scope, receive, send):
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""
FORMAT = '%(h)s "%(r)s" %(s)s %(B)s %(m)s %(U)s %(H)s %(a)s %({server}o)s'
GET = request(headers=[("User-Agent", "test")])
SMUGGLED = b"POST /two HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"

CASES = {
    "header": (
        b"GET /a?b HTTP/1.1\r\nHost: a\r\nBad name: b\r\n\r\n",
        '"GET /a?b HTTP/1.1" 400 18 GET /a HTTP/1.1',
    ),
    "version": (b"PRI * HTTP/2.0\r\n\r\n", '"PRI * HTTP/2.0" 505 27 PRI * HTTP/2.0'),
    "method": (b"brew /pot HTTP/1.1\r\n\r\n", '"brew /pot HTTP/1.1" 501 23 brew /pot HTTP/1.1'),
    "head": (b"HEAD / HTTP/1.1\r\n\r\n", '"HEAD / HTTP/1.1" 400 0 HEAD / HTTP/1.1'),
    "no line": (b"nonsense\r\n\r\n", '"nonsense - HTTP/-" 400 18 nonsense - HTTP/-'),
    "http/0.9": (b"GET /a b\r\n\r\n", '"GET /a b HTTP/-" 400 21 GET /a b HTTP/-'),
    "line feeds": (b"GET / HTTP/1.1\nHost: a\n\n", '"GET / HTTP/1.1" 400 18 GET / HTTP/1.1'),
    "tls": (b'\x16\x03\x01"\r\n\r\n', r'"\x16\x03\x01\x22 - HTTP/-" 400 18 \x16\x03\x01\x22 - HTTP/-'),
    "forged": (
        b'GET /"\r200 HTTP/1.1\r\n\r\n',
        r'"GET /\x22\x0d200 HTTP/1.1" 400 18 GET /\x22\x0d200 HTTP/1.1',
    ),
    "too long": (b"GET /" + b"a" * 200, f'"GET /{"a" * 95} HTTP/-" 414 24 GET /{"a" * 95} HTTP/-'),
    "slow": (b"GET /slow HT", '"GET /slow HT HTTP/-" 408 34 GET /slow HT HTTP/-'),
}


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_refused_heads(http: str, serve: Serve, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(APP)
    server = serve(
        *("--http", http, "--limit-request-line", "100", "--header-timeout", "0.3", "--lifespan", "off"),
        *("--access-logfile", "log", "--access-logformat", FORMAT, "main:app"),
    )
    for data, _ in CASES.values():
        with RawClient(server.target) as client:
            client.send(data)
            assert client.read_until_closed().startswith(b"HTTP/1.1 ")
    server.stop()
    lines = (app_dir / "log").read_text().splitlines()
    assert lines == [f"127.0.0.1 {line} - -" for _, line in CASES.values()]
    assert len([line for line in server.lines() if "refused: " in line]) == len(CASES)


def test_in_the_order_of_the_responses_and_each_only_once(serve: Serve, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(APP)
    server = serve(
        "--lifespan", "off", "--access-logfile", "log", "--access-logformat", "%(r)s %(s)s %(B)s", "main:app"
    )
    for data in (GET + GET + b"bad\r\n\r\n", GET + SMUGGLED, SMUGGLED):
        with RawClient(server.target) as client:
            client.send(data)
            client.read_until_closed()
    server.stop()
    assert (app_dir / "log").read_text().splitlines() == [
        *("GET / HTTP/1.1 200 5", "GET / HTTP/1.1 200 5", "bad - HTTP/- 400 18"),
        *("GET / HTTP/1.1 200 5", "POST /two HTTP/1.1 400 16"),
        "POST /two HTTP/1.1 400 16",
    ]


def test_the_time_is_that_of_the_refusal(serve: Serve, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(APP)
    server = serve(
        "--lifespan", "off", "--access-logfile", "-", "--access-logformat", "%(L)s %(s)s", "main:app"
    )
    with RawClient(server.target) as client:
        client.send(b"bad\r\n\r\n")
        client.read_until_closed()
    assert re.fullmatch(r"0\.\d{6} 400", server.wait_line(" 400$", stream="stdout").string)
