"""The group's deadlines, where a loop between a client and a server would blur them."""

from __future__ import annotations

import asyncio
import socket
import time

from tornado.web import Application, RequestHandler

from aserve.adapters.tornado_group import TornadoGroup
from aserve.adapters.tornado_stream import Stage
from aserve.protocols.options import ConnectionOptions
from tests.support.client import request


class Root(RequestHandler):
    def get(self) -> None:
        self.write("hello")


async def test_a_connection_is_not_idle_when_a_request_waits_to_be_read() -> None:
    loop = asyncio.get_running_loop()
    group = TornadoGroup(Application([("/", Root)]), loop=loop, options=ConnectionOptions(keep_alive=0.1))
    accepted, client = socket.socketpair()
    with client:
        client.setblocking(False)
        await group.take(accepted)
        for _ in range(2):
            client.send(request())
            # Each start looks at the connections, and the loop has no turn between the sending and that.
            group.start()
            answer = await asyncio.wait_for(loop.sock_recv(client, 65536), 10)
            assert answer.endswith(b"hello")
            await asyncio.sleep(0)
            group.stop()
            group.start()  # from now on it is idle
            group.stop()
            await asyncio.sleep(0.15)
        group.start()
        group.drain()
        group.close_idle()
        await asyncio.wait_for(group.wait_closed(), 10)
        group.stop()
        assert await loop.sock_recv(client, 65536) == b""


async def test_a_standstill_of_the_loop_counts_for_nobody() -> None:
    loop = asyncio.get_running_loop()
    group = TornadoGroup(Application([("/", Root)]), loop=loop, options=ConnectionOptions(header_timeout=0.2))
    accepted, client = socket.socketpair()
    with client:
        client.setblocking(False)
        await group.take(accepted)
        head = request()
        client.send(head[:10])
        [stream] = group._streams
        while stream.stage() is not Stage.HEAD:
            await asyncio.sleep(0)
        group.start()  # from now on the head is waited for
        time.sleep(0.5)
        await asyncio.sleep(0.01)
        client.send(head[10:])
        answer = await asyncio.wait_for(loop.sock_recv(client, 65536), 10)
        assert answer.endswith(b"hello")
        group.drain()
        group.close_idle()
        await asyncio.wait_for(group.wait_closed(), 10)
        group.stop()
