"""Certificates: which one a client gets, whose client it is, and what becomes of new ones (docs/tls.md)."""

from __future__ import annotations

import signal
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

import aserve
from tests.support import certificates
from tests.support.certificates import TLSClient, issue, stranger, write_authority
from tests.support.client import request
from tests.support.process import ServerProcess

TESTS = Path(__file__).parents[1]
ASGI = "apps.asgi_app:app"
WSGI = "apps.wsgi_app:application"

Serve = Callable[..., ServerProcess]


def serial(server: ServerProcess, name: str = "localhost") -> str:
    """The number of the certificate that a new client gets."""
    with TLSClient(server.target, name=name) as client:
        return client.serial


# -- which one --------------------------------------------------------------------------------


def test_by_the_name_that_the_client_asks_for(serve: Serve, tmp_path: Path) -> None:
    """RFC 6066 section 3; wildcards stand for one label (RFC 6125 section 6.4.3)."""
    first = issue(tmp_path, "localhost", stem="first")
    second = issue(tmp_path, "shop.example", "*.shop.example", stem="second")
    server = serve(*first.options, *second.options, ASGI, cwd=TESTS)
    own = serial(server)
    shop = serial(server, "shop.example")
    assert shop != own
    assert serial(server, "www.shop.example") == shop
    lenient = certificates.context()
    lenient.check_hostname = False
    for other in ("a.www.shop.example", "shop.example.org"):
        with TLSClient(server.target, lenient, name=other) as client:
            assert client.serial == own


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_clients_with_certificates(serve: Serve, tmp_path: Path, mode: str) -> None:
    files = issue(tmp_path)
    client_files = issue(tmp_path, "client.example", stem="client", organization="Shop", common_name="Ann")
    ca = write_authority(tmp_path)
    server = serve(*files.options, "--ca-certs", str(ca), "--cert-reqs", mode, WSGI, cwd=TESTS)
    with TLSClient(server.target, certificates.context(client=client_files)) as client:
        environ = client.ask(request(target="/environ")).json()
    assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert environ["SSL_CLIENT_S_DN_CN"] == "Ann"
    assert environ["SSL_CLIENT_CERT"].startswith("-----BEGIN CERTIFICATE-----")
    strange = issue(tmp_path, "client.example", stem="strange", ca=stranger())
    for context in (certificates.context(client=strange), *([certificates.context()] * (mode == "required"))):
        with (
            pytest.raises((ssl.SSLError, OSError, AssertionError)),
            TLSClient(server.target, context) as client,
        ):
            client.ask(request(target="/environ"))
    if mode == "optional":
        with TLSClient(server.target) as client:
            assert client.ask(request(target="/environ")).json()["SSL_CLIENT_VERIFY"] == "NONE"


def test_a_client_can_go_on_with_its_session_at_any_worker(serve: Serve, tmp_path: Path) -> None:
    server = serve(*issue(tmp_path).options, "--workers", "2", ASGI, cwd=TESTS)
    context = certificates.context(maximum=ssl.TLSVersion.TLSv1_2)
    with TLSClient(server.target, context) as client:
        client.ask(request())
        session = client.socket.session
    for _ in range(8):
        with TLSClient(server.target, context, session=session) as client:
            assert client.socket.session_reused


# -- new ones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["the files", "HUP"])
def test_new_ones_are_taken_up_and_connections_stay(serve: Serve, tmp_path: Path, how: str) -> None:
    server = serve(*issue(tmp_path).options, "--keep-alive", "60", ASGI, cwd=TESTS)
    with TLSClient(server.target) as kept:
        kept.ask(request())
        before = kept.serial
        since = server.mark()
        issue(tmp_path)
        if how == "HUP":
            server.signal(signal.SIGHUP)
            server.wait_line("reload complete", since=since)
        else:
            server.wait_line("certificates changed: ", since=since)
            # The workers follow within their next heartbeat.
            for _ in range(100):
                if serial(server) != before:
                    break
                threading.Event().wait(0.05)
        assert serial(server) != before
        assert kept.ask(request()).status == 200


def test_reloads_under_load_lose_nothing(serve: Serve, tmp_path: Path) -> None:
    server = serve(*issue(tmp_path).options, "--workers", "2", ASGI, cwd=TESTS)
    over = threading.Event()
    failures: list[BaseException] = []
    answers: list[str] = []

    def ask() -> None:
        while not over.is_set():
            try:
                with TLSClient(server.target) as client:
                    for _ in range(3):
                        response = client.ask(request())
                        assert response.status == 200
                        if "close" in response.connection:
                            break
                    answers.append(client.serial)
            except (OSError, AssertionError) as error:
                failures.append(error)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for each in clients:
        each.start()
    try:
        for signalled in (True, False, True):
            since = server.mark()
            issue(tmp_path)
            if signalled:
                server.signal(signal.SIGHUP)
                server.wait_line("reload complete", since=since)
            else:
                server.wait_line("certificates changed: ", since=since)
    finally:
        over.set()
        for each in clients:
            each.join()
    assert not failures
    assert len(set(answers)) > 1


def test_a_pair_that_does_not_match_leaves_the_old_one_in_use(serve: Serve, tmp_path: Path) -> None:
    files = issue(tmp_path)
    server = serve(*files.options, ASGI, cwd=TESTS)
    before = serial(server)
    other = issue(tmp_path, stem="other")
    since = server.mark()
    certificates.replace(files.key, other.key.read_bytes())
    server.wait_line("new certificates are not used: ", since=since)
    assert serial(server) == before
    server.signal(signal.SIGHUP)
    server.wait_line("reload abandoned: ", since=since)
    assert serial(server) == before
    # What makes the pair complete is taken up by itself.
    certificates.replace(files.cert, other.cert.read_bytes())
    server.wait_line("certificates changed: ", since=since)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_session_does_not_outlive_the_authority(serve: Serve, tmp_path: Path, version: str) -> None:
    """Who goes on with a session is not verified again, so that it would be believed for hours."""
    files, ca = issue(tmp_path), write_authority(tmp_path)
    server = serve(*files.options, "--ca-certs", str(ca), "--cert-reqs", "required", WSGI, cwd=TESTS)
    own = issue(tmp_path, "client.example", stem="client")
    context = certificates.context(client=own, maximum=ssl.TLSVersion[version])
    with TLSClient(server.target, context) as client:
        assert client.ask(request()).status == 200
        session = client.socket.session
    with TLSClient(server.target, context, session=session) as client:
        assert client.ask(request()).status == 200
        assert client.socket.session_reused
    since = server.mark()
    write_authority(tmp_path, stranger())
    server.wait_line("certificates changed: ", since=since)
    server.wait_line("reload complete", since=since)
    with pytest.raises(ssl.SSLError, match="(?i)unknown.ca"):
        ask_once(server, context, session)


def ask_once(server: ServerProcess, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
    """Make a request on a connection of its own."""
    with TLSClient(server.target, context, session=session) as client:
        client.ask(request())


# -- what cannot be used ----------------------------------------------------------------------


def test_what_cannot_be_used_is_told_at_the_start(serve: Serve, tmp_path: Path) -> None:
    files = issue(tmp_path)
    other = issue(tmp_path, stem="other")
    locked = issue(tmp_path, stem="locked", password="secret")
    for options, text in (
        (("--certfile", "none.pem"), "--certfile: cannot read "),
        (("--certfile", str(files.cert)), "there is no private key in "),
        (("--certfile", str(files.cert), "--keyfile", str(other.key)), "does not belong to"),
        (("--keyfile", str(files.key)), "there is no --certfile"),
        (locked.options, "is encrypted: say its password"),
        ((*locked.options, "--keyfile-password", "wrong"), "password"),
        ((*files.options, "--cert-reqs", "required"), "without --ca-certs"),
        ((*files.options, "--ciphers", "NONE-SUCH"), "has no cipher that OpenSSL knows"),
    ):
        server = serve(*options, ASGI, cwd=TESTS, ready=False)
        assert server.wait() == 2
        assert text in server.output(), options


def test_an_encrypted_key(serve: Serve, tmp_path: Path) -> None:
    files = issue(tmp_path, password="secret")
    (tmp_path / "password").write_text("secret\n")
    server = serve(*files.options, ASGI, cwd=TESTS, env={"ASERVE_KEYFILE_PASSWORD": "secret"})
    assert serial(server)
    server = serve(*files.options, "--keyfile-password-file", str(tmp_path / "password"), ASGI, cwd=TESTS)
    assert serial(server)


def test_a_certificate_that_is_not_valid_is_told(serve: Serve, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    options: list[str] = []
    for stem, begins, ends in (("old", -80, -1), ("young", 1, 80), ("soon", -80, 2), ("good", -1, 80)):
        days = (now + timedelta(days=begins), now + timedelta(days=ends))
        options += issue(tmp_path, f"{stem}.example", stem=stem, begins=days[0], ends=days[1]).options
    server = serve(*options, ASGI, cwd=TESTS)
    server.wait_line(r"certificate expired: '.*/old\.pem' on ")
    server.wait_line(r"certificate not valid before \d{4}-\d\d-\d\d: '.*/young\.pem'")
    server.wait_line(r"certificate expires soon: '.*/soon\.pem' on ")
    assert "good.pem' on" not in server.output()


def test_ciphers_and_versions_that_are_wanted(serve: Serve, tmp_path: Path) -> None:
    """What the client would have preferred is not spoken."""
    files = issue(tmp_path)
    cipher = "ECDHE-ECDSA-AES128-GCM-SHA256"
    server = serve(*files.options, "--ciphers", cipher, ASGI, cwd=TESTS)
    with TLSClient(server.target, certificates.context(maximum=ssl.TLSVersion.TLSv1_2)) as client:
        chosen = client.socket.cipher()
    assert chosen is not None and chosen[0] == cipher
    server = serve(*files.options, "--ssl-minimum-version", "1.3", ASGI, cwd=TESTS)
    with pytest.raises(ssl.SSLError, match="(?i)version"):
        ask_once(server, certificates.context(maximum=ssl.TLSVersion.TLSv1_2))
    ask_once(server, certificates.context())


# -- how else ---------------------------------------------------------------------------------


def test_the_hook_makes_the_context(serve: Serve, tmp_path: Path) -> None:
    files = issue(tmp_path)
    (tmp_path / "conf.py").write_text(
        f"""
import ssl
certfile, keyfile = {str(files.cert)!r}, {str(files.key)!r}

def ssl_context(config, default_ssl_context_factory):
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
"""
    )
    server = serve("-c", str(tmp_path / "conf.py"), ASGI, cwd=TESTS)
    assert serial(server)
    with pytest.raises((ssl.SSLError, OSError)):
        TLSClient(server.target, certificates.context(maximum=ssl.TLSVersion.TLSv1_2))


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_files_are_sent_without_the_kernels_help(serve: Serve, tmp_path: Path, loop: str) -> None:
    files = issue(tmp_path)
    data = bytes(range(256)) * 8192
    (tmp_path / "file").write_bytes(data)
    environment = {"TLS_FILE": str(tmp_path / "file")}
    server = serve(*files.options, "--loop", loop, "apps.tls_app:app", cwd=TESTS, env=environment)
    with TLSClient(server.target) as client:
        assert client.ask(request(target="/pathsend")).body == data
        assert client.ask(request(target="/scheme")).text == "https"
    for kind in ("wsgi", "sync"):
        server = serve(
            *files.options, "--loop", loop, "-k", kind, "apps.tls_app:wsgi", cwd=TESTS, env=environment
        )
        with TLSClient(server.target) as client:
            for _ in range(2):
                assert client.ask(request(target="/")).body == data


@pytest.mark.parametrize("kind", ["sync", "gevent", "eventlet"])
def test_with_other_worker_classes(serve: Serve, tmp_path: Path, kind: str) -> None:
    server = serve(*issue(tmp_path).options, "-k", kind, WSGI, cwd=TESTS)
    with TLSClient(server.target) as client:
        for _ in range(2):
            response = client.ask(request("POST", "/echo", body=b"x" * 100_000))
            assert (response.status, response.body) == (200, b"x" * 100_000)
    before = serial(server)
    since = server.mark()
    issue(tmp_path)
    server.wait_line("certificates changed: ", since=since)
    if kind in ("gevent", "eventlet"):
        server.wait_line("reload complete", since=since)
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete", since=since)
    assert serial(server) != before


def test_behind_a_proxy_that_names_the_client(serve: Serve, tmp_path: Path) -> None:
    """The PROXY protocol's header comes before the handshake."""
    server = serve(*issue(tmp_path).options, "--proxy-protocol", "v1", WSGI, cwd=TESTS)
    line = b"PROXY TCP4 203.0.113.7 192.0.2.1 4000 443\r\n"
    with TLSClient(server.target, before=line) as client:
        environ = client.ask(request(target="/environ")).json()
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.7", "https")


async def test_websockets(serve: Serve, tmp_path: Path) -> None:
    server = serve(*issue(tmp_path).options, "apps.tls_app:app", cwd=TESTS)
    async with connect(f"wss://localhost:{server.port}/", ssl=certificates.context()) as client:
        assert await client.recv() == "wss ['tls', 'websocket.http.response']"
        for size in (1, 100_000):
            await client.send(b"x" * size)
            assert await client.recv() == b"x" * size


def test_inside_a_program(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["scheme"].encode()})

    files = issue(tmp_path)
    options: Any = {"certfile": str(files.cert), "keyfile": str(files.key), "lifespan": "off"}
    with aserve.Server(app, bind="127.0.0.1:0", **options).in_thread() as server:
        assert server.url.startswith("https://127.0.0.1:")
        with TLSClient(("127.0.0.1", int(server.url.rpartition(":")[2]))) as client:
            assert client.ask(request()).text == "https"
