"""A loop that stands still, as under an application that blocks it: nobody's time runs out for that."""

from __future__ import annotations

import asyncio
import socket
import time

from aserve.protocols.exchange import Exchange
from tests.protocols.conftest import Host, Serving
from tests.support.client import request

PAUSE = 1.3
"""Seconds, more than the longest limit of these tests and what deadlines have besides."""


def block(exchange: Exchange) -> None:
    """Answer when the loop has stood still, if that is what the client wants."""
    if exchange.target != b"/":
        time.sleep(PAUSE)
    exchange.respond(200, b"a")


async def looked(host: Host, times: int = 2) -> None:
    """Return when the group has looked at its deadlines, and has dealt with those that are over."""
    for _ in range(times):
        done = asyncio.Event()
        host.group.on_sweep = done.set
        await asyncio.wait_for(done.wait(), 10)
    await asyncio.sleep(0.01)


async def test_a_connection_is_kept_behind_its_own_response(serving: Serving) -> None:
    async with serving(block, keep_alive=0.5) as host, host.client() as client:
        await client.ask(request(target="/block"))
        begun = asyncio.get_running_loop().time()
        await looked(host)
        [connection] = host.group.connections
        assert connection.deadline >= begun + 0.5
        assert (await client.ask(request())).status == 200


async def test_a_head_that_is_on_its_way(serving: Serving) -> None:
    async with (
        serving(block, keep_alive=0.2, header_timeout=1.0) as host,
        host.client() as slow,
        host.client() as other,
    ):
        head = request()
        await slow.send(head[:10])
        await other.ask(request(target="/block"))
        await looked(host)
        assert (await slow.ask(head[10:])).status == 200


async def test_a_response_that_waits_for_its_client(serving: Serving) -> None:
    def fill(exchange: Exchange) -> None:
        if exchange.target == b"/block":
            block(exchange)
            return
        sock = exchange.connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        exchange.start(200, [])
        exchange.write(bytes(200_000))

    async with (
        serving(fill, keep_alive=0.2, write_timeout=1.0) as host,
        host.client(receive_buffer=4096) as client,
        host.client() as other,
    ):
        await client.send(request())
        await looked(host)
        await other.ask(request(target="/block"))
        await looked(host)
        assert (await client.read()).body == bytes(200_000)
