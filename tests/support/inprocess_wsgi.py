"""A WSGI application served by the test's own process: what it gets and does can be looked at directly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from aserve.adapters import make_adapter, make_runner
from aserve.adapters.runner import RunnerOptions
from aserve.protocols.group import ConnectionGroup
from aserve.protocols.http1 import Http1Connection
from aserve.protocols.options import ConnectionOptions
from aserve.protocols.states import checked
from tests.support.client import TIMEOUT, AsyncRawClient
from tests.support.inprocess import descriptors
from tests.support.wire import Response

Environ = WSGIEnvironment
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(eq=False)
class ServedWsgi:
    """The server's side."""

    group: ConnectionGroup
    address: Any

    def client(self, *, receive_buffer: int | None = None) -> AsyncRawClient:
        """A raw client, to be entered."""
        return AsyncRawClient(self.address, receive_buffer=receive_buffer)

    async def ask(self, data: bytes, method: str = "GET", version: str = "1.1") -> Response:
        """Send `data` on a connection of its own and return the response."""
        async with self.client() as client:
            return await client.ask(data, method, version)

    async def idle(self) -> None:
        """Return when no application is at work any more."""
        await until(lambda: not self.group.running)


async def until(condition: Callable[[], object]) -> None:
    """Return when `condition()` is true, which only the other side can make it."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def serving_wsgi(
    app: Application, *, threads: int = 1, root_path: str = "", unix: str = "", **options: Any
) -> AsyncIterator[ServedWsgi]:
    """Serve `app` until the block ends; transitions between states are checked.

    unix: the path of a socket, instead of a TCP port on 127.0.0.1. options: of `ConnectionOptions`.
    Descriptors that are left open are an error.
    """
    loop = asyncio.get_running_loop()
    runner = make_runner("wsgi", loop, RunnerOptions(threads=threads))
    adapter = make_adapter(app, "wsgi", loop=loop, root_path=root_path, runner=runner)
    before = descriptors()
    await adapter.startup()
    group = ConnectionGroup(
        checked(adapter.exchange_factory),  # type: ignore[arg-type]
        loop=loop,
        options=ConnectionOptions(**options),
        connection_class=checked(Http1Connection),
    )
    if unix:
        server = await loop.create_unix_server(group.connection, unix)
    else:
        server = await loop.create_server(group.connection, "127.0.0.1", 0)
    group.start()
    try:
        yield ServedWsgi(group, server.sockets[0].getsockname())
    finally:
        server.close()
        group.abort()
        async with asyncio.timeout(TIMEOUT):
            await group.wait_closed()
        await adapter.shutdown()
        await until(lambda: descriptors() <= before)
        group.stop()
