"""A client that closes its side, and an application that then ends without a response.

Nothing is written, so nothing tells that the client has gone for good: the connection has to be
ended by the server, or it stays for ever.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aserve.adapters import make_adapter, make_runner
from aserve.adapters.runner import RunnerOptions
from aserve.protocols.group import ConnectionGroup
from aserve.protocols.states import Reading
from tests.support.client import AsyncRawClient, request


@pytest.mark.parametrize("kind", ["asgi returns", "asgi raises OSError", "asgi raises", "wsgi raises"])
async def test_the_connection_ends(kind: str) -> None:
    loop = asyncio.get_running_loop()
    gone = threading.Event()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if kind == "asgi raises OSError":
            raise OSError("deliberate")
        if kind == "asgi raises":
            raise ValueError("deliberate")

    def wsgi(environ: Any, start_response: Any) -> Any:
        gone.wait(10)
        raise ValueError("deliberate")

    is_wsgi = kind.startswith("wsgi")
    app = wsgi if is_wsgi else asgi
    runner = make_runner("wsgi", loop, RunnerOptions(threads=1))
    adapter = make_adapter(
        app,
        "wsgi" if is_wsgi else "asgi3",
        loop=loop,
        lifespan="off",
        runner=runner,
    )
    await adapter.startup()
    group = ConnectionGroup(adapter.exchange_factory, loop=loop)
    server = await loop.create_server(group.connection, "127.0.0.1", 0)
    try:
        async with AsyncRawClient(server.sockets[0].getsockname()) as client:
            await client.send(request())
            client.half_close()
            async with asyncio.timeout(10):
                while is_wsgi and not any(each.reading is Reading.CLOSED for each in group.connections):
                    await asyncio.sleep(0.01)
                gone.set()
                answer = await client.read_until_closed()
                assert answer.startswith(b"HTTP/1.1 500 ") is kind.endswith("raises")
                while group.connections or group.running:
                    await asyncio.sleep(0.01)
    finally:
        server.close()
        await adapter.shutdown()


async def test_a_thread_that_waits_for_room_hears_of_the_end() -> None:
    """The client has closed its side before; now the connection is lost, too."""
    loop = asyncio.get_running_loop()
    ended = threading.Event()

    def wsgi(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 65536
        finally:
            ended.set()

    runner = make_runner("wsgi", loop, RunnerOptions(threads=1))
    adapter = make_adapter(wsgi, "wsgi", loop=loop, runner=runner)
    await adapter.startup()
    group = ConnectionGroup(adapter.exchange_factory, loop=loop)
    server = await loop.create_server(group.connection, "127.0.0.1", 0)
    try:
        async with AsyncRawClient(server.sockets[0].getsockname(), receive_buffer=65536) as client:
            await client.send(request())
            client.half_close()
            async with asyncio.timeout(10):
                while not any(
                    each.reading is Reading.CLOSED and not each.writable for each in group.connections
                ):
                    await asyncio.sleep(0.01)
                client.reset()
                while group.running:
                    await asyncio.sleep(0.01)
        assert ended.is_set()
    finally:
        server.close()
        await adapter.shutdown()
