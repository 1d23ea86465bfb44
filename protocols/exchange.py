"""One request and its response: what an adapter works with.

An adapter subclasses `Exchange`, is told by `begin`, `on_body` and `on_disconnect`, and answers
with `start` and `write`. Nothing here waits for the application, and nothing but the coroutines
waits for the client.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from aserve.protocols.errors import ClientDisconnectedError, ResponseError
from aserve.protocols.response import (
    NO_LENGTH,
    TRAILING,
    bodiless_end,
    persistence_field,
)
from aserve.protocols.starting import Starting
from aserve.protocols.states import Persistence, Response

if TYPE_CHECKING:
    from aserve.protocols.forwarded import Origin
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.requesthead import RequestHead

_WAITING = Response.WAITING
_HELD = Response.HELD
_BODY = Response.BODY
_FILE = Response.FILE
_TRAILERS = Response.TRAILERS
_LOST = Response.LOST
_DONE = Response.DONE
_BROKEN = Response.BROKEN
_CLOSE = Persistence.CLOSE

# The end of a head with the length of a small body.
_LENGTH_FIELDS: Final = [b"\r\ncontent-length: %d\r\n\r\n" % size for size in range(1024)]

# Above this a body leaves without being copied behind its head.
_COPY_LIMIT = 16 * 1024


class Exchange(Starting):
    """A request of HTTP/1.1 and the response to it.

    request: its head; method, target, http_version, headers: what that says.
    plain: nothing in it is special; takes_trailers is there only if it is not plain.
    state, status, response_headers, body_sent (bytes): the response.
    started: the monotonic time in seconds when it was begun, to a second unless the group is `exact`; 0
    before. Not the loop's: uvloop's counts milliseconds, and stands still during a turn.
    origin: what a trusted proxy says of where the request comes from, None for nothing.
    """

    __slots__ = (
        "body_sent",
        "chunked",
        "length",
        "origin",
        "persistent",
        "plain",
        "started",
        "takes_trailers",
    )

    origin: Origin | None
    close_code = 0
    """Of a WebSocket that is over, 0 for all other exchanges."""

    def __init__(self, connection: Http1Connection, request: RequestHead) -> None:
        framing = request.framing
        self.connection = connection
        self.request = request
        self.state = _WAITING
        self.status = 0
        self.body_sent = 0
        self.started = 0.0
        self.disconnected = False
        self.chunks = None
        self.buffered = 0
        self.waiters = None
        self.closing = False
        self.plain = framing is None
        if framing is None:
            self.received = True
            self.persistent = True
            self.continue_due = False
            self.length = 0
            self.origin = None
        else:
            self.received = framing.length == 0
            self.persistent = framing.keep_alive
            self.continue_due = framing.expect_continue and framing.length != 0
            self.length = framing.length
            self.origin = framing.origin
            self.takes_trailers = framing.trailers

    # For the adapter to provide

    def on_writable(self) -> None:
        """The connection takes bytes again."""

    def cancel(self) -> None:
        """Its time is over: the application's work is to end now."""

    def where(self) -> str:
        """Where the application is at present, as stacks are written; "" if that is not known."""
        return ""

    # The response

    def write(self, data: bytes, more: bool = False) -> None:
        """Send body bytes; with more=False they are the last.

        Raises `ResponseError` when there is no head, and when the sum does not fit the
        content-length (RFC 9110 §8.6); `ClientDisconnectedError` when the client is gone.
        """
        state = self.state
        if state is _HELD:
            if more:
                self._write_first(data)
            else:
                self.write_whole(data)
        elif state is _BODY:
            self._write_next(data, more)
        elif state is _WAITING:
            raise ResponseError("body bytes before the response was started")
        else:
            raise self._misplaced("the response is already complete")

    def flush(self) -> None:
        """Send a head that is still held, without waiting for body bytes any longer."""
        if self.state is _HELD:
            self._write_first(b"")

    def write_whole(self, data: bytes) -> None:
        """Send the head, which is still held, and the complete body together. Raises as `write`."""
        size = len(data)
        head = self.head
        connection = self.connection
        if self.closing or not self.plain or connection.persistence is _CLOSE:
            head += persistence_field(self, whole=True)
        if self.bodiless:
            end = bodiless_end(self, size)
            size, data = 0, b""
        elif self.remaining == NO_LENGTH:
            end = _LENGTH_FIELDS[size] if size < 1024 else b"\r\ncontent-length: %d\r\n\r\n" % size
        elif self.remaining == size:
            end = b"\r\n\r\n"
        elif self.remaining == TRAILING:
            self._write_first(data)
            self._write_next(b"", False)
            return
        else:
            raise self._bad_length(size)
        if size <= _COPY_LIMIT:
            outbox = connection.group.outbox
            if outbox.open:
                connection.outgoing = b"".join((head, end, data))
                outbox.hold(connection)
            else:
                connection.transport.write(b"".join((head, end, data)))
        else:
            connection.write_pieces((head + end, data))
        self.body_sent = size
        self.state = _DONE
        self.head = b""
        connection.exchange_done(self)

    def _write_first(self, data: bytes) -> None:
        """Head, and the first of several pieces of the body."""
        head = self.head
        self.chunked = False
        if self.bodiless:
            self.remaining = 0
            if self.status == 205:
                head += b"\r\ncontent-length: 0"
        elif self.remaining < 0:
            if self.http_version == "1.1":
                self.chunked = True
                head += b"\r\ntransfer-encoding: chunked"
            else:
                # Only the connection's end can tell an HTTP/1.0 client where the body ends.
                self.persistent = False
        head += persistence_field(self) + b"\r\n\r\n"
        pieces = self._framed(data) if data else ()
        self.head = b""
        self.state = _BODY
        if pieces:
            self.connection.write_pieces((head, *pieces))
        else:
            self.connection.transport.write(head)

    def _write_next(self, data: bytes, more: bool) -> None:
        transport = self._open_transport()
        tail = self._tail(more)
        if data:
            pieces = self._framed(data)
            if tail:
                pieces = (*pieces, tail)
            if len(pieces) == 1:
                transport.write(pieces[0])
            elif pieces:
                self.connection.write_pieces(pieces)
        elif tail:
            transport.write(tail)
        if not more:
            self._end_body()

    def _tail(self, more: bool) -> bytes:
        """What ends the body, or nothing."""
        if more or not self.chunked:
            return b""
        return b"0\r\n" if self.remaining == TRAILING else b"0\r\n\r\n"

    def _end_body(self) -> None:
        if self.remaining > 0:
            raise self._bad_length(self.body_sent)
        if self.remaining == TRAILING:
            self.state = _TRAILERS
        else:
            self._done()

    def _done(self) -> None:
        if not self.persistent:
            self.closing = True  # the client may have closed its side since the head left
        self.state = _DONE
        self.connection.exchange_done(self)

    def _open_transport(self) -> asyncio.Transport:
        """The transport; raises `ClientDisconnectedError` if it is closing."""
        transport = self.connection.transport
        if transport.is_closing():
            # Found while it was written to; the loop's next turn would bring the news.
            self.disconnect()
            raise ClientDisconnectedError("the client has disconnected")
        return transport

    def _framed(self, data: bytes) -> tuple[bytes, ...]:
        """`data` as it goes over the wire; counts it against the content-length."""
        size = len(data)
        if self.chunked:
            self.body_sent += size
            return (b"%x\r\n" % size, data, b"\r\n")
        if self.bodiless:
            return ()
        if self.remaining >= 0:
            if size > self.remaining:
                raise self._bad_length(self.body_sent + size)
            self.remaining -= size
        self.body_sent += size
        return (data,)

    def _bad_length(self, size: int) -> ResponseError:
        """The body does not fit its content-length: end the connection, and say why."""
        announced = self.body_sent + self.remaining
        if self.state is _BODY:
            self.break_off()
        self.connection.drain()
        return ResponseError(f"content-length is {announced}, the body has {size} bytes")

    # Ends that are not the response's own

    def fail(self) -> None:
        """The application failed: a 500 if nothing has left, otherwise a broken connection."""
        if self.state is _LOST:
            self.state = _WAITING
        if self.state is _WAITING or self.state is _HELD:
            self.respond(500, b"Internal Server Error")
        else:
            self.break_off()

    def respond(self, status: int, text: bytes) -> None:
        """Answer with a short text of the server's own, in place of the application."""
        self.start(status, [(b"content-type", b"text/plain; charset=utf-8")])
        self.write(text)

    def turn_away(self) -> None:
        """Answer that there is no capacity for it (RFC 9110 §15.6.4), before it has begun."""
        self.started = monotonic()
        self.persistent = self.persistent and self.received
        self.start(503, [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"1")])
        self.write(b"Service Unavailable")

    def break_off(self) -> None:
        """End the connection without a complete response, so that the client notices."""
        if self.state is _DONE or self.state is _BROKEN:
            return
        if (self.state is _BODY or self.state is _FILE) and not self.chunked and self.remaining == NO_LENGTH:
            # The connection's end is the body's end, so only a reset can tell (RFC 9112 §8).
            self.connection.reset_on_close()
        self.state = _BROKEN
        self.head = b""
        self.connection.exchange_broken(self)

    def give_up(self) -> None:
        """The application has been told that the client is gone: it can send no more from now on.

        The client may have closed its side only, so what the server itself has to say still may.
        """
        if self.state is _WAITING or self.state is _HELD:
            self.state = _LOST
        elif self.state is not _LOST:
            self.break_off()

    def disconnect(self) -> None:
        """The client has closed its side, or the connection is lost; the second may follow the first."""
        self.disconnected = True
        self.wake()
        if self.started:
            self.on_disconnect()

    async def drained(self) -> None:
        """Wait until the connection takes bytes again; raises `ClientDisconnectedError`."""
        await self.connection.drained()
        if self.state is _BROKEN:
            raise ClientDisconnectedError("the client has disconnected")
