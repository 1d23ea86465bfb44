"""Flow control towards the client: who writes has to know when the client is slower."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final


def reset_on_close(sock: socket.socket) -> None:
    """Have the end of `sock` reach the client as a reset, not as a regular end (TCP only)."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class WriteFlow(asyncio.Protocol):
    """The writing side of a connection.

    loop: the connection's. gathers: whether `writelines` of its transports can be used.

    writable: the transport's buffer has room; who has more to write waits for `drained` when it
    has not. file_left: bytes of a file that wait for the client beside the transport's buffer.
    """

    __slots__ = ("_gathers", "_loop", "_waiters", "file_left", "transport", "writable")

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, gathers: bool) -> None:
        self._loop: Final = loop
        self._gathers: Final = gathers
        self._waiters: list[asyncio.Future[None]] | None = None
        self.writable = True
        self.file_left = 0

    def pause_writing(self) -> None:
        self.writable = False

    def release_writers(self) -> None:
        """There is room again, or nothing will ever leave: everybody who waits goes on."""
        self.writable = True
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def drained(self) -> None:
        """Return when the transport takes bytes again, or is lost; others have their turn before."""
        if self.writable:
            await asyncio.sleep(0)
        else:
            await self.waiter()

    def waiter(self) -> asyncio.Future[None]:
        """A future that is done when the transport takes bytes again, or is lost."""
        waiter = self._loop.create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        return waiter

    def forget_waiter(self, waiter: asyncio.Future[None]) -> None:
        """`waiter` waits for nothing any more."""
        if self._waiters is not None and waiter in self._waiters:
            self._waiters.remove(waiter)

    async def emptied(self) -> None:
        """Return when everything that was written has left for the system, or the transport is closing.

        For who writes to the socket itself then, which nobody else may meanwhile.
        """
        transport = self.transport
        if transport.is_closing() or not transport.get_write_buffer_size():
            return
        low, high = transport.get_write_buffer_limits()
        transport.set_write_buffer_limits(0)
        try:
            while not transport.is_closing() and transport.get_write_buffer_size():
                await self.waiter()
        finally:
            if not transport.is_closing():
                transport.set_write_buffer_limits(high, low)

    def reset_on_close(self) -> None:
        """Have the connection's end reach the client as a reset, not as a regular end."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            reset_on_close(sock)

    def write_pieces(self, pieces: tuple[bytes, ...]) -> None:
        """Write `pieces` one behind the other."""
        if self._gathers:
            self.transport.writelines(pieces)
        else:
            self.transport.write(b"".join(pieces))
