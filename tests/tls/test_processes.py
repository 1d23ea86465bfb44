"""TLS and the life of processes: rights that are given up, preloading, ends, links that are exchanged."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import select
import signal
import ssl
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support import certificates
from tests.support.certificates import Files, TLSClient, issue, write_authority
from tests.support.client import RawClient, request
from tests.support.pool import FLAVOURS, TESTS, Flavour
from tests.support.process import ServerProcess
from tests.support.reach import opened

ASGI, WSGI = "apps.asgi_app:app", "apps.wsgi_app:application"
PATIENCE = 10.0
"""Seconds in which a new certificate has to be in service: it takes two."""


def serial(server: ServerProcess) -> str:
    with TLSClient(server.target) as client:
        return client.serial


def wait_for_another(server: ServerProcess, before: str) -> None:
    """Return when new clients get another certificate."""
    deadline = time.monotonic() + PATIENCE
    while serial(server) == before:
        assert time.monotonic() < deadline, "the old one is still in use"
        time.sleep(0.05)


_APP = """
import os

def app(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getresuid()[0]).encode()]
"""


@pytest.mark.parametrize("how", [(), ("--preload",)], ids=["forked", "preloaded"])
def test_workers_need_not_be_able_to_read_the_key(tmp_path: Path, how: tuple[str, ...]) -> None:
    """Neither at the start, nor when there is a new one, nor when one of them is replaced after that."""
    prefix = opened()
    if prefix is None:
        pytest.skip("needs root, and a Python that another user can reach")
    tmp_path.chmod(0o700)
    files = issue(tmp_path)
    with tempfile.TemporaryDirectory() as name:  # everybody can read it, which is not so of pytest's
        Path(name).chmod(0o755)
        (Path(name) / "main.py").write_text(_APP)
        options = (*files.options, "--user", "nobody", *how, "main:app")
        with ServerProcess(*options, cwd=Path(name), prefix=prefix) as server:
            with TLSClient(server.target) as client:
                assert client.ask(request()).text == str(pwd.getpwnam("nobody").pw_uid)
                before = client.serial
            since = server.mark()
            issue(tmp_path)
            server.wait_line("certificates changed: localhost until ", since=since)
            wait_for_another(server, before)
            renewed = serial(server)
            since = server.mark()
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            server.wait_line(r"worker=0 .* ready: ", since=since)
            wait_for_another(server, before)
            assert serial(server) == renewed


_AS_NOBODY = """
import os, pwd, sys
user = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def test_a_key_that_may_not_be_read() -> None:
    """At the start it is an error, later the one of before stays in use."""
    prefix = opened()
    if prefix is None:
        pytest.skip("needs root, and a Python that another user can reach")
    prefix = [*prefix, sys.executable, "-c", _AS_NOBODY]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "main.py").write_text(_APP)
        told = "--keyfile: cannot read '.*/server.key': Permission denied: name a file that"

        def written(mode: int) -> Files:
            files = issue(folder)
            files.key.chmod(mode)
            return files

        files = written(0o600)
        server = ServerProcess(*files.options, "main:app", cwd=folder, prefix=prefix).start(ready=False)
        assert server.wait() == 2
        server.check()
        assert re.search(told, server.output())
        written(0o644)
        with ServerProcess(*files.options, "main:app", cwd=folder, prefix=prefix) as server:
            before = serial(server)
            since = server.mark()
            files.key.chmod(0o600)
            server.signal(signal.SIGHUP)
            server.wait_line(f"reload abandoned: gen=2: {told}", since=since)
            assert serial(server) == before
            written(0o644)
            server.wait_line("certificates changed: ", since=since)
            wait_for_another(server, before)


@pytest.mark.parametrize(
    ("app", "flavour"),
    [(ASGI, FLAVOURS[0]), ("apps.tornado_app:app", Flavour("auto", "asyncio", "tornado"))],
    ids=str,
)
def test_handshakes_are_connections(serve: Serve, tmp_path: Path, app: str, flavour: Flavour) -> None:
    """Who does not finish theirs counts for --worker-connections."""
    options = (*issue(tmp_path).options, *flavour.options, "--worker-connections", "1")
    server = serve(*options, app, cwd=TESTS)
    with RawClient(server.target) as silent, RawClient(server.target) as waiting:
        waiting.send(certificates.hello(certificates.context()))
        assert not select.select([waiting.socket], [], [], 0.5)[0]
        silent.close()
        assert waiting.socket.recv(1) == b"\x16"


def test_links_that_are_exchanged(serve: Serve, tmp_path: Path) -> None:
    """As certbot does it: live/NAME/*.pem are links to what is in archive/, exchanged one after the other."""
    archive, live = tmp_path / "archive", tmp_path / "live"
    archive.mkdir()
    live.mkdir()

    def link(files: Files) -> None:
        for target, name in ((files.key, "privkey.pem"), (files.cert, "fullchain.pem")):
            new = live / f"{name}.new"
            new.symlink_to(os.path.relpath(target, live))
            new.replace(live / name)

    link(issue(archive, stem="one"))
    server = serve(*Files(live / "fullchain.pem", live / "privkey.pem").options, ASGI, cwd=TESTS)
    before = serial(server)
    with TLSClient(server.target) as kept:
        assert kept.ask(request()).status == 200
        since = server.mark()
        link(issue(archive, stem="two"))
        server.wait_line("certificates changed: ", since=since)
        wait_for_another(server, before)
    assert not any("reload" in line for line in server.lines(since=since))


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
def test_a_handshake_does_not_hold_a_stop_up(serve: Serve, tmp_path: Path, flavour: Flavour) -> None:
    files = issue(tmp_path)
    server = serve(*files.options, *flavour.options, "--ssl-handshake-timeout", "0", ASGI, cwd=TESTS)
    with RawClient(server.target) as begun, RawClient(server.target) as silent:
        begun.send(b"\x16\x03\x01\x02")
        with TLSClient(server.target) as other:  # those before it have been accepted then
            other.ask(request(headers=[("Connection", "close")]))
            other.read_until_closed()
        server.stop(timeout=10)
        for client in (begun, silent):
            assert client.read_until_closed() == b""


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
@pytest.mark.parametrize("asks", [True, False], ids=["asks", "is silent"])
def test_a_handshake_under_way_is_not_lost_at_a_stop(
    serve: Serve, tmp_path: Path, flavour: Flavour, asks: bool
) -> None:
    """A client that was accepted gets the answer to its first request, if that comes soon."""
    server = serve(*issue(tmp_path).options, *flavour.options, ASGI, cwd=TESTS)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificates.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with RawClient(server.target) as client:
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        client.send(outgoing.read())
        incoming.write(client.socket.recv(65536))  # the server's part: it is at work on this one
        since = server.mark()
        server.signal(signal.SIGTERM)
        server.wait_line("draining", since=since)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(client.socket.recv(65536))
        if asks:
            tls.write(request())
        client.send(outgoing.read())
        received = b""
        while data := client.socket.recv(65536):
            incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                while part := tls.read(65536):
                    received += part
        assert (b"hello" in received and b"connection: close" in received) is asks
        server.stop(0, timeout=10)


def test_unix_sockets(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(*issue(tmp_path).options, ASGI, cwd=TESTS, bind=f"unix:{tmp_path}/s")
    with TLSClient(server.target) as client:
        scope = client.ask(request(target="/scope")).json()
        assert scope["scheme"] == "https"
        assert scope["client"] is None and scope["extensions"]["tls"]["tls_version"] == 0x304
    with RawClient(server.target) as plain:
        assert plain.ask(request()).status == 400
        assert plain.read_until_closed() == b""


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
def test_the_clients_certificate_in_the_scope(serve: Serve, tmp_path: Path, flavour: Flavour) -> None:
    """The names of it, and its chain, its own first."""
    middle = certificates.authority().create_child_ca()
    own = issue(
        tmp_path, "client.example", stem="client", ca=middle, organization="Smith, John", common_name="Ann"
    )
    options = ("--ca-certs", str(write_authority(tmp_path)), "--cert-reqs", "2", *flavour.options)
    server = serve(*issue(tmp_path).options, *options, ASGI, cwd=TESTS)
    with TLSClient(server.target, certificates.context(client=own)) as client:
        tls = client.ask(request(target="/scope")).json()["extensions"]["tls"]
    assert tls["client_cert_name"].startswith("CN=Ann,")
    assert r"O=Smith\, John" in tls["client_cert_name"]
    sent = own.cert.read_text()
    assert len(tls["client_cert_chain"]) >= 2
    positions = ["".join(sent.split()).find("".join(each.split())) for each in tls["client_cert_chain"][:2]]
    assert positions[0] == 0 and positions[1] > 0
    assert tls["client_cert_error"] is None


def test_a_client_without_the_certificate_that_it_needs(serve: Serve, tmp_path: Path) -> None:
    options = ("--ca-certs", str(write_authority(tmp_path)), "--cert-reqs", "required")
    server = serve(*issue(tmp_path).options, *options, ASGI, cwd=TESTS)
    since = server.mark()
    with TLSClient(server.target) as client:
        client.send(request())
        with pytest.raises(ssl.SSLError, match="(?i)certificate.required"):
            client.socket.recv(100)
    server.wait_line(
        "refused: TLS handshake failed: peer did not return a certificate client=127.0.0.1", since=since
    )


def test_checking_the_configuration(tmp_path: Path) -> None:
    files = issue(tmp_path)
    other = issue(tmp_path, stem="other")
    server = ServerProcess("--check-config", *files.options, ASGI, cwd=TESTS).start(ready=False)
    assert server.wait() == 0
    wrong = ("--certfile", str(files.cert), "--keyfile", str(other.key))
    server = ServerProcess("--check-config", *wrong, ASGI, cwd=TESTS).start(ready=False)
    assert server.wait() == 2
    server.check()
    assert "does not belong to the certificate in" in server.output()


def test_a_terminal_is_not_asked_for_a_password(serve: Serve, tmp_path: Path) -> None:
    """OpenSSL does that by itself, and would wait for ever."""
    files = issue(tmp_path, password="secret")
    server = serve(*files.options, ASGI, cwd=TESTS, ready=False)
    assert server.wait(10) == 2
    assert "secret" not in server.output()


def test_a_password_stays_secret(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text(
        "def on_starting(server):\n    print(vars(server.cfg), server.cfg.keyfile_password, flush=True)\n"
    )
    files = issue(tmp_path, password="hush-hush")
    server = serve(
        *files.options,
        *("-c", str(tmp_path / "conf.py"), ASGI),
        cwd=TESTS,
        env={"ASERVE_KEYFILE_PASSWORD": "hush-hush"},
    )
    assert serial(server)
    assert "(hidden)" in server.output() and "hush-hush" not in server.output()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_plain_server_has_nothing_to_do_with_it(serve: Serve) -> None:
    """Who does not want TLS does not pay for it: our part of it is not even loaded."""
    server = serve("-c", str(TESTS / "tls" / "modules.py"), ASGI, cwd=TESTS)
    with RawClient(server.target) as client:
        assert client.ask(request()).status == 200
    server.stop()
    assert "loaded: []" in server.output()
