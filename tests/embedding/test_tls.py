"""HTTPS by a server in a program."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

import aserve
from tests.support import certificates
from tests.support.certificates import TLSClient
from tests.support.client import RawClient, request

ANY = "127.0.0.1:0"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Say who asks."""
    assert scope["type"] == "http"
    who = scope["extensions"]["tls"]["client_cert_name"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{scope['scheme']} {who}".encode()})


def server(folder: Path, **options: Any) -> aserve.Server:
    files = certificates.issue(folder)
    return aserve.Server(
        app, bind=ANY, lifespan="off", certfile=str(files.cert), keyfile=str(files.key), **options
    )


def ask(port: int, context: ssl.SSLContext | None = None) -> tuple[str, str]:
    """Return the serial number of the server's certificate, and the answer."""
    with TLSClient(("127.0.0.1", port), context) as client:
        return client.serial, client.ask(request()).text


async def until(line: str, log: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(10):
        while line not in log.text:
            await asyncio.sleep(0.02)


async def test_new_certificates_are_taken_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "aserve")
    async with server(tmp_path) as serving:
        assert serving.url.startswith("https://127.0.0.1:")
        first, text = await asyncio.to_thread(ask, serving.port)
        assert text == "https None"
        certificates.issue(tmp_path)
        await until("certificates changed: localhost", caplog)
        second, _ = await asyncio.to_thread(ask, serving.port)
        assert second != first


async def test_plain_http_is_told_so(tmp_path: Path) -> None:
    async with server(tmp_path) as serving:
        with RawClient(("127.0.0.1", serving.port)) as client:
            response = await asyncio.to_thread(client.ask, request())
            assert response.status == 400
            assert "expects TLS" in response.text


async def test_clients_certificates(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = certificates.issue(tmp_path, "a@example.org", stem="known", common_name="known")
    other = certificates.issue(tmp_path, "b@example.org", stem="other", ca=certificates.stranger())
    trusted = str(certificates.write_authority(tmp_path))
    with_known, with_other = (certificates.context(client=each) for each in (known, other))
    async with server(tmp_path, ca_certs=trusted, cert_reqs="required") as serving:
        assert "CN=known" in (await asyncio.to_thread(ask, serving.port, with_known))[1]
        for context in (certificates.context(), with_other):
            with pytest.raises(ssl.SSLError):
                await asyncio.to_thread(ask, serving.port, context)
        certificates.write_authority(tmp_path, certificates.stranger())
        await until("--ca-certs: sessions of before go on", caplog)
        await asyncio.to_thread(ask, serving.port, with_other)
        with pytest.raises(ssl.SSLError):
            await asyncio.to_thread(ask, serving.port, with_known)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"certfile": "/nowhere.pem"}, "cannot read '/nowhere.pem'"),
        ({"keyfile": "/nowhere.key"}, "there is no --certfile"),
        ({"cert_reqs": "required"}, "without --ca-certs"),
    ],
)
async def test_what_cannot_be_used_is_raised(options: Any, reason: str, tmp_path: Path) -> None:
    files = certificates.issue(tmp_path)
    if "keyfile" not in options:
        options = {"certfile": str(files.cert), "keyfile": str(files.key), **options}
    serving = aserve.Server(app, bind=ANY, **options)
    with pytest.raises(aserve.UsageError, match=reason):
        await serving.start()
    assert not serving.running
