"""One HTTP/1.1 connection: bytes in, exchanges begun in order, responses out."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from aserve.protocols import policy
from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.policy import Refusal
from aserve.protocols.refusing import RefusingConnection
from aserve.protocols.response import MAX_UNREAD
from aserve.protocols.states import Persistence, Reading, Response

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange
    from aserve.protocols.group import ConnectionGroup
    from aserve.protocols.lingering import LingeringConnection
    from aserve.protocols.requesthead import RequestHead

_IDLE = Reading.IDLE
_HEAD = Reading.HEAD
_BODY = Reading.BODY
_UPGRADE = Reading.UPGRADE
_DISCARD = Reading.DISCARD
_CLOSED = Reading.CLOSED

# Parsed requests that wait for their turn; more of them stay unread.
MAX_PIPELINED: Final = 16
# Pieces in which a body is held; more are joined, since each costs more than a byte.
MAX_PIECES: Final = 64


class Http1Connection(RefusingConnection):
    """An accepted connection. `ConnectionGroup.connection` makes them.

    received: bytes of the body in `receiving` that came since its deadline was set.
    last_head: the one that came last. last_bytes: what it came as, in one read and with nothing else; None
    if there is something special in it, or if something else has come since.
    """

    __slots__ = ("last_bytes", "last_head", "persistence", "received")

    last_head: RequestHead

    def __init__(self, group: ConnectionGroup) -> None:
        super().__init__(group)
        self.reading = _IDLE
        closing = group.draining or not group.options.keep_alive
        self.persistence = Persistence.CLOSE if closing else Persistence.KEEP
        self.received = 0
        self.last_bytes: bytes | None = None

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        name = transport.get_extra_info("sockname")
        self.client = _end(peer) if isinstance(peer, tuple) else None
        self.server = _end(name) if isinstance(name, tuple) else (str(name), None) if name else None
        self.deadline = self.group.first_request_deadline()
        self.group.connections.add(self)
        if peer is None:
            # Reset before it was accepted. What it has sent could still be read, but not who it was:
            # a stranger must not pass for somebody on a Unix socket.
            self.reading = _CLOSED
            transport.abort()

    def data_received(self, data: bytes) -> None:
        reading = self.reading
        before = self.exchange
        if reading is _IDLE and before is None and self.queue is None and self.writable:
            if data == self.last_bytes:
                self._repeat()
                return
        elif reading is _DISCARD or reading is _CLOSED:
            self.drop(len(data))
            return
        reader = self.reader
        if reader is None:
            reader = self.reader = self.group.reader(self)
        try:
            reader.feed(data)
        except RequestRefusedError as refused:
            self.refuse(refused.refusal)
        if reader.pending:
            self._head_begun()
        exchange = self.exchange
        if exchange is not before and exchange is not None:
            self._begin(exchange)

    def eof_received(self) -> bool:
        """The client sends no more; it may still read (RFC 9112 §9.6), so responses go on."""
        self.flush()
        if self.receiving is not None:
            self.refuse(policy.BODY_INCOMPLETE)
        if not (self.full and self.reader is not None and self.reader.pending):
            self.reading = _CLOSED
        exchange = self.exchange
        if exchange is None and self.queue is None:
            return False
        self.persistence = Persistence.CLOSE  # behind the last of the requests that have come
        if exchange is not None:
            if self.queue is None:
                exchange.persistent = False
            exchange.disconnect()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.reading = _CLOSED
        self.deadline = inf
        self.queue = None
        self.reader = None
        self.receiving = None
        self.outgoing = b""
        self.release_writers()
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            if exchange.state is not Response.BROKEN and exchange.state is not Response.DONE:
                exchange.state = Response.BROKEN
                self.group.finished(exchange)
            exchange.disconnect()
        self.group.closed(self)

    def resume_writing(self) -> None:
        self.release_writers()
        if self.exchange is not None:
            self.exchange.on_writable()
        elif self.queue is not None:
            self._begin_queued()

    # Called by the reader: the three events

    def on_head(self, request: RequestHead) -> None:
        """A request's head is complete; raises `RequestRefusedError` for a handshake that is none."""
        framing = request.framing
        self.last_head = request
        make = self.group.exchange_factory
        if framing is not None and framing.websocket:
            make = self.group.websocket_factory or make
        exchange = make(self, request)
        if self.exchange is None and self.queue is None and self.writable:
            self.exchange = exchange
        else:
            if self.queue is None:
                self.queue = deque()
            self.queue.append(exchange)
            if len(self.queue) >= MAX_PIPELINED:
                self.update_reading()  # each head may have come in a read of its own
        if framing is not None:
            if framing.websocket and make is self.group.websocket_factory:
                # What comes behind it is read when it is known which protocol it belongs to.
                self.reading = _UPGRADE
                self.update_reading()
                return
            if framing.length:
                self.reading = _BODY
                self.receiving = exchange
                return
            if not framing.keep_alive:
                self.reading = _DISCARD
                return
        self.reading = _IDLE

    def on_body(self, data: bytes) -> None:
        """Body bytes of the request in `receiving`."""
        exchange = self.receiving
        if exchange is None:
            return
        size = len(data)
        self.received += size
        if exchange.state is Response.DONE or exchange.state is Response.BROKEN:
            self.drop(size)
            if self.dropped > MAX_UNREAD:
                self.end(unread=True)
            return
        if exchange.chunks is None:
            exchange.chunks = [data]
        elif len(exchange.chunks) < MAX_PIECES:
            exchange.chunks.append(data)
        else:
            exchange.chunks = [b"".join((*exchange.chunks, data))]
        exchange.buffered += size
        if exchange.buffered >= self.group.options.body_buffer and not self.paused:
            self.update_reading()
        if exchange.started:
            exchange.on_body()

    def on_end(self) -> None:
        """The body of the request in `receiving` is complete."""
        exchange = self.receiving
        self.receiving = None
        if exchange is None:
            return
        self.deadline = inf
        self.dropped = 0
        exchange.received = True
        self.reading = _IDLE if exchange.persistent else _DISCARD
        if exchange.state is Response.DONE:
            self._next_exchange(exchange)
        elif exchange.started:
            exchange.on_body()

    @property
    def full(self) -> bool:
        """Whether as many requests wait as may, or one for another protocol."""
        return self.reading is _UPGRADE or (self.queue is not None and len(self.queue) >= MAX_PIPELINED)

    # Called by exchanges

    def exchange_done(self, exchange: Exchange) -> None:
        """The response is complete: what is next?"""
        group = self.group
        group.requests += 1
        if group.access_log is not None:
            group.access_log(exchange)
        if exchange.waiters is not None:
            exchange.wake()
        if exchange.received and not exchange.closing and self.queue is None:
            self.exchange = None
            self.deadline = group.idle_deadline if self.reading is _IDLE else group.head_deadline()
            if self.paused:
                self.update_reading()
        else:
            self._next_exchange(exchange)

    def exchange_broken(self, exchange: Exchange) -> None:
        """The response will never be complete: the client must notice."""
        self.group.finished(exchange)
        exchange.wake()
        self.transport.abort()

    def update_reading(self) -> None:
        """Read from the client exactly while there is room for what it sends."""
        receiving = self.receiving
        full = self.full or (receiving is not None and receiving.buffered >= self.group.options.body_buffer)
        if full is self.paused or self.transport.is_closing():
            return
        self.pause_reading(full)
        if receiving is not None:
            self.watch_body()

    # Deadlines (RFC 9112 §9.5)

    def watch_body(self) -> None:
        """From now on the body has to come at its minimum rate, as soon as it is read."""
        self.received = 0
        self.deadline = inf if self.paused else self.group.body_deadline()

    def expire(self) -> None:
        """The deadline is over."""
        self.deadline = inf
        reading = self.reading
        if reading is _IDLE:
            if self.unsent():
                self.deadline = self.group.idle_deadline  # the response before is not even there
                self.group.slow_readers.watch(self)
            else:
                # Who sends empty lines is sending at this moment, maybe: no reset for that.
                self.end(unread=self.reader is not None and self.reader.skipped > 0)
        elif reading is _HEAD:
            self.refuse(policy.HEAD_TOO_SLOW)
        elif reading is _BODY:
            receiving = self.receiving
            if self.received >= self.group.least_received or (receiving and receiving.continue_due):
                self.watch_body()  # also if the client waits to be asked for it
            elif self.receiving is not None and self.receiving.state is Response.DONE:
                self.end(unread=True)
            else:
                self.refuse(policy.BODY_TOO_SLOW)
        elif reading is _UPGRADE:
            if self.exchange is not None:
                limit = self.group.options.websocket.handshake_timeout
                self.time_out(self.exchange, "handshake timeout", limit, policy.WEBSOCKET_TOO_SLOW)
        else:
            self.linger_on()

    def _head_begun(self) -> None:
        if self.reading is not _IDLE or self.full:
            return
        self.reading = _HEAD
        if self.exchange is None and self.queue is None and self.template is not None:
            self.deadline = self.group.head_deadline()  # the first head's was set when it was accepted

    # Called by the group

    def drain(self) -> None:
        """Take no further request than those which are on their way."""
        self.persistence = Persistence.CLOSE

    def close_idle(self, first: float) -> None:
        if self.reading is _IDLE and self.exchange is None:
            soon = self.group.idle_deadline if self.reader is not None else first
            self.deadline = min(self.deadline, soon)

    def client_ended(self) -> None:
        exchange = self.exchange
        if exchange is not None and exchange.received and not exchange.disconnected:
            exchange.disconnect()

    def cut_off(self) -> None:
        self.flush()
        if self.exchange is not None:
            self.reset_on_close()  # what is cut off here must not look complete
        self.transport.abort()

    # Called by the exchange of a handshake

    def hand_over(self, successor: LingeringConnection) -> bytes:
        """Leave the transport to another protocol, which takes this one's place in the group.

        Returns what has come behind the request, and is that protocol's.
        """
        reader = self.reader
        self.reading = _CLOSED
        self.deadline = inf
        self.queue = None  # nothing is read behind an offer to switch, so nothing is in it
        self.reader = None
        self.exchange = None
        self.template = None
        self.group.replace(self, successor)
        if self.paused:
            self.pause_reading(False)
        self.transport.set_protocol(successor)
        return reader.pending if reader is not None else b""

    # Its own

    def _repeat(self) -> None:
        """To the byte what came last has come again. It was a plain head, and means the same again."""
        request = self.last_head
        if request.prepared is None:
            request.prepared = {}
        self.exchange = exchange = self.group.exchange_factory(self, request)
        self._begin(exchange)

    def _begin(self, exchange: Exchange) -> None:
        group = self.group
        if self.outgoing:
            self.flush()
        if self.receiving is None:
            self.deadline = inf
        if group.limit_concurrency and len(group.running) >= group.limit_concurrency:
            exchange.turn_away()
            return
        group.running.add(exchange)
        exchange.started = monotonic() if group.exact else group.clock.now
        exchange.begin()

    def _next_exchange(self, exchange: Exchange) -> None:
        """Go on behind `exchange`, whose response is complete."""
        if exchange.closing:
            self.end(unread=not exchange.received or self.reading is _UPGRADE)
        elif not exchange.received:
            self.dropped += len(exchange.take_body())  # which goes on with reading if that was paused
            if max(self.dropped, exchange.length) > MAX_UNREAD:
                self.end(unread=True)
        elif self.exchange is exchange:
            self.exchange = None
            self.group.loop.call_soon(self._begin_queued)

    def _begin_queued(self) -> None:
        queue = self.queue
        if self.exchange is not None or self.transport.is_closing() or (queue and not self.writable):
            return  # who does not read responses gets no more of them
        following = queue.popleft() if queue else None
        if not queue:
            self.queue = None
        if following is None:
            self.deadline = self.group.idle_deadline if self.reading is _IDLE else self.group.head_deadline()
        elif isinstance(following, Refusal):
            self.end_refused(following)
        else:
            self.exchange = following
            following.disconnected = self.reading is _CLOSED
            self._begin(following)
        self._read_on()

    def _read_on(self) -> None:
        """Go on with what was left when too many requests stood in the queue."""
        reader = self.reader
        if reader is not None and reader.pending and self.reading is _IDLE and not self.full:
            before = self.exchange
            try:
                reader.resume()
            except RequestRefusedError as refused:
                self.refuse(refused.refusal)
            if reader.pending:
                self._head_begun()
            if self.exchange is not before and self.exchange is not None:
                self._begin(self.exchange)
        self.update_reading()


def _end(name: tuple[str, int]) -> tuple[str, int]:
    """Address and port of a TCP socket's end."""
    # An IPv6 socket that takes IPv4 as well writes its addresses as ::ffff:192.0.2.1 (RFC 4291 §2.5.5.2).
    return name[0].removeprefix("::ffff:"), name[1]
