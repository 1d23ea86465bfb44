"""Clients that go on asking while a server is restarted by its manager."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.reliability.load import Load
from tests.support.client import AsyncRawClient, Target, request


class RetryingLoad(Load):
    """Clients that behave: who finds a kept connection closed, before an answer, asks on another one.

    That is what RFC 9112 (9.3.1) has clients do with requests that may be repeated: a server that ends
    closes connections on which nothing happens, and the next request may be on its way just then.
    """

    retried: int = 0

    async def _keep_asking(self, over: asyncio.Event) -> None:
        async with self._connected() as client:
            asked, close = 0, False
            while not close and not over.is_set():
                if asked and await self._is_closed(client):
                    self.retried += 1
                    return
                if not asked:
                    await client.send(request())
                response = await client.read()
                self._note(response.status, response.text)
                asked += 1
                close = "close" in response.connection
                await asyncio.sleep(0.002)

    async def _is_closed(self, client: AsyncRawClient) -> bool:
        """Ask again; is the connection closed without a byte of an answer?"""
        try:
            await client.send(request())
        except OSError:
            return True
        while not client.incoming.data and not client.incoming.end:
            await client._receive()
        return not client.incoming.data


@asynccontextmanager
async def under_load(target: Target) -> AsyncIterator[RetryingLoad]:
    """Have clients of all kinds at work for as long as the block lasts; not one request may fail."""
    load = RetryingLoad(target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    try:
        await asyncio.sleep(0.2)
        yield load
        await asyncio.sleep(0.2)
    finally:
        over.set()
        await running
    assert load.failures == [], f"{len(load.failures)} of {load.answers.total()}"
    assert len(load.kinds) == 4, load.kinds
