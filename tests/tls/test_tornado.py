"""TLS in front of Tornado's own HTTP, which reads from the sockets itself."""

from __future__ import annotations

import ssl

import pytest
from websockets.asyncio.client import connect

from tests.conftest import Serve
from tests.support import certificates
from tests.support.certificates import Files, TLSClient
from tests.support.client import RawClient, request
from tests.support.pool import TESTS, Flavour
from tests.tls.conftest import Secure

APP = "tornado_app:app"
LOOPS = (Flavour("auto", "uvloop", "tornado"), Flavour("auto", "asyncio", "tornado"))
EACH = pytest.mark.parametrize("flavour", LOOPS, ids=str)


@EACH
def test_requests_and_streams(secure: Secure, flavour: Flavour) -> None:
    with TLSClient(secure(APP, flavour).target) as client:
        assert client.ask(request()).text == "hello"
        assert client.ask(request(target="/origin")).json()["protocol"] == "https"
        assert len(client.ask(request(target="/stream?count=40&size=100000")).body) == 4_000_000


@EACH
def test_pipelined_requests(secure: Secure, flavour: Flavour) -> None:
    """What was decrypted together with the request before it is not forgotten."""
    with TLSClient(secure(APP, flavour).target) as client:
        client.send(request() * 20)
        for _ in range(20):
            assert client.read().text == "hello"


@EACH
def test_an_orderly_end_is_said(secure: Secure, flavour: Flavour) -> None:
    with TLSClient(secure(APP, flavour).target) as client:
        client.send(request(headers=[("Connection", "close")]))
        assert client.read().text == "hello"
        assert client.read_until_closed() == b""  # raises for an end without close_notify


@EACH
async def test_websockets(secure: Secure, flavour: Flavour) -> None:
    port = secure(APP, flavour).port
    async with connect(f"wss://localhost:{port}/socket", ssl=certificates.context()) as client:
        for size in (1, 100_000):
            await client.send("x" * size)
            assert await client.recv() == "x" * size


@EACH
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_plain_http_is_told_so(secure: Secure, flavour: Flavour, method: str) -> None:
    server = secure(APP, flavour)
    since = server.mark()
    with RawClient(server.target) as client:
        answer = client.ask(request(method, body=b"x" * 100_000 if method == "POST" else None), method)
        assert (answer.status, answer.connection) == (400, {"close"})
        assert client.read_until_closed() == b""
    server.wait_line("refused: 400 plain HTTP was sent to a port that expects TLS", since=since)


@EACH
def test_what_is_no_tls_ends(secure: Secure, flavour: Flavour) -> None:
    server = secure(APP, flavour)
    for nonsense in certificates.no_handshakes():
        since = server.mark()
        with RawClient(server.target) as client:
            client.send(nonsense)
            client.half_close()
            try:
                client.read_until_closed()
            except AssertionError:  # reset
                pass
            client.incoming.data.clear()
        server.wait_line(r"(refused|closed): .* client=127\.0\.0\.1:\d+$", since=since)
    assert server.tracebacks() == []


@EACH
def test_protocols_that_are_not_spoken(secure: Secure, flavour: Flavour) -> None:
    server = secure(APP, flavour)
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        TLSClient(server.target, certificates.context(protocols=["h2"]))
    with TLSClient(server.target, certificates.context(protocols=["h2", "http/1.1"])) as client:
        assert client.socket.selected_alpn_protocol() == "http/1.1"
        assert client.ask(request()).status == 200


@EACH
def test_a_hello_in_pieces(secure: Secure, flavour: Flavour) -> None:
    with RawClient(secure(APP, flavour).target) as client:
        certificates.send_in_pieces(client, certificates.hello(certificates.context(protocols=["h2"])), 100)
        assert client.read_until_closed() == bytes((21, 3, 3, 0, 2, 2, 120))


def test_a_handshake_has_its_time_and_a_stop_does_not_wait_for_it(serve: Serve, files: Files) -> None:
    options = ("--log-level", "debug", "-k", "tornado", "apps.tornado_app:app")
    server = serve(*files.options, "--ssl-handshake-timeout", "0.3", *options, cwd=TESTS)
    for opening in (b"", b"\x16\x03\x01\x02"):
        since = server.mark()
        with RawClient(server.target) as client:
            client.send(opening)
            assert client.read_until_closed() == b""
        server.wait_line("closed: no complete TLS handshake in time client=", since=since)
    patient = serve(*files.options, "--ssl-handshake-timeout", "0", *options, cwd=TESTS)
    with RawClient(patient.target) as client:
        client.send(b"\x16\x03\x01\x02")
        patient.stop(timeout=10)
        assert client.read_until_closed() == b""
