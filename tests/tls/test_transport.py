"""What is between connection and encryption: keys that change, bytes that wait for a slow client."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support.certificates import TLSClient
from tests.support.client import request
from tests.support.pool import FLAVOURS, Flavour
from tests.tls.conftest import Secure
from tests.tls.records import DATA, HANDSHAKE, HELLO, SealingClient

ASGI = "asgi_app:app"
BOTH = pytest.mark.parametrize("flavour", FLAVOURS, ids=str)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@BOTH
def test_new_keys(secure: Secure, flavour: Flavour, ca_file: Path) -> None:
    """With `K` s_client takes a new key, and asks the server for another one (RFC 8446 §4.6.3)."""
    server = secure(ASGI, flavour)
    command = ["openssl", "s_client", "-CAfile", str(ca_file), "-connect", f"127.0.0.1:{server.port}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as client:
        assert client.stdin is not None and client.stdout is not None and client.stderr is not None
        for _ in range(3):
            client.stdin.write(b"K\n")
            while b"KEYUPDATE" not in client.stderr.readline():
                assert client.poll() is None
        client.stdin.write(b"GET /stream?count=3&size=50000 HTTP/1.0\r\nHost: test\r\n\r\n")
        received = b""
        while data := client.stdout.read(65536):
            received += data
        assert received.count(b"0" * 7) > 0 and len(received) > 150_000
        client.kill()


@BOTH
def test_a_slow_reader_of_the_last_response_gets_all_of_it(secure: Secure, flavour: Flavour) -> None:
    """What waits in front of the encryption leaves before the end does."""
    with TLSClient(secure(ASGI, flavour).target, receive_buffer=4096) as client:
        client.send(request(target="/stream?count=1&size=9000000", headers=[("Connection", "close")]))
        with TLSClient(secure(ASGI, flavour).target) as other:
            for _ in range(20):
                assert other.ask(request()).status == 200
        assert len(client.read().body) == 9_000_000
        assert client.read_until_closed() == b""


@BOTH
def test_answers_that_nobody_reads_do_not_pile_up(secure: Secure, flavour: Flavour, tmp_path: Path) -> None:
    """Each wish to renegotiate is answered with an alert: a client can have as many as it likes."""
    server = secure(ASGI, flavour)
    since = server.mark()
    with SealingClient(server.target, tmp_path / "keys", receive_buffer=4096) as client:
        client.socket.sendall(client.seal(DATA, request(target="/stream?count=400&size=65536")))
        wishes = b"".join(client.seal(HANDSHAKE, HELLO) for _ in range(40_000))
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.socket.sendall(wishes)
        server.wait_line(
            r"closed: the client does not read what TLS answers client=127\.0\.0\.1:", since=since
        )
        with pytest.raises(ConnectionResetError):
            client.read_all()


@BOTH
def test_what_cannot_be_decrypted_ends_the_connection(secure: Secure, flavour: Flavour) -> None:
    """In a line of the log, and without an answer to what may have been in it."""
    server = secure(ASGI, flavour)
    since = server.mark()
    with TLSClient(server.target) as client:
        assert client.ask(request()).status == 200
        socket.socket.send(client.socket, b"\x17\x03\x03\x00\x20" + b"x" * 32)
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            client.socket.recv(100)
    server.wait_line(r"closed: what was received is not TLS: .* client=127\.0\.0\.1:\d+$", since=since)
    assert server.tracebacks() == []
