"""gunicorn's configuration files of production with settings of statsd, TLS and logging's dictionaries."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from aserve.gunicornsettings import BY_NAME
from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, wait_until
from tests.reliability.conftest import code as code
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

CONFIGS = Path(__file__).parents[1] / "gunicorn_configs"


def needs(name: str) -> pytest.MarkDecorator:
    """Skip a test for as long as there is no such setting."""
    return pytest.mark.skipif(BY_NAME[name].met_by is None, reason=f"there is no {name} yet")


@pytest.fixture
def configured(serve: Serve, code: Code) -> Callable[..., ServerProcess]:
    """Start a server with one of the files; its folder is the test's."""

    def start(name: str, *, ready: bool = True, **environ: str) -> ServerProcess:
        code.wsgi()
        shutil.copy(CONFIGS / f"{name}.py", code.folder / "gunicorn.conf.py")
        return serve("-c", "gunicorn.conf.py", bind=None, env=environ, ready=ready)

    return start


@needs("statsd_host")
def test_metrics_for_statsd(configured: Callable[..., ServerProcess]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(15)
        server = configured("statsd", STATSD_HOST=f"127.0.0.1:{receiver.getsockname()[1]}")
        assert server.warnings() == []
        assert ask(server) == "one"
        wanted = {"requests:1", "request.status.200:1"}
        while wanted:
            for metric in receiver.recv(65536).decode().splitlines():
                assert metric.startswith("shop.")
                assert metric.endswith("|#env:test,region:eu")
                wanted = {name for name in wanted if f"{name}|c" not in metric}


@needs("certfile")
def test_tls_with_certificates_of_clients(configured: Callable[..., ServerProcess], tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme", reason="needs trustme: pip install trustme")
    ca = trustme.CA()
    paths = {name: str(tmp_path / name) for name in ("cert", "key", "ca", "client")}
    issued = ca.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(paths["key"])
    issued.cert_chain_pems[0].write_to_path(paths["cert"])
    ca.cert_pem.write_to_path(paths["ca"])
    ca.issue_cert("client@shop.example").private_key_and_cert_chain_pem.write_to_path(paths["client"])
    server = configured("tls", TLS_CERT=paths["cert"], TLS_KEY=paths["key"], TLS_CA=paths["ca"])
    assert server.warnings() == []
    context = ssl.create_default_context(cafile=paths["ca"])
    with pytest.raises(OSError, match=r".*"):  # no certificate: told at the handshake or the first read
        fetch(server, context)
    context.load_cert_chain(paths["client"])
    assert fetch(server, context).endswith(b"one")
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # the hook wants 1.3
    with pytest.raises(ssl.SSLError):
        fetch(server, context)


def fetch(server: ServerProcess, context: ssl.SSLContext, name: str = "127.0.0.1") -> bytes:
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=15) as plain,
        context.wrap_socket(plain, server_hostname=name) as client,
    ):
        client.sendall(b"GET / HTTP/1.0\r\nHost: test\r\n\r\n")
        answer = b""
        while data := client.recv(65536):
            answer += data
        return answer


@needs("logconfig_dict")
def test_logs_by_a_dictionary(configured: Callable[..., ServerProcess], app_dir: Path) -> None:
    server = configured("log_dictionary", ready=False)
    errors, access = app_dir / "errors.log", app_dir / "access.log"
    wait_until(lambda: errors.exists() and "ready: 1 worker" in errors.read_text(), "a server that is ready")
    match = re.search(
        r"^INFO\|[\w.]+\|listening on http://127\.0\.0\.1:(\d+)$", errors.read_text(), re.MULTILINE
    )
    assert match is not None
    with RawClient(("127.0.0.1", int(match[1]))) as client:
        assert client.ask(request("GET", "/")).text == "one"
    server.stop()
    assert re.search(r'^INFO\|[\w.]+\|.*"GET / HTTP/1\.1" 200', access.read_text(), re.MULTILINE)


def test_hooks_keep_health_checks_out_of_the_access_log(configured: Callable[..., ServerProcess]) -> None:
    server = configured("health_checks")
    server.wait_line(r"serving: gthread main:app 2 \['127\.0\.0\.1:0'\]$")
    assert not [line for line in server.lines("stderr") if "booting" in line]
    for path, agent in (("/healthz", "-"), ("/other", "ELB-HealthChecker/2.0"), ("/", "-")):
        with RawClient(server.target) as client:
            fields = [("Connection", "close"), ("User-Agent", agent)]
            assert client.ask(request("GET", path, fields)).status == 200
    server.stop()
    assert [line.split('"')[1] for line in server.lines("stdout")] == ["GET / HTTP/1.1"]


def test_the_hook_of_tls_without_a_certificate(configured: Callable[..., ServerProcess]) -> None:
    """Which is in files that were copied from gunicorn's example: plain HTTP, as there."""
    server = configured("copied_example")
    said = "the hook ssl_context has no effect without a certfile: plain HTTP is served"
    [warning] = server.warnings()
    assert warning.endswith(said)
    server.wait_line(r"listening on http://127\.0\.0\.1:\d+$")
    assert ask(server) == "one"
    since = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=2", since=since)
    assert ask(server) == "one"


def test_the_hook_of_tls_with_names(configured: Callable[..., ServerProcess], tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme", reason="needs trustme: pip install trustme")
    ca = trustme.CA()
    for name in ("127.0.0.1", "other.example"):
        ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(tmp_path / name)
    ca.cert_pem.write_to_path(tmp_path / "ca")
    pem, other = str(tmp_path / "127.0.0.1"), str(tmp_path / "other.example")
    server = configured("copied_example", TLS_CERT=pem, TLS_KEY=pem, TLS_OTHER=other)
    assert server.warnings() == []
    context = ssl.create_default_context(cafile=str(tmp_path / "ca"))
    for name in ("127.0.0.1", "other.example"):
        assert fetch(server, context, name).endswith(b"one")
