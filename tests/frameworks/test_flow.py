"""Flow control: nobody is sent, or takes in, more than the other side can use."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.apps.shared import block
from tests.support.client import RawClient, request
from tests.support.pool import ALL_FLAVOURS
from tests.support.site import Site

pytestmark = pytest.mark.parametrize("flavour", ALL_FLAVOURS, ids=str, indirect=True)

PIECE = 1 << 16
COUNT = 640
"""Pieces of a transfer: 40 MB, far more than sockets and servers may hold."""

HELD = 12 << 20
"""Bytes that sockets (up to 4 MB each way here) and server may hold together."""


async def settled(site: Site, name: str, quiet: float = 0.3) -> int:
    """Return the number of notes `name` once it has not grown for `quiet` seconds."""
    loop = asyncio.get_running_loop()
    seen, since = -1, loop.time()
    while loop.time() - since < quiet:
        now = len(await site.notes(name, 0))
        if now != seen:
            seen, since = now, loop.time()
        await asyncio.sleep(0.02)
    return seen


async def check_slow_reader(site: Site, path: str) -> None:
    """The application does not get ahead of a client that does not read, and loses nothing."""
    async with site.raw(receive_buffer=PIECE) as client:
        await client.send(request(target=f"{path}/{site.key}?count={COUNT}&size={PIECE}"))
        await site.wait("sent")
        sent = await settled(site, "sent")
        assert sent * PIECE < HELD
        response = await client.read()
    assert response.body == b"".join(block(PIECE, number) for number in range(COUNT))
    assert len(await site.wait("sent", COUNT)) == COUNT


async def test_slow_reader_pauses_send(asgi: Site) -> None:
    await check_slow_reader(asgi, "/counted")


async def test_slow_reader_pauses_the_iterable(wsgi: Site) -> None:
    await check_slow_reader(wsgi, "/counted")


async def test_slow_reader_pauses_write(wsgi: Site) -> None:
    await check_slow_reader(wsgi, "/write-counted")


async def test_slow_application_pauses_the_upload(raw_site: Site) -> None:
    """The client's own socket holds what the application has not asked for."""
    body = b"x" * (COUNT * PIECE)
    async with raw_site.raw() as client:
        await client.send(request("POST", f"/late-read/{raw_site.key}", [("Content-Length", str(len(body)))]))
        sent = await client.send_until_blocked(body, quiet=0.3)
        assert sent < HELD
        await raw_site.wait("entered")
        await raw_site.note("go")
        await client.send(body[sent:])
        assert (await client.read()).json() == {"size": len(body)}


async def test_slow_reader_of_small_pieces(raw_site: Site) -> None:
    """Pieces below any buffer's size count as well."""
    async with raw_site.raw(receive_buffer=4096) as client:
        await client.send(request(target="/stream?count=40000&size=100") + request())
        await settled(raw_site, "sent")
        response = await client.read()
        assert len(response.body) == 4_000_000
        assert (await client.read()).text == "hello"


async def test_a_stalled_reader_stalls_nobody_else(raw_site: Site) -> None:
    async with raw_site.raw(receive_buffer=4096) as stalled:
        await stalled.send(request(target=f"/counted/{raw_site.key}?count={COUNT}&size={PIECE}"))
        await raw_site.wait("sent")
        for _ in range(20):
            assert (await raw_site.http.get("/")).text == "hello"


@pytest.mark.parametrize("size", [100, 16_000, 65_536, 1 << 20])
async def test_a_fast_reader_starves_nobody(raw_site: Site, size: int) -> None:
    """A client that takes everything at once does not get the loop to itself."""
    reader = RawClient(raw_site.target)
    finished = threading.Event()

    def read_on() -> None:
        while not finished.is_set() and reader.socket.recv(1 << 20):
            pass

    reading = asyncio.create_task(asyncio.to_thread(read_on))
    try:
        reader.send(request(target=f"/stream?count={1 << 30}&size={size}"))
        for _ in range(20):
            assert (await raw_site.http.get("/")).text == "hello"
    finally:
        finished.set()
        await reading
        reader.close()
    assert (await raw_site.http.get("/")).text == "hello"
    assert raw_site.tracebacks() == []
