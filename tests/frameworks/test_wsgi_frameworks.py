"""WSGI frameworks as they are, and each inside wsgiref's validator: what they leave to the server."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.apps.shared import block
from tests.support.client import chunked, request
from tests.support.pool import FLAVOURS, ServerPool
from tests.support.report import watch
from tests.support.site import Site
from tests.support.wire import IncompleteResponseError

# Flask and Django as they are have the files around this one.
NAMES = ("flask_app", "django_app", "pyramid_app", "bottle_app", "falcon_app")
PLAIN = ("pyramid_app:app", "bottle_app:app", "falcon_app:app")


@pytest.fixture(params=[*PLAIN, *(f"validated:{name}" for name in NAMES)])
async def site(request: pytest.FixtureRequest, pool: ServerPool) -> AsyncIterator[Site]:
    """The common routes on each framework; one parser and loop, since the framework is what varies."""
    server = pool.get(request.param, FLAVOURS[0])
    watch(request, server)
    async with Site(server) as opened:
        yield opened


def content(size: int) -> tuple[bytes, str]:
    """Bytes without a pattern, and their SHA-256."""
    data = random.Random(size).randbytes(size)
    return data, hashlib.sha256(data).hexdigest()


async def test_text_and_json(site: Site) -> None:
    async with site.raw() as client:
        for _ in range(3):
            response = await client.ask(request())
            assert (response.status, response.text) == (200, "hello")
            assert (await client.ask(request(target="/json"))).json() == {"hello": "world"}
            kind = [("Content-Type", "application/json")]
            posted = await client.ask(request("POST", "/json", kind, b'{"a": ["\xc3\xbc", null]}'))
            assert posted.json() == {"a": ["ü", None]}


async def test_form_and_cookies(site: Site) -> None:
    fields = {"name": "Grace Hopper", "city": "Zürich & more=?"}
    assert (await site.http.post("/form", data=fields)).json() == fields
    response = await site.ask(request(target="/cookies"))
    assert len(response.all("set-cookie")) == 2
    async with site.raw() as client:
        sent = request(target="/cookies", headers=[("Cookie", "a=1"), ("Cookie", "b=2; c=3")])
        assert (await client.ask(sent)).json() == {"a": "1", "b": "2", "c": "3"}


@pytest.mark.parametrize("size", [1_000, 3_000_000])
async def test_multipart_upload(site: Site, size: int) -> None:
    data, digest = content(size)
    response = await site.http.post(
        "/upload", data={"note": "größer"}, files={"file": ("data.bin", io.BytesIO(data))}
    )
    found = response.json()
    assert (found["name"], found["note"], found["sha256"]) == ("data.bin", "größer", digest)


async def test_upload_echoed(site: Site) -> None:
    """Streamed in and out again."""
    data, digest = content(1_000_000)
    response = await site.http.post(
        "/echo", content=data, headers={"Content-Type": "application/octet-stream"}
    )
    assert hashlib.sha256(response.content).hexdigest() == digest


async def test_chunked_upload_echoed(site: Site) -> None:
    """Django, Bottle and Falcon read as much as CONTENT_LENGTH says."""
    data, digest = content(30_000)
    sent = request("POST", "/echo", [("Transfer-Encoding", "chunked"), ("Content-Type", "x/y")])
    async with site.raw() as client:
        response = await client.ask(sent + chunked(data[:1000], data[1000:]))
        assert hashlib.sha256(response.body).hexdigest() == digest
        assert (await client.ask(request())).text == "hello"


@pytest.mark.parametrize("site", ["validated:flask_app", "pyramid_app:app"], indirect=True)
async def test_large_chunked_upload_echoed(site: Site) -> None:
    """These two know `wsgi.input_terminated`."""
    data, digest = content(300_000)
    sent = request("POST", "/echo", [("Transfer-Encoding", "chunked"), ("Content-Type", "x/y")])
    response = await site.ask(sent + chunked(data[:1000], data[1000:]))
    assert hashlib.sha256(response.body).hexdigest() == digest


async def test_stream(site: Site) -> None:
    async with site.raw() as client:
        response = await client.ask(request(target="/stream?count=50&size=10000"))
        assert response.framing == "chunked"
        assert response.body == b"".join(block(10_000, number) for number in range(50))
        await client.send(request(target=f"/steps/{site.key}"))
        await client.read_head()
        assert await client.read_bytes(11) == b"6\r\nfirst\n\r\n"  # while the application waits
        await site.note("go")
        assert await client.read_bytes(17) == b"7\r\nsecond\n\r\n0\r\n\r\n"


async def test_stream_is_closed_when_the_client_goes(site: Site) -> None:
    async with site.raw() as client:
        await client.send(request(target=f"/endless/{site.key}"))
        await client.read_head()
        await client.read_bytes(100_000)
        client.incoming.data.clear()
    await site.wait("closed")
    assert site.tracebacks() == []


async def test_file(site: Site, tmp_path: Path) -> None:
    for size in (0, 10, 3_000_001):
        data, digest = content(size)
        path = tmp_path / f"file-{size}"
        path.write_bytes(data)
        response = await site.http.get("/file", params={"path": str(path)})
        assert response.headers["content-length"] == str(size)
        assert hashlib.sha256(response.content).hexdigest() == digest


async def test_head(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    async with site.raw() as client:
        for target in ("/", f"/file?path={path}"):
            got = await client.ask(request(target=target))
            head = await client.ask(request("HEAD", target), "HEAD")
            if head.status == 405:
                continue  # Falcon has HEAD only where the application has written it
            assert head.header("content-length") == got.header("content-length")
            assert (await client.ask(request())).text == "hello"


async def test_where(site: Site) -> None:
    """URLs are rebuilt from what a trusted proxy tells of the origin."""
    plain = (await site.ask(b"GET /where HTTP/1.1\r\nHost: a.example:8080\r\n\r\n")).json()
    assert (plain["scheme"], plain["root"], plain["client"]) == ("http", "", "127.0.0.1")
    assert plain["link"] == "http://a.example:8080/where"
    forwarded = [
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "b.example"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Prefix", "/api"),
    ]
    where = (await site.ask(request(target="/where", headers=forwarded))).json()
    assert (where["scheme"], where["root"], where["client"]) == ("https", "/api", "203.0.113.7")
    assert where["link"] == "https://b.example/api/where"


async def test_errors(site: Site) -> None:
    """A 500 before the response has begun; a connection that breaks off when it has."""
    response = await site.ask(request(target="/error"))
    assert response.status == 500
    assert b"Traceback" not in response.body
    async with site.raw() as client:
        with pytest.raises(IncompleteResponseError):
            await client.ask(request(target="/error-midway"))
    assert (await site.ask(request())).text == "hello"
    site.server.wait_line("deliberate: in the middle", since=site.since)
    assert len(site.tracebacks()) == 2
