"""The connection around the requests: who closes it when, Expect, Upgrade, bodies nobody reads."""

from __future__ import annotations

import pytest

from tests.support.client import chunked, request
from tests.support.pool import ALL_FLAVOURS
from tests.support.site import Site

pytestmark = pytest.mark.parametrize("flavour", ALL_FLAVOURS, ids=str, indirect=True)

CLOSE = [("Connection", "close")]
EXPECT = [("Expect", "100-continue")]
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "spdy/3")]
CHUNKED = [("Transfer-Encoding", "chunked")]


def read_path(site: Site) -> str:
    """Return the path that reads the whole body and tells its size."""
    return "/read" if "asgi_app" in site.server.command[-1] else "/read/all"


# -- the end of a connection (RFC 9112 section 9) ---------------------------------------------


async def test_close_asked_by_the_client(raw_site: Site) -> None:
    async with raw_site.raw() as client:
        response = await client.ask(request(headers=CLOSE))
        assert response.text == "hello"
        assert response.connection == {"close"}
        assert await client.read_until_closed() == b""


async def test_close_asked_by_the_application(raw_site: Site) -> None:
    async with raw_site.raw() as client:
        response = await client.ask(request(target="/close"))
        assert response.text == "last"
        assert response.connection == {"close"}
        assert await client.read_until_closed() == b""


async def test_nothing_is_answered_after_close(raw_site: Site) -> None:
    """What is pipelined behind `Connection: close` gets no answer (RFC 9112 section 9.6)."""
    async with raw_site.raw() as client:
        await client.send(request() + request(headers=CLOSE) + request(target="/length"))
        assert (await client.read()).text == "hello"
        assert "close" in (await client.read()).connection
        assert await client.read_until_closed() == b""


async def test_close_after_a_stream(raw_site: Site) -> None:
    async with raw_site.raw() as client:
        response = await client.ask(request(target="/stream?count=3&size=9", headers=CLOSE))
        assert len(response.body) == 27
        assert response.connection == {"close"}
        assert await client.read_until_closed() == b""


async def test_half_closed_client_gets_its_answer(raw_site: Site) -> None:
    """A client that has said all may stop sending and still read (RFC 9112 section 9.6)."""
    async with raw_site.raw() as client:
        await client.send(request("POST", read_path(raw_site), body=b"12345"))
        client.half_close()
        assert (await client.read()).json()["size"] == 5
        assert await client.read_until_closed() == b""


async def test_pipelined_requests_in_pieces(raw_site: Site) -> None:
    """However the bytes are cut up, each request gets its answer, in order."""
    data = b"".join(request("POST", read_path(raw_site), body=b"x" * size) for size in (0, 1, 10, 100))
    async with raw_site.raw() as client:
        for start in range(0, len(data), 11):
            await client.send(data[start : start + 11])
        for size in (0, 1, 10, 100):
            assert (await client.read()).json()["size"] == size


async def test_deep_pipeline(raw_site: Site) -> None:
    """More requests than a server wants to hold are held by the client's own socket."""
    async with raw_site.raw() as client:
        await client.send(request() * 500 + request(target="/length"))
        for _ in range(500):
            assert (await client.read()).text == "hello"
        assert (await client.read()).text == "inferred"


async def test_a_connection_without_a_request(raw_site: Site) -> None:
    """Port scanners and health checks are nothing to write about."""
    async with raw_site.raw():
        pass
    async with raw_site.raw() as client:
        await client.send(b"GET / HT")
    async with raw_site.raw() as client:
        client.reset()
    assert (await raw_site.ask(request())).text == "hello"
    assert raw_site.server.lines("stderr", raw_site.since) == []


# -- Expect (RFC 9110 section 10.1.1) ---------------------------------------------------------


async def test_expect_is_answered_when_the_body_is_wanted(raw_site: Site) -> None:
    async with raw_site.raw() as client:
        head = request("POST", read_path(raw_site), [*EXPECT, ("Content-Length", "5")])
        await client.send(head)
        interim = await client.read_head()
        assert (interim.status, interim.headers) == (100, [])
        await client.send(b"12345")
        response = await client.read()
        assert response.json()["size"] == 5
        assert response.interim == []
        assert (await client.ask(request())).text == "hello"


async def test_expect_with_a_chunked_body(raw_site: Site) -> None:
    async with raw_site.raw() as client:
        await client.send(request("POST", read_path(raw_site), [*EXPECT, *CHUNKED]))
        assert (await client.read_head()).status == 100
        await client.send(chunked(b"123", b"45"))
        assert (await client.read()).json()["size"] == 5


async def test_expect_from_a_client_that_does_not_wait(raw_site: Site) -> None:
    """The body is there already: 100 may be left out, and must not come twice."""
    async with raw_site.raw() as client:
        sent = request("POST", read_path(raw_site), EXPECT, b"12345")
        response = await client.ask(sent)
        assert response.json()["size"] == 5
        assert len(response.interim) <= 1
        assert (await client.ask(sent)).json()["size"] == 5


async def test_expect_refused_by_the_application(asgi: Site) -> None:
    """An application that does not want the body answers at once; the body is never sent."""
    async with asgi.raw() as client:
        await client.send(request("POST", "/unread", [*EXPECT, ("Content-Length", "5000000")]))
        response = await client.read()
        assert response.status == 401
        assert response.interim == []
        # The client may take the next bytes for the body or not: only closing is unambiguous.
        assert "close" in response.connection
        assert await client.read_until_closed() == b""


async def test_expect_from_http_1_0_is_ignored(raw_site: Site) -> None:
    response = await raw_site.ask(
        request("POST", read_path(raw_site), EXPECT, b"12345", version="1.0"), version="1.0"
    )
    assert response.json()["size"] == 5


async def test_expect_with_httpx(raw_site: Site) -> None:
    response = await raw_site.http.post(read_path(raw_site), content=b"x" * 100_000, headers=dict(EXPECT))
    assert response.json()["size"] == 100_000


# -- Upgrade (RFC 9110 section 7.8) -----------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        UPGRADE,
        [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMA")],
        [("Upgrade", "h2c")],
        [("Connection", "Upgrade")],
    ],
    ids=["spdy", "h2c", "no-option", "no-protocol"],
)
async def test_upgrade_that_nobody_takes(raw_site: Site, headers: list[tuple[str, str]]) -> None:
    async with raw_site.raw() as client:
        response = await client.ask(request(headers=headers))
        assert (response.status, response.text) == (200, "hello")
        assert response.header("upgrade") is None
        assert (await client.ask(request(target="/length"))).text == "inferred"


@pytest.mark.parametrize("step", [10_000, 5], ids=["at-once", "in-pieces"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
async def test_upgrade_with_a_body_and_a_follower(raw_site: Site, coding: str, step: int) -> None:
    """Body and next request are HTTP as ever, although a parser may stop at Upgrade."""
    path = read_path(raw_site)
    if coding == "length":
        data = request("POST", path, UPGRADE, b"12345")
    else:
        data = request("POST", path, [*UPGRADE, *CHUNKED]) + chunked(b"12", b"345")
    data += request("POST", path, body=b"follower") + request(headers=UPGRADE) + request()
    async with raw_site.raw() as client:
        for start in range(0, len(data), step):
            await client.send(data[start : start + step])
        assert (await client.read()).json()["size"] == 5
        assert (await client.read()).json()["size"] == 8
        assert (await client.read()).text == "hello"
        assert (await client.read()).text == "hello"


# -- bodies that nobody reads -----------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 60_000])
async def test_small_unread_body_is_skipped(raw_site: Site, size: int) -> None:
    """The follower is not mistaken for the body, nor the body for a request."""
    async with raw_site.raw() as client:
        await client.send(request("POST", "/unread", body=b"GET / HTTP/1.1\r\n\r\n"[:1] * size))
        response = await client.read()
        assert response.status == 401
        if "close" in response.connection:
            assert await client.read_until_closed() == b""
        else:
            assert (await client.ask(request())).text == "hello"


async def test_unread_body_with_a_follower(raw_site: Site) -> None:
    """Body and next request come in one piece; the body alone is skipped."""
    async with raw_site.raw() as client:
        await client.send(
            request("POST", "/unread", body=b"x" * 1000)
            + request("POST", "/unread", CHUNKED)
            + chunked(b"GET / HTTP/1.1\r\n\r\n")
            + request("POST", read_path(raw_site), body=b"12345")
        )
        assert (await client.read()).status == 401
        assert (await client.read()).status == 401
        assert (await client.read()).json()["size"] == 5


async def test_large_unread_body(asgi: Site) -> None:
    """The answer arrives although the client is still sending, and is not lost to a reset."""
    async with asgi.raw() as client:
        await client.send(request("POST", "/unread", [("Content-Length", "50000000")]))
        await client.send_until_blocked(b"x" * 1_000_000, quiet=0.2)
        response = await client.read()
        assert response.status == 401
        assert response.body == b"not for you"


async def test_body_of_a_chunked_request_that_is_not_read(raw_site: Site) -> None:
    async with raw_site.raw() as client:
        await client.send(request("POST", "/unread", CHUNKED) + chunked(b"GET / HTTP/1.1\r\n\r\n"))
        response = await client.read()
        assert response.status == 401
        if "close" not in response.connection:
            assert (await client.ask(request())).text == "hello"


async def test_refusal_is_well_formed(raw_site: Site) -> None:
    """Rubbish gets a 400 and a closed connection, the application nothing, the log no traceback."""
    async with raw_site.raw() as client:
        response = await client.ask(b"GET / HTTP/1.1\r\nHost: test\r\nbad header\r\n\r\n")
        assert response.status == 400
        assert "close" in response.connection
        assert await client.read_until_closed() == b""
    assert raw_site.tracebacks() == []
