"""An ASGI application served by the test's own loop, so that a test sees both sides at once."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aserve.adapters.asgi import ASGIAdapter
from aserve.protocols.group import ConnectionGroup
from aserve.protocols.http1 import Http1Connection
from aserve.protocols.options import ConnectionOptions
from aserve.protocols.states import checked
from aserve.protocols.websocket.connection import WebSocketConnection
from tests.support.client import TIMEOUT, AsyncRawClient
from tests.support.websocket import WebSocketClient

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(eq=False)
class Served:
    """The server's side. errors: what the application's calls have raised, in order."""

    group: ConnectionGroup
    address: tuple[str, int]
    errors: list[BaseException] = field(default_factory=list)

    def websocket(self, *, receive_buffer: int | None = None) -> WebSocketClient:
        """A raw WebSocket client, to be entered."""
        return WebSocketClient(self.address, receive_buffer=receive_buffer)

    def client(self, *, receive_buffer: int | None = None) -> AsyncRawClient:
        """A raw client, to be entered."""
        return AsyncRawClient(self.address, receive_buffer=receive_buffer)

    async def left(self, count: int = 1) -> list[BaseException]:
        """Return the errors, once the application has ended and there are `count`."""
        async with asyncio.timeout(TIMEOUT):
            while self.group.running or len(self.errors) < count:
                await asyncio.sleep(0.001)
        return self.errors

    async def error(self) -> BaseException:
        """Return the one error."""
        [error] = await self.left()
        return error


@asynccontextmanager
async def serving(
    app: Application, *, http: str = "httptools", unix: str = "", short: bool = True, **options: Any
) -> AsyncIterator[Served]:
    """Serve `app` until the block ends; transitions between states are checked.

    unix: the path of a socket, instead of a TCP port. short: whether WebSockets may take messages the
    short way. options: of `ConnectionOptions`.
    Descriptors that are left open are an error.
    """
    loop = asyncio.get_running_loop()

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as error:
            served.errors.append(error)
            raise

    adapter = ASGIAdapter(noting, "asgi3", loop=loop, lifespan="off", root_path="")
    websocket_class: Any = checked(adapter.websocket_class())  # type: ignore[arg-type]
    websocket_class.connection_class = checked(WebSocketConnection)
    websocket_class.connection_class.short = short
    group = ConnectionGroup(
        checked(adapter.exchange_factory),  # type: ignore[arg-type]
        loop=loop,
        options=ConnectionOptions(http=http, **options),
        connection_class=checked(Http1Connection),
        websocket_factory=websocket_class,
    )
    before = descriptors()
    if unix:
        server = await loop.create_unix_server(group.connection, unix)
    else:
        server = await loop.create_server(group.connection, "127.0.0.1", 0)
    served = Served(group, server.sockets[0].getsockname())
    group.start()
    try:
        yield served
    finally:
        server.close()
        group.abort()
        async with asyncio.timeout(TIMEOUT):
            await group.wait_closed()
            while descriptors() > before:  # a thread that was left behind closes its own
                await asyncio.sleep(0.001)
        group.stop()


def descriptors() -> int:
    """The number of sockets and regular files that this process has open."""
    folder = "/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"
    count = 0
    for name in os.listdir(folder):
        try:
            mode = os.fstat(int(name)).st_mode
        except OSError:
            continue  # the listing's own
        count += stat.S_ISSOCK(mode) or stat.S_ISREG(mode)
    return count
