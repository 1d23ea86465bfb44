"""Bodies of some size, both ways: uploads of 50 MB, streams that start before they end."""

from __future__ import annotations

import functools
import hashlib
import io
import random
from collections.abc import AsyncIterator

import pytest

from tests.apps.shared import block
from tests.frameworks.conftest import FRAMEWORKS
from tests.support.client import chunked, request
from tests.support.pool import ALL_FLAVOURS
from tests.support.site import Site

MB = 1 << 20
every_flavour = pytest.mark.parametrize("flavour", ALL_FLAVOURS, ids=str, indirect=True)
# Without a length, which a large chunked body has not, Django's WSGI handler reads nothing.
takes_chunks = pytest.mark.parametrize(
    "framework", [framework for framework in FRAMEWORKS if framework.name != "django"], ids=str
)
takes_chunked_forms = pytest.mark.parametrize("framework", FRAMEWORKS[:3], ids=str)


@functools.cache
def content(size: int) -> tuple[bytes, str]:
    """Return `size` bytes without a pattern, and their SHA-256."""
    data = random.Random(size).randbytes(size)
    return data, hashlib.sha256(data).hexdigest()


def blocks(count: int, size: int) -> bytes:
    """Return what the route /stream sends."""
    return b"".join(block(size, number) for number in range(count))


async def test_multipart_upload_of_50_mb(site: Site) -> None:
    data, digest = content(50 * MB)
    response = await site.http.post(
        "/upload",
        data={"note": "größer"},
        files={"file": ("data.bin", io.BytesIO(data), "application/x-test")},
        timeout=60,
    )
    assert response.status_code == 200
    assert response.json() == {
        "name": "data.bin",
        "type": "application/x-test",
        "note": "größer",
        "size": 50 * MB,
        "sha256": digest,
    }


@takes_chunked_forms
async def test_chunked_multipart_upload(site: Site) -> None:
    """The same without a length."""
    data, digest = content(3 * MB)
    built = site.http.build_request(
        "POST", "/upload", data={"note": "n"}, files={"file": ("data.bin", io.BytesIO(data))}
    )
    body = built.read()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    kind = {"Content-Type": built.headers["content-type"]}
    response = await site.http.post("/upload", content=pieces(), headers=kind)
    assert response.json()["sha256"] == digest


async def test_upload_echoed(site: Site) -> None:
    data, digest = content(5 * MB)
    response = await site.http.post("/echo", content=data)
    assert hashlib.sha256(response.content).hexdigest() == digest


@takes_chunks
async def test_chunked_upload_echoed(site: Site) -> None:
    data, digest = content(2 * MB)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 70_001):
            yield data[start : start + 70_001]

    response = await site.http.post("/echo", content=pieces())
    assert hashlib.sha256(response.content).hexdigest() == digest


@pytest.mark.parametrize(("count", "size"), [(16, 65_536), (2_000, 10), (1, 5 * MB)])
async def test_download_streamed(site: Site, count: int, size: int) -> None:
    response = await site.ask(request(target=f"/stream?count={count}&size={size}"))
    assert response.framing == "chunked"
    assert response.body == blocks(count, size)


async def test_stream_arrives_before_it_ends(site: Site) -> None:
    """The first piece is here while the application waits for this test."""
    async with site.raw() as client:
        await client.send(request(target=f"/steps/{site.key}"))
        head = await client.read_head()
        assert head.header("transfer-encoding") == "chunked"
        assert await client.read_bytes(11) == b"6\r\nfirst\n\r\n"
        await site.note("go")
        assert await client.read_bytes(17) == b"7\r\nsecond\n\r\n0\r\n\r\n"


async def test_stream_to_http_1_0_ends_with_the_connection(site: Site) -> None:
    async with site.raw() as client:
        response = await client.ask(
            request(target="/stream?count=100&size=1000", version="1.0"), version="1.0"
        )
        assert response.framing == "close"
        assert response.body == blocks(100, 1_000)


async def test_http_1_0_with_length(site: Site) -> None:
    async with site.raw() as client:
        response = await client.ask(request(version="1.0"), version="1.0")
        assert response.text == "hello"
        assert await client.read_until_closed() == b""


async def test_http_1_0_keep_alive(site: Site) -> None:
    """A client that asks for it and gets a length may go on (RFC 9112 section 9.3)."""
    async with site.raw() as client:
        asked = request(headers=[("Connection", "keep-alive")], version="1.0")
        response = await client.ask(asked, version="1.0")
        assert response.text == "hello"
        if "keep-alive" in response.connection:
            assert (await client.ask(asked, version="1.0")).text == "hello"
        else:
            assert await client.read_until_closed() == b""


@every_flavour
async def test_echo_goes_both_ways_at_once(asgi: Site) -> None:
    """Each line comes back before the next one is sent."""
    async with asgi.raw() as client:
        await client.send(request("POST", "/echo", [("Transfer-Encoding", "chunked")]))
        for number in range(20):
            line = b"line %d\n" % number
            await client.send(b"%x\r\n%b\r\n" % (len(line), line))
            if number == 0:
                assert (await client.read_head()).status == 200
            wanted = b"%x\r\n%b\r\n" % (len(line), line)
            assert (await client.read_bytes(len(wanted))).lower() == wanted
        await client.send(b"0\r\n\r\n")
        assert await client.read_bytes(5) == b"0\r\n\r\n"


@every_flavour
async def test_wsgi_starts_before_a_large_upload_ends(wsgi: Site) -> None:
    """The application reads, and answers, while the client still sends."""
    piece = block(1 << 20)
    async with wsgi.raw() as client:
        await client.send(request("POST", f"/late-read/{wsgi.key}", [("Transfer-Encoding", "chunked")]))
        await client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await wsgi.wait("entered")
        await wsgi.note("go")
        await client.send(chunked(piece))
        assert (await client.read()).json() == {"size": 2 << 20}


@every_flavour
@pytest.mark.parametrize("step", [1, 7, 1000])
async def test_request_in_small_pieces(raw_site: Site, step: int) -> None:
    """However a chunked request is cut up, the application gets the same body."""
    path = "/read" if "asgi_app" in raw_site.server.command[-1] else "/read/all"
    data = request("POST", path, [("Transfer-Encoding", "chunked")])
    data += chunked(b"one", b"two" * 100, b"x", trailers=[("X-Trailer", "ignored")])
    data += request()
    async with raw_site.raw() as client:
        for start in range(0, len(data), step):
            await client.send(data[start : start + step])
        response = (await client.read()).json()
        assert response["size"] == 3 + 300 + 1
        assert response["sha256"] == hashlib.sha256(b"one" + b"two" * 100 + b"x").hexdigest()
        assert (await client.read()).text == "hello"


@every_flavour
async def test_head_goes_out_before_a_late_body(asgi: Site) -> None:
    """An event stream's client sees the head at once, not with the first event."""
    async with asgi.raw() as client:
        await client.send(request(target=f"/early-head/{asgi.key}"))
        head = await client.read_head()
        assert head.header("content-type") == "text/event-stream"
        await asgi.note("go")
        assert b"data: late\n\n" in await client.read_bytes(17)
        assert await client.read_bytes(5) == b"0\r\n\r\n"


@every_flavour
async def test_length_is_inferred(raw_site: Site) -> None:
    """One body message without a length needs no chunks."""
    async with raw_site.raw() as client:
        response = await client.ask(request(target="/length"))
        assert response.text == "inferred"
        assert response.header("content-length") == "8"


@every_flavour
@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("path", ["/status", "/status-body"])
async def test_no_body_with_some_statuses(raw_site: Site, path: str, status: int) -> None:
    """Not even if the application sends one (RFC 9110 section 6.4.1)."""
    async with raw_site.raw() as client:
        await client.send(request(target=f"{path}/{status}") + request())
        assert (await client.read()).status == status
        assert (await client.read()).text == "hello"


@every_flavour
async def test_own_transfer_encoding_is_not_doubled(asgi: Site) -> None:
    async with asgi.raw() as client:
        response = await client.ask(request(target="/own-chunks"))
        assert response.text == "onetwo"
        assert response.chunks == [3, 3]


@every_flavour
async def test_empty_pieces_do_not_end_the_body(wsgi: Site) -> None:
    async with wsgi.raw() as client:
        assert (await client.ask(request(target="/blanks"))).text == "ab"
        assert (await client.ask(request(target="/empty"))).body == b""
        assert (await client.ask(request())).text == "hello"
