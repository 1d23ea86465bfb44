"""A group of connections on a port of the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aserve.adapters import ExchangeAdapter
from aserve.protocols.group import ConnectionGroup
from tests.support.client import TIMEOUT


@asynccontextmanager
async def listening(adapter: ExchangeAdapter, group: ConnectionGroup) -> AsyncIterator[tuple[str, int]]:
    """Serve `adapter`, with the connections of `group`, until the block ends; the address."""
    await adapter.startup()
    group.start()
    server = await group.loop.create_server(group.connection, "127.0.0.1", 0)
    address: tuple[str, int] = server.sockets[0].getsockname()
    try:
        yield address
    finally:
        server.close()
        group.abort()
        await asyncio.wait_for(group.wait_closed(), TIMEOUT)
        group.stop()
        await adapter.shutdown()
