"""HTTPS under gunicorn, by its own settings and its hook."""

from __future__ import annotations

import json
import signal
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from tests.gunicorn_worker.conftest import Gunicorn, with_both
from tests.gunicorn_worker.process import GunicornProcess
from tests.reliability.conftest import Code
from tests.support import certificates
from tests.support.client import request

APP = """
import json

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps([environ["wsgi.url_scheme"], environ.get("HTTPS")]).encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = json.dumps([scope["scheme"], "on" if "tls" in scope["extensions"] else None])
    await send({"type": "http.response.body", "body": body.encode()})
"""

HOOK = """
import ssl

def ssl_context(conf, default_ssl_context_factory):
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
"""


@pytest.fixture
def authority(app_dir: Path) -> ssl.SSLContext:
    """A client's context that trusts the certificate in cert.pem, whose key is in key.pem."""
    ca = trustme.CA()
    certificate = ca.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(app_dir / "key.pem")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(app_dir / "cert.pem", append=True)
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def ask(server: GunicornProcess, context: ssl.SSLContext) -> list[str]:
    """Return what the application says of the connection."""
    url = server.addresses[0]
    assert url.startswith("https://")
    with httpx.Client(verify=context, trust_env=False) as client:
        found: list[str] = json.loads(client.get(url).text)
        return found


@with_both
def test_https(gunicorn: Gunicorn, code: Code, authority: ssl.SSLContext, interface: str) -> None:
    code.broken(APP)
    options = ("--certfile", "cert.pem", "--keyfile", "key.pem")
    server = gunicorn(*options, f"main:{interface}", interface=interface)
    assert ask(server, authority) == ["https", "on"]


def test_the_hook(gunicorn: Gunicorn, code: Code, authority: ssl.SSLContext) -> None:
    code.broken(APP)
    (code.folder / "gunicorn.conf.py").write_text(HOOK)
    server = gunicorn("--certfile", "cert.pem", "--keyfile", "key.pem", "main:asgi", interface="asgi")
    assert ask(server, authority) == ["https", "on"]
    authority.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.ConnectError):
        ask(server, authority)


def test_clients_certificates_and_new_files_upon_hup(gunicorn: Gunicorn, code: Code) -> None:
    code.broken(APP)
    known = certificates.issue(code.folder, "a@example.org", stem="known")
    trusted = certificates.write_authority(code.folder)
    files = certificates.issue(code.folder)
    options = (*files.options, "--ca-certs", str(trusted), "--cert-reqs", str(ssl.CERT_REQUIRED.value))
    server = gunicorn(*options, "main:asgi", interface="asgi")
    target = httpx.URL(server.addresses[0]).host, httpx.URL(server.addresses[0]).port or 0
    serials = set()
    for _ in range(2):
        with certificates.TLSClient(target, certificates.context(client=known)) as client:
            assert client.ask(request()).status == 200
            serials.add(client.serial)
        with pytest.raises(ssl.SSLError), certificates.TLSClient(target) as client:
            client.ask(request())
        certificates.issue(code.folder)
        since = server.mark()
        server.signal(signal.SIGHUP)
        server.wait_line("Worker ready", since=since)
        server.wait_line("Worker exiting", since=since)
    assert len(serials) == 2
