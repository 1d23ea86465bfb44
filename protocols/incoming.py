"""The request's side of an exchange: what of the body has come, and who waits for more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aserve.protocols.states import Response

if TYPE_CHECKING:
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.requesthead import RequestHead


class Incoming:
    """The body of a request, as far as it has come. The connection fills it in.

    request: the head that came before it.
    received: it is complete. chunks, buffered: what of it the application has not taken yet, and
    its size in bytes. disconnected: the client has gone or will send no more.
    """

    __slots__ = (
        "buffered",
        "chunks",
        "connection",
        "continue_due",
        "disconnected",
        "received",
        "request",
        "waiters",
    )

    connection: Http1Connection
    chunks: list[bytes] | None
    buffered: int
    received: bool
    disconnected: bool
    continue_due: bool
    waiters: list[asyncio.Future[None]] | None
    state: Response
    request: RequestHead

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def target(self) -> bytes:
        return self.request.target

    @property
    def http_version(self) -> str:
        return self.request.version

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Not to be changed: another request may have them as well."""
        return self.request.headers

    def line(self) -> str:
        """The request as the log names it."""
        request = self.request
        return f"{request.method} {ascii(request.target.decode('latin-1'))[1:-1]}"

    # For the adapter to provide

    def begin(self) -> None:
        """It is this request's turn; its head is complete, its body need not be."""
        raise NotImplementedError

    def on_body(self) -> None:
        """More of the body has come, or its end."""

    def on_disconnect(self) -> None:
        """The client is gone, or will send nothing more."""

    # The body

    def take_body(self) -> bytes:
        """All of the body that has come and was not taken, possibly nothing."""
        chunks = self.chunks
        if chunks is None:
            return b""
        self.chunks = None
        buffered = self.buffered
        self.buffered = 0
        if buffered >= self.connection.group.options.body_buffer:
            self.connection.update_reading()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def send_continue(self) -> None:
        """Tell a client that waits for it to go on with the body (RFC 9110 §10.1.1)."""
        if self.continue_due:
            self.continue_due = False
            if self.state is Response.WAITING and not self.buffered:
                self.connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def changed(self) -> None:
        """Wait until body bytes come, the body ends, the client goes, or the response gets further.

        Every wake-up may be another's: the caller looks whether it is its own.
        """
        waiter = self.connection.group.loop.create_future()
        if self.waiters is None:
            self.waiters = [waiter]
        else:
            self.waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self._forget(waiter)
            raise

    def _forget(self, waiter: asyncio.Future[None]) -> None:
        """A wait was given up: an application may do that again and again."""
        waiters = self.waiters
        if waiters is not None and waiter in waiters:
            waiters.remove(waiter)

    def wake(self) -> None:
        """End every `changed` that waits."""
        waiters = self.waiters
        if waiters is not None:
            self.waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
