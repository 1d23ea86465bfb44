"""A client that goes away: the application learns of it, and the log stays calm."""

from __future__ import annotations

import asyncio

import pytest

from tests.frameworks.conftest import FRAMEWORKS, Framework
from tests.support.client import TIMEOUT, request
from tests.support.pool import ALL_FLAVOURS
from tests.support.site import Site

every_flavour = pytest.mark.parametrize("flavour", ALL_FLAVOURS, ids=str, indirect=True)


@every_flavour
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_receive_tells_of_it(asgi: Site, how: str) -> None:
    """As often as it is asked; `send` then raises an OSError."""
    async with asgi.raw() as client:
        await client.send(request("POST", f"/disconnect/{asgi.key}", body=b"x"))
        await asgi.wait("entered")
        if how == "reset":
            client.reset()
    assert await asgi.wait("received", 2) == ["http.disconnect", "http.disconnect"]
    assert await asgi.wait("sent") == ["OSError"]
    assert asgi.tracebacks() == []


@every_flavour
async def test_receive_tells_of_it_during_the_response(asgi: Site) -> None:
    """Also a task that waits in `receive` while another one sends."""
    async with asgi.raw() as client:
        await client.send(request(target=f"/watch/{asgi.key}"))
        await client.read_head()
        await client.read_bytes(11)
    assert await asgi.wait("received") == ["http.disconnect"]
    await asgi.note("go")
    assert asgi.tracebacks() == []


@every_flavour
async def test_receive_after_the_response(asgi: Site) -> None:
    """http.disconnect, although the connection stays open for the next request."""
    async with asgi.raw() as client:
        response = await client.ask(request(target=f"/after/{asgi.key}"))
        assert response.text == "complete"
        assert await asgi.wait("received") == ["http.disconnect"]
        assert (await client.ask(request())).text == "hello"


@every_flavour
async def test_a_waiting_receive_ends_with_the_response(asgi: Site) -> None:
    async with asgi.raw() as client:
        await client.send(request(target=f"/watch/{asgi.key}"))
        await asgi.note("go")
        assert (await client.read()).text == "first\nsecond\n"
        await asgi.wait("done")
        assert (await client.ask(request())).text == "hello"


@every_flavour
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_send_raises(asgi: Site, how: str) -> None:
    """A stream without an end ends with an OSError (ASGI HTTP spec 2.4)."""
    async with asgi.raw() as client:
        await client.send(request(target=f"/endless/{asgi.key}"))
        await client.read_head()
        await client.read_bytes(100_000)
        if how == "reset":
            client.reset()
        client.incoming.data.clear()
    assert await asgi.wait("closed") == ["OSError"]
    assert asgi.tracebacks() == []


@pytest.mark.parametrize("stalled", [False, True], ids=["reading", "stalled"])
async def test_stream_is_closed(site: Site, framework: Framework, stalled: bool) -> None:
    """The application's generator is closed when its reader goes, also while it waits for room."""
    async with site.raw(receive_buffer=1 << 16) as client:
        await client.send(request(target=f"/endless/{site.key}"))
        await client.read_head()
        if stalled:
            for _ in range(10):  # meanwhile the buffers between the two fill up
                await site.http.get("/")
        else:
            await client.read_bytes(1_000_000)
        client.incoming.data.clear()
    async with asyncio.timeout(TIMEOUT):
        while not await site.notes("closed", 0):
            await asyncio.sleep(0.01)
    assert (await site.http.get("/")).text == "hello"
    if framework.name != "django-asgi":  # Django logs what it cancels
        assert site.tracebacks() == []


@every_flavour
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_wsgi_iterable_is_closed(wsgi: Site, how: str) -> None:
    async with wsgi.raw() as client:
        await client.send(request(target=f"/endless/{wsgi.key}"))
        await client.read_head()
        await client.read_bytes(100_000)
        if how == "reset":
            client.reset()
        client.incoming.data.clear()
    assert await wsgi.wait("closed") == [""]
    assert wsgi.tracebacks() == []


@every_flavour
@pytest.mark.parametrize("size", [10, 300_000], ids=["small", "large"])
async def test_upload_that_breaks_off(raw_site: Site, size: int) -> None:
    """It is never taken for a complete one, and is no traceback of the server's."""
    raw_site.server.allowed_tracebacks.append("the client (went away|disconnected)")
    path = "/read" if "asgi_app" in raw_site.server.command[-1] else "/read/all"
    async with raw_site.raw() as client:
        await client.send(request("POST", path, [("Content-Length", "400000")]) + b"x" * size)
    async with raw_site.raw() as client:
        await client.send(request("POST", path, [("Transfer-Encoding", "chunked")]))
        await client.send(b"%x\r\n" % 400_000 + b"x" * size)
        client.reset()
    assert (await raw_site.http.get("/")).text == "hello"


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=str)
async def test_broken_upload_to_a_framework(site: Site) -> None:
    """The next client is served as if nothing had been."""
    site.server.allowed_tracebacks += ["ClientDisconnect", "UnreadablePostError", "disconnected"]
    for _ in range(10):
        async with site.raw() as client:
            await client.send(request("POST", "/json", [("Content-Length", "300000")]) + b"[" * 100_000)
    assert (await site.http.post("/json", json=[1])).status_code in (200, 422)


@every_flavour
async def test_client_that_leaves_a_pipeline(raw_site: Site) -> None:
    async with raw_site.raw() as client:
        await client.send(request() * 50)
        await client.read()
        client.incoming.data.clear()
    assert (await raw_site.ask(request())).text == "hello"
    assert raw_site.tracebacks() == []


@every_flavour
async def test_many_clients_leave_at_once(asgi: Site) -> None:
    """Each application is told; nothing is left waiting."""
    clients = [asgi.raw() for _ in range(30)]
    for client in clients:
        await client.__aenter__()
        await client.send(request("POST", f"/disconnect/{asgi.key}", body=b""))
    await asgi.wait("entered", 30)
    for client in clients:
        client.close()
    assert len(await asgi.wait("received", 60)) == 60
