"""HTTP over TLS, byte for byte: both directions, both ends, and what comes instead of a handshake."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve
from tests.support import certificates
from tests.support.certificates import Files, TLSClient
from tests.support.client import RawClient, request
from tests.support.pool import FLAVOURS, GREENLETS, TESTS, Flavour
from tests.tls.conftest import Secure

ASGI, WSGI = "asgi_app:app", "wsgi_app:application"
PLACES = (
    *((ASGI, flavour) for flavour in FLAVOURS),
    *((WSGI, flavour) for flavour in FLAVOURS),
    (WSGI, Flavour("httptools", "uvloop", "sync")),
    *((WSGI, flavour) for flavour in GREENLETS if isinstance(flavour, Flavour)),
)
BOTH = pytest.mark.parametrize("flavour", FLAVOURS, ids=str)


@pytest.mark.parametrize(("app", "flavour"), PLACES, ids=str)
def test_requests_of_a_connection_that_is_kept(secure: Secure, app: str, flavour: Flavour) -> None:
    with TLSClient(secure(app, flavour).target) as client:
        for _ in range(3):
            assert client.ask(request()).status == 200
        big = client.ask(request("POST", "/read/size", body=b"x" * 300_000))
        assert big.json()["size"] == 300_000


@pytest.mark.parametrize(("app", "flavour"), PLACES, ids=str)
def test_large_bodies_both_ways(secure: Secure, app: str, flavour: Flavour) -> None:
    body = hashlib.sha256(b"").digest() * 100_000
    with TLSClient(secure(app, flavour).target) as client:
        answer = client.ask(request("POST", "/read/size", body=body))
        assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest()
        streamed = client.ask(request(target="/stream?count=40&size=100000"))
        assert len(streamed.body) == 4_000_000
        assert streamed.body.startswith(b"00000000" * 100) and streamed.body.endswith(b"00000039")


@BOTH
def test_pipelined_requests(secure: Secure, flavour: Flavour) -> None:
    """More of them than wait at the same time: reading pauses with decrypted and undecrypted bytes left."""
    with TLSClient(secure(ASGI, flavour).target) as client:
        client.send(b"".join(request(target=f"/stream?count=1&size={8 * n}") for n in range(1, 201)))
        for n in range(1, 201):
            assert len(client.read().body) == 8 * n


@BOTH
def test_slow_readers_hold_the_application_up(secure: Secure, flavour: Flavour) -> None:
    """Nothing is lost, and what the client does not take does not pile up in the server."""
    with TLSClient(secure(ASGI, flavour).target, receive_buffer=16384) as client:
        client.send(request(target="/counted/tls-slow?count=200&size=65536"))
        client.read_bytes(1000)
        with TLSClient(secure(ASGI, flavour).target) as other:
            noted = other.ask(request(target="/journal/sent-tls-slow")).text
        assert 0 < noted.count('""') < 150
        rest = client.read_bytes(200 * 65536)
        assert len(rest) == 200 * 65536
        while b"\r\n0\r\n\r\n" not in bytes(client.incoming.data[-7:]):
            client._receive()
        client.incoming.take(len(client.incoming.data))


@BOTH
def test_a_body_in_one_piece_that_is_larger_than_any_buffer(secure: Secure, flavour: Flavour) -> None:
    with TLSClient(secure(ASGI, flavour).target, receive_buffer=4096) as client:
        answer = client.ask(request(target="/stream?count=1&size=20000000"))
        assert len(answer.body) == 20_000_000


@BOTH
def test_a_response_that_ends_with_the_connection_ends_with_close_notify(
    secure: Secure, flavour: Flavour
) -> None:
    with TLSClient(secure(ASGI, flavour).target) as client:
        client.send(request(target="/stream?count=3&size=1000", version="1.0"))
        received = client.read_until_closed()  # which raises if it is just cut off
        assert received.partition(b"\r\n\r\n")[2].endswith(b"00000002")


@BOTH
def test_a_response_that_breaks_off_does_not_look_complete(secure: Secure, flavour: Flavour) -> None:
    with TLSClient(secure("tls_app:app", flavour).target) as client:
        client.send(request(target="/broken", version="1.0"))
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            read_all(client)


@BOTH
def test_a_request_that_breaks_off_is_none(secure: Secure, flavour: Flavour) -> None:
    """An end without close_notify is no better than one with it: the body is not all there."""
    with TLSClient(secure(ASGI, flavour).target, strict=False) as client:
        client.send(request("POST", "/read", body=b"x" * 1000)[:-10])
        socket.socket.shutdown(client.socket, socket.SHUT_WR)
        assert read_all(client).startswith(b"HTTP/1.1 400 ")


def read_all(client: TLSClient) -> bytes:
    """Read to the end, which has to be one that is said."""
    data = b""
    with contextlib.suppress(ssl.SSLZeroReturnError):  # what follows our own close_notify
        while part := client.socket.recv(65536):
            data += part
    return data


@BOTH
def test_a_client_that_has_said_its_last_word_gets_its_answer(secure: Secure, flavour: Flavour) -> None:
    """close_notify closes one direction (RFC 8446 §6.1)."""
    server = secure(ASGI, flavour)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificates.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", server.port), 10) as sock:

        def exchange(step: str, *arguments: object) -> bytes | None:
            while True:
                try:
                    found: bytes | None = getattr(tls, step)(*arguments)
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
            sock.sendall(outgoing.read())
            return found

        exchange("do_handshake")
        exchange("write", request("POST", "/echo", body=b"x" * 1000))
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        sock.sendall(outgoing.read())
        received = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while True:
                received += exchange("read", 65536) or b""
        assert received.startswith(b"HTTP/1.1 200 ") and received.endswith(b"x" * 1000)


@BOTH
def test_many_small_messages(secure: Secure, flavour: Flavour) -> None:
    with TLSClient(secure(ASGI, flavour).target) as client:
        client.send(
            b"POST /read HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        for _ in range(3000):
            client.send(b"1\r\nx\r\n")
        client.send(b"0\r\n\r\n")
        assert client.read().json()["size"] == 3000
        answer = client.ask(request(target="/stream?count=5000&size=8"))
        assert len(answer.body) == 40_000


@BOTH
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_versions(secure: Secure, flavour: Flavour, version: str) -> None:
    only = ssl.TLSVersion[version]
    with TLSClient(secure(ASGI, flavour).target, certificates.context(minimum=only, maximum=only)) as client:
        assert client.socket.version() == version.replace("_", ".")
        scope = client.ask(request(target="/scope")).json()
        assert scope["scheme"] == "https"
        tls = scope["extensions"]["tls"]
        assert tls["tls_version"] == {"TLSv1_2": 0x303, "TLSv1_3": 0x304}[version]
        assert tls["client_cert_chain"] == []
        assert tls["client_cert_name"] is None and tls["client_cert_error"] is None
        sent = client.socket.getpeercert(binary_form=True)
        assert sent is not None
        assert tls["server_cert"] == ssl.DER_cert_to_PEM_cert(sent)
        cipher = client.socket.cipher()
        numbers = {each["name"]: each["id"] & 0xFFFF for each in client.socket.context.get_ciphers()}
        assert cipher is not None and tls["cipher_suite"] == numbers[cipher[0]]


def test_the_environ(secure: Secure) -> None:
    with TLSClient(secure(WSGI, FLAVOURS[0]).target) as client:
        environ = client.ask(request(target="/environ")).json()
        cipher = client.socket.cipher()
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTPS"] == "on"
    assert environ["SSL_PROTOCOL"] == "TLSv1.3"
    assert cipher is not None and environ["SSL_CIPHER"] == cipher[0]
    assert environ["SSL_TLS_SNI"] == "localhost"
    assert environ["SSL_CLIENT_VERIFY"] == "NONE"
    assert not any(name.startswith("SSL_CLIENT_S") for name in environ)


def test_a_client_cannot_claim_a_certificate(secure: Secure) -> None:
    forged = [("SSL-CLIENT-VERIFY", "SUCCESS"), ("SSL_CLIENT_S_DN", "CN=admin"), ("HTTPS", "off")]
    with TLSClient(secure(WSGI, FLAVOURS[0]).target) as client:
        environ = client.ask(request(target="/environ", headers=forged)).json()
    assert (environ["SSL_CLIENT_VERIFY"], environ["HTTPS"]) == ("NONE", "on")
    assert "SSL_CLIENT_S_DN" not in environ


# -- what comes instead -----------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_plain_http_is_told_so(secure: Secure, flavour: Flavour, method: str) -> None:
    server = secure(ASGI, flavour)
    since = server.mark()
    with RawClient(server.target) as client:
        answer = client.ask(request(method, body=b"x" * 100_000 if method == "POST" else None), method)
        assert answer.status == 400
        assert answer.connection == {"close"}
        if method != "HEAD":
            assert "https://" in answer.text
        assert client.read_until_closed() == b""
    server.wait_line("refused: 400 plain HTTP was sent to a port that expects TLS", since=since)


@BOTH
def test_what_is_no_tls_ends(secure: Secure, flavour: Flavour) -> None:
    server = secure(ASGI, flavour)
    for nonsense in certificates.no_handshakes():
        since = server.mark()
        with RawClient(server.target) as client:
            client.send(nonsense)
            client.half_close()
            try:
                rest = client.read_until_closed()
            except AssertionError:  # reset
                rest = b""
            client.incoming.data.clear()
        assert not rest.startswith(b"HTTP")
        server.wait_line(r"(refused|closed): .* client=127\.0\.0\.1:\d+$", since=since)
    assert server.tracebacks() == []


@BOTH
def test_protocols_that_are_not_spoken(secure: Secure, flavour: Flavour) -> None:
    """The handshake ends with the alert that is for it (RFC 7301 §3.2)."""
    server = secure(ASGI, flavour)
    since = server.mark()
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        TLSClient(server.target, certificates.context(protocols=["h2"]))
    server.wait_line("TLS handshake failed: no protocol in common, offered: h2 ", since=since)
    for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), ([], None)):
        with TLSClient(server.target, certificates.context(protocols=offered)) as client:
            assert client.socket.selected_alpn_protocol() == chosen
            assert client.ask(request()).status == 200


@BOTH
def test_a_hello_in_pieces(secure: Secure, flavour: Flavour) -> None:
    with RawClient(secure(ASGI, flavour).target) as client:
        certificates.send_in_pieces(client, certificates.hello(certificates.context(protocols=["h2"])), 50)
        assert client.read_until_closed() == bytes((21, 3, 3, 0, 2, 2, 120))


def test_old_versions_are_refused(secure: Secure) -> None:
    server = secure(ASGI, FLAVOURS[0])
    old = certificates.context()
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    since = server.mark()
    with pytest.raises(ssl.SSLError, match="(?i)version"):
        TLSClient(server.target, old)
    server.wait_line("refused: TLS handshake failed: unsupported protocol client=", since=since)


def test_a_handshake_has_its_time(serve: Serve, files: Files) -> None:
    server = serve(
        *files.options,
        "--ssl-handshake-timeout",
        "0.3",
        "--log-level",
        "debug",
        "apps.asgi_app:app",
        cwd=TESTS,
    )
    for opening in (b"", b"\x16\x03\x01\x02"):
        since = server.mark()
        with RawClient(server.target) as client:
            client.send(opening)
            client.socket.settimeout(10)
            with pytest.raises((ConnectionError, AssertionError)) if opening else _nothing():
                assert client.read_until_closed() == b""
                raise ConnectionResetError if opening else StopIteration
        server.wait_line("closed: no complete TLS handshake in time client=", since=since)


def _nothing() -> pytest.RaisesExc[StopIteration]:
    return pytest.raises(StopIteration)


# -- other clients ----------------------------------------------------------------------------


@BOTH
def test_httpx(secure: Secure, flavour: Flavour) -> None:
    server = secure(ASGI, flavour)
    with httpx.Client(verify=certificates.context(), base_url=f"https://localhost:{server.port}") as client:
        for _ in range(3):
            answer = client.post("/echo", content=b"x" * 200_000)
            assert (answer.status_code, len(answer.content)) == (200, 200_000)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@BOTH
def test_curl(secure: Secure, flavour: Flavour, ca_file: Path, tmp_path: Path) -> None:
    server = secure(ASGI, flavour)
    upload = tmp_path / "upload"
    upload.write_bytes(b"x" * 3_000_000)
    done = subprocess.run(
        [
            *("curl", "-sS", "--cacert", str(ca_file), "--data-binary", f"@{upload}"),
            *("-w", "%{http_code} %{num_connects}\n", "-o", str(tmp_path / "first")),
            f"https://localhost:{server.port}/read",
            *("-o", str(tmp_path / "second"), f"https://localhost:{server.port}/stream?count=3&size=100000"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == ["200", "1", "200", "0"], done.stderr
    assert json.loads((tmp_path / "first").read_text())["size"] == 3_000_000
    assert (tmp_path / "second").stat().st_size == 300_000


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@BOTH
def test_openssl_cannot_renegotiate(secure: Secure, flavour: Flavour, ca_file: Path) -> None:
    """With `R` s_client asks for it; TLS 1.3 has no such thing."""
    server = secure(ASGI, flavour)
    since = server.mark()
    done = subprocess.run(
        ["openssl", "s_client", "-tls1_2", "-CAfile", ca_file, "-connect", f"127.0.0.1:{server.port}"],
        input="R\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Verify return code: 0 (ok)" in done.stdout
    assert "Secure Renegotiation IS supported" in done.stdout  # the extension of RFC 5746
    assert re.search("no.renegotiation", done.stderr), done.stderr
    server.wait_line(r"closed: the client has broken off TLS: .*alert handshake failure client=", since=since)
    with TLSClient(server.target) as client:
        assert client.ask(request()).status == 200


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_asks(secure: Secure, ca_file: Path) -> None:
    server = secure(ASGI, FLAVOURS[0])
    done = subprocess.run(
        [
            *(
                "openssl",
                "s_client",
                "-quiet",
                "-CAfile",
                ca_file,
                "-servername",
                "localhost",
                "-alpn",
                "http/1.1",
            ),
            *("-connect", f"127.0.0.1:{server.port}"),
        ],
        input="GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "HTTP/1.1 200 OK" in done.stdout, done.stderr
