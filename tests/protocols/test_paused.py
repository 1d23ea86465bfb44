"""Clients from which nothing is read at present, and those that read nothing themselves."""

from __future__ import annotations

import asyncio
import socket
import struct

from aserve.protocols.exchange import Exchange
from tests.protocols.conftest import Serving, answer
from tests.support.client import request


async def test_reset_of_a_connection_that_is_not_read_from(serving: Serving) -> None:
    """The application hears of it within a sweep, though more requests wait than are taken."""
    async with serving(lambda exchange: None, keep_alive=0.2) as host:
        client = host.client()
        async with client:
            await client.send_until_blocked(request() * 400_000)
            (connection,) = host.group.connections
            assert connection in host.group.paused
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with asyncio.timeout(10):
            while not host.disconnected:
                await asyncio.sleep(0.01)
        assert host.disconnected == host.begun
        assert not host.group.paused
        assert not host.group.connections


async def test_who_reads_no_responses_gets_no_more_of_them(serving: Serving) -> None:
    """Pipelined requests for large responses fill a bounded buffer; all are answered when it is read."""
    count = 50

    def large(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(bytes(1_000_000))

    async with serving(large) as host, host.client(receive_buffer=4096) as client:
        for _ in range(count):  # a read of its own at the server for many of them
            await client.send(request())
            await asyncio.sleep(0)
        (connection,) = host.group.connections
        async with asyncio.timeout(10):
            while connection.queue is None:
                await asyncio.sleep(0.01)
        assert connection.unsent() < 4_000_000
        assert len(host.begun) < 8
        for _ in range(count):
            assert len((await client.read()).body) == 1_000_000
        assert len(host.begun) == count


async def test_a_rest_that_nobody_reads(serving: Serving) -> None:
    """Too little to pause the application, but not for ever the client's to leave unread."""

    def fill(exchange: Exchange) -> None:
        exchange.start(200, [])
        sock = exchange.connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        exchange.write(bytes(60_000))

    async with (
        serving(fill, keep_alive=0.2, write_timeout=0.3) as host,
        host.client(receive_buffer=4096) as client,
    ):
        await client.send(request())
        async with asyncio.timeout(10):
            while not host.begun:
                await asyncio.sleep(0.01)
        (connection,) = host.group.connections
        assert connection.writable
        assert connection.unsent()
        async with asyncio.timeout(10):
            while host.group.connections:
                await asyncio.sleep(0.01)


async def test_an_end_behind_requests_that_are_not_read(serving: Serving) -> None:
    """The application hears that no more will come; what was asked is still answered."""
    waiting: list[Exchange] = []
    async with serving(waiting.append, keep_alive=0.2) as host, host.client() as client:
        await client.send(request() * 30)
        client.half_close()
        async with asyncio.timeout(10):
            while not host.disconnected:
                await asyncio.sleep(0.01)
        for number in range(30):
            async with asyncio.timeout(10):
                while len(waiting) <= number:
                    await asyncio.sleep(0)
            answer(waiting[number])
            assert (await client.read()).status == 200
        assert await client.read_until_closed() == b""
