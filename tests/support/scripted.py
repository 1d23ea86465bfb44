"""A group of connections on a real listening socket, with a scripted application in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aserve.protocols.exchange import Exchange
from aserve.protocols.group import ConnectionGroup
from aserve.protocols.http1 import Http1Connection
from aserve.protocols.options import ConnectionOptions
from aserve.protocols.states import Response, checked
from tests.support.client import TIMEOUT, AsyncRawClient

Script = Callable[["ScriptedExchange"], None]


class ScriptedExchange(Exchange):
    """Runs the script when the request is complete, or at once if `early`; notes what it sees."""

    host: Host

    def begin(self) -> None:
        self.host.begun.append(self)
        self.host.bodies[self] = bytearray(self.take_body())
        if self.received or self.host.early:
            self.run()
        else:
            self.send_continue()

    def run(self) -> None:
        """Run the script; one that answers at once is done then."""
        self.host.script(self)
        if self.state in (Response.DONE, Response.BROKEN):
            self.connection.group.left(self)

    def on_body(self) -> None:
        self.host.bodies[self] += self.take_body()
        if self.received and not self.host.early:
            self.run()

    def on_disconnect(self) -> None:
        self.host.disconnected.append(self)

    def on_writable(self) -> None:
        self.host.writable.append(self)


class ScriptedConnection(Http1Connection):
    """taken: the bytes that it has been given."""

    taken = 0

    def data_received(self, data: bytes) -> None:
        self.taken += len(data)
        super().data_received(data)


@dataclass(eq=False)
class Host:
    """What a test sees of the server."""

    script: Script
    early: bool = False
    begun: list[ScriptedExchange] = field(default_factory=list)
    bodies: dict[Exchange, bytearray] = field(default_factory=dict)
    disconnected: list[Exchange] = field(default_factory=list)
    writable: list[Exchange] = field(default_factory=list)
    group: ConnectionGroup = field(init=False)
    address: tuple[str, int] = field(init=False)

    def client(self, *, receive_buffer: int | None = None) -> AsyncRawClient:
        """A raw client, to be entered."""
        return AsyncRawClient(self.address, receive_buffer=receive_buffer)

    def body(self) -> bytes:
        """The last request's body."""
        return bytes(self.bodies[self.begun[-1]])

    def forget(self) -> None:
        """Begin again with what is noted."""
        self.begun.clear()
        self.bodies.clear()
        self.disconnected.clear()
        self.writable.clear()

    async def accepted(self, client: AsyncRawClient) -> ScriptedConnection:
        """The server's side of a connection that is being made."""
        name = client.socket.getsockname()
        async with asyncio.timeout(TIMEOUT):
            while True:
                for connection in self.group.connections:
                    if connection.client == name:
                        assert isinstance(connection, ScriptedConnection)
                        return connection
                await asyncio.sleep(0)

    async def deliver(self, client: AsyncRawClient, pieces: Iterable[bytes]) -> None:
        """Send `pieces` on a new connection, each of them only when the server has read the one before.

        So each is a read of its own for the server. Ends when the server has ended the connection.
        """
        connection = await self.accepted(client)
        due = 0
        async with asyncio.timeout(TIMEOUT):
            for piece in pieces:
                due += len(piece)
                await client.send(piece)
                while connection.taken < due and not connection.transport.is_closing():
                    await asyncio.sleep(0)
                if connection.transport.is_closing():
                    return


def answer(exchange: Exchange) -> None:
    """A small answer that tells what was asked."""
    body = f"{exchange.method} {exchange.target.decode('latin-1')}".encode()
    exchange.start(200, [(b"content-type", b"text/plain")])
    exchange.write(body)


def echo(exchange: ScriptedExchange) -> None:
    """The request's body."""
    exchange.start(200, [])
    exchange.write(bytes(exchange.host.bodies[exchange]))


@asynccontextmanager
async def scripted(
    parser: str, script: Script = answer, *, early: bool = False, **options: Any
) -> AsyncIterator[Host]:
    """Serve `script` with `parser` until the block ends; transitions between states are checked.

    early: run the script when the head has come, not when the request is complete.
    options: of `ConnectionOptions`.
    """
    host = Host(script, early)
    loop = asyncio.get_running_loop()
    bound: type[ScriptedExchange] = type("BoundExchange", (ScriptedExchange,), {"host": host})
    host.group = ConnectionGroup(
        checked(bound),
        loop=loop,
        options=ConnectionOptions(http=parser, **options),
        connection_class=checked(ScriptedConnection),
    )
    server = await loop.create_server(host.group.connection, "127.0.0.1", 0)
    host.address = server.sockets[0].getsockname()
    host.group.start()
    try:
        yield host
    finally:
        server.close()
        host.group.abort()
        for exchange in list(host.group.running):
            host.group.left(exchange)
        await asyncio.wait_for(host.group.wait_closed(), 10)
        host.group.stop()
