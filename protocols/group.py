"""All connections of one event loop: their deadlines, their count, their end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import select
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from select import POLLERR, POLLHUP, poll  # by name: see threads.py
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from aserve.protocols.clock import Clock
from aserve.protocols.headers import watch
from aserve.protocols.http1 import Http1Connection
from aserve.protocols.lingering import LINGER_SPAN, LingeringConnection
from aserve.protocols.options import ConnectionOptions
from aserve.protocols.outbox import Outbox
from aserve.protocols.policy import PROXY_FIELDS
from aserve.protocols.serving import both
from aserve.protocols.slowreaders import SlowReaders
from aserve.protocols.states import Response

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange
    from aserve.protocols.request import Reader, RequestReader
    from aserve.protocols.requesthead import RequestHead

logger: Final = logging.getLogger("aserve")

# Seconds within which what a client has already sent arrives, and in which one that has just
# connected sends something.
SOON: Final = 0.1
FIRST_SOON: Final = 2.0
# The part of the graceful time in which WebSockets are closed, and seconds between two looks at them.
LEAVING_SHARE: Final = 1 / 3
DRAINING_INTERVAL: Final = 0.25
# Seconds by which a sweep may be late, and deadlines with it, before that is made up for.
LATE: Final = 0.02
# Seconds between the finding that a deadline is over and the end: what has come by then is read first.
GRACE: Final = 0.001
_END_OF_INPUT: Final[int] = getattr(select, "POLLRDHUP", 0)  # Linux


class ExchangeFactory(Protocol):
    """Makes an adapter's exchange for a request."""

    def __call__(self, connection: Http1Connection, request: RequestHead) -> Exchange: ...


class ConnectionGroup:
    """The connections that one event loop serves with one application.

    exchange_factory: the adapter's. websocket_factory: the one for requests that begin a WebSocket,
    None if these are requests like others. access_log: called with each exchange that is complete.
    on_sweep: called at every sweep, about once a second while the loop is alive. on_stuck: called
    with an exchange whose application does not end, long after its time was over. on_closed: called
    when a connection is gone.
    gathers: whether `writelines` of the loop's transports can be used.
    context: what a request's context is a copy of. The context that a callback runs in will not
    do: the loop may have taken it from another request's application.
    running: exchanges whose application is at work. requests: responses completed.
    paused: connections from which nothing is read at present.
    leaving_until: while the server ends, the loop's time by which WebSockets were to be told.
    """

    def __init__(
        self,
        exchange_factory: ExchangeFactory,
        *,
        loop: asyncio.AbstractEventLoop,
        options: ConnectionOptions | None = None,
        access_log: Callable[[Exchange], None] | None = None,
        connection_class: type[Http1Connection] = Http1Connection,
        websocket_factory: ExchangeFactory | None = None,
    ) -> None:
        self.options = options = options or ConnectionOptions()
        self.exchange_factory = exchange_factory
        self.websocket_factory = websocket_factory
        self.loop = loop
        self.access_log = access_log
        # Whether it matters to a fraction of a sweep when a request was begun.
        self.exact = access_log is not None or options.request_timeout > 0
        self.on_sweep: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.connections: set[LingeringConnection] = set()
        self.running: set[Exchange] = set()
        self.limit_concurrency = options.limit_concurrency
        self.requests = 0
        self.on_stuck: Callable[[Exchange], None] | None = None
        self._overdue: dict[Exchange, float] = {}
        self.clock = Clock(
            loop, server=options.server_header, date=options.date_header, headers=options.headers
        )
        self.outbox = Outbox(loop)
        self.draining = False
        self.leaving_until = 0.0
        self.context = contextvars.copy_context()
        # asyncio's own transports of 3.12 and early 3.13 forget to pause the protocol in writelines
        # (CPython issue 127655).
        self.gathers = type(loop).__module__.startswith("uvloop")
        self._connection_class = connection_class
        self._make_reader = _reader_maker(options)
        self._accepted = _protocol_maker(self)
        # A deadline is never early: the clock may be one sweep behind.
        times = (
            options.keep_alive,
            options.header_timeout,
            options.body_timeout,
            options.write_timeout,
            options.request_timeout,
            options.websocket.handshake_timeout,
            options.websocket.ping_interval,
            options.websocket.ping_timeout,
            options.handshake_timeout if options.tls is not None else 0.0,
        )
        self._interval = max(0.05, min((1.0, *(time / 2 for time in times if time))))
        # Bytes of a body that have to come in each span of `body_timeout`.
        self.least_received = max(1, int(options.body_rate * options.body_timeout))
        self.paused: set[LingeringConnection] = set()
        self.slow_readers = SlowReaders(self._writing_deadline if options.write_timeout else None)
        self._due = inf
        self._idle_time = options.keep_alive
        self.idle_deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event = asyncio.Event()
        self._set_deadlines()

    @property
    def parser(self) -> str:
        """Who reads HTTP, as the log names it."""
        return "httptools" if self.options.http == "auto" else self.options.http

    def connection(self) -> Http1Connection:
        """A protocol for a newly accepted connection."""
        return self._connection_class(self)

    def take(self, sock: socket.socket) -> Coroutine[Any, Any, object]:
        """Serve a newly accepted connection, which is open when the coroutine has ended."""
        return self.loop.connect_accepted_socket(self._accepted, sock)

    def reader(self, connection: Http1Connection) -> Reader:
        """Who reads what comes on `connection`."""
        return self._make_reader(connection, self.options)

    # Deadlines, in the loop's time

    def _set_deadlines(self) -> None:
        self.idle_deadline = self.deadline_in(self._idle_time)

    def head_deadline(self) -> float:
        """For a head whose first byte has come now."""
        return self.loop.time() + (self.options.header_timeout or inf)

    def tls_deadline(self) -> float:
        """For the TLS handshake of a connection accepted now."""
        return self.loop.time() + (self.options.handshake_timeout or inf)

    def first_request_deadline(self) -> float:
        """For the first head of a connection accepted now."""
        return self.loop.time() + (self.options.header_timeout or inf)

    def body_deadline(self) -> float:
        """For the next `least_received` bytes of a body."""
        return self.deadline_in(self.options.body_timeout or inf)

    def _writing_deadline(self) -> float:
        return self.deadline_in(self.options.write_timeout)

    def linger_deadline(self) -> float:
        """For a connection that only waits for the client to see its end."""
        return self.deadline_in(LINGER_SPAN)

    def handshake_deadline(self) -> float:
        """For an application that has a WebSocket to accept."""
        return self.deadline_in(self.options.websocket.handshake_timeout or inf)

    def deadline_in(self, seconds: float) -> float:
        """In so many seconds, and not earlier."""
        return self.clock.now + seconds + self._interval + LATE

    def leaving_deadline(self) -> float:
        """For a WebSocket that is to end because the server does: not all of them at once."""
        now = self.loop.time()
        return now + random.random() * max(0.0, self.leaving_until - now)

    def start(self) -> None:
        """Begin to sweep."""
        if self._timer is None:
            self._due = inf
            self._sweep()

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = self.loop.call_later(self._interval, self._sweep)
        self.clock.tick()
        self._set_deadlines()
        now = self.clock.now
        if now - self._due > LATE:
            self._postpone(now - self._due)
        self._due = now + self._interval
        if any(connection.deadline <= now for connection in self.connections):
            # After a pause of the loop timers come first, and reading what has arrived meanwhile second.
            self.loop.call_later(GRACE, self._expire, now)
        self.slow_readers.check(now)
        if self.paused:
            self._check_paused()
        if self.options.request_timeout:
            self._check_running(monotonic())
        if self.on_sweep is not None:
            self.on_sweep()

    def _postpone(self, seconds: float) -> None:
        """Have a time in which the loop stood still count for nobody.

        The client could not be heard meanwhile, and deadlines that were set at its end were set too early, by
        a clock that stood still as well.
        """
        for connection in self.connections:
            connection.deadline += seconds
        self.slow_readers.postpone(seconds)

    def _check_running(self, now: float) -> None:
        """Deal with applications that take too long; one that has answered may take its time."""
        limit = self.options.request_timeout
        for exchange in [each for each in self.running if each.started + limit <= now]:
            due = self._overdue.get(exchange)
            if due is not None:
                if due <= now and self.on_stuck is not None:
                    self._overdue[exchange] = inf
                    self.on_stuck(exchange)
            elif exchange.state is not Response.DONE:
                self._overdue[exchange] = now + limit
                exchange.connection.time_out(exchange, "request timeout", limit)

    def _expire(self, now: float) -> None:
        for connection in [each for each in self.connections if each.deadline <= now]:
            connection.expire()

    def _check_paused(self) -> None:
        """Find the clients that have gone while nothing was read from them: the loop does not look.

        An end behind unread bytes says no more than that: they may be the rest of a body.
        """
        poller = poll()
        by_fileno: dict[int, LingeringConnection] = {}
        for connection in self.paused:
            sock = connection.transport.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                by_fileno[sock.fileno()] = connection
                poller.register(sock.fileno(), _END_OF_INPUT)
        for fileno, event in poller.poll(0):
            connection = by_fileno[fileno]
            if event & (POLLHUP | POLLERR):  # always told
                connection.transport.abort()
            else:
                connection.client_ended()

    def measure(self, call: Callable[[Exchange], None]) -> None:
        """Have `call` called with each exchange that is complete, besides the access log."""
        self.access_log = both(self.access_log, call)
        self.exact = True

    # The end

    def finished(self, exchange: Exchange) -> None:
        """A response ended before it was complete."""
        if self.access_log is not None and (exchange.started or exchange.status):
            exchange.started = exchange.started or monotonic()  # refused before it began
            self.access_log(exchange)

    def left(self, exchange: Exchange) -> None:
        """The application has nothing more to do for `exchange`."""
        self.running.discard(exchange)
        if self._overdue:
            self._overdue.pop(exchange, None)
        if self.draining:
            self._check_empty()

    def replace(self, connection: LingeringConnection, successor: LingeringConnection) -> None:
        """`successor` goes on with what `connection` has."""
        self.connections.discard(connection)
        self.connections.add(successor)
        self.slow_readers.pass_on(connection, successor)

    def closed(self, connection: LingeringConnection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        self.paused.discard(connection)
        self.slow_readers.forget(connection)
        if self.draining:
            self._check_empty()
        if self.on_closed is not None:
            self.on_closed()

    def _check_empty(self) -> None:
        if not self.connections and not self.running:
            self._empty.set()

    def drain(self, graceful: float = 0.0) -> None:
        """Every connection ends after its current request, or the one that is on its way.

        Idle connections are not closed under a client that may be sending: they stay until their
        keep-alive time is over, and what comes until then is answered with `Connection: close`.
        WebSockets are closed one after the other, in a part of the `graceful` seconds that there are.
        """
        if not self.draining:
            self.draining = True
            self.leaving_until = self.loop.time() + graceful * LEAVING_SHARE
            for connection in self.connections:
                connection.drain()
            self._sweep_every(DRAINING_INTERVAL)
        self._check_empty()

    def _sweep_every(self, interval: float) -> None:
        self._interval = min(self._interval, interval)
        if self._timer is not None:
            self._timer.cancel()
            self._sweep()

    @property
    def hurried(self) -> bool:
        """Whether idle connections end soon."""
        return self._idle_time == SOON

    def soon(self) -> float:
        """When who has sent nothing at all is closed then."""
        return self.clock.now + FIRST_SOON

    def close_idle(self) -> None:
        """Close idle connections, now and later, when what is already on its way can have been read."""
        if self.hurried:
            return
        self.drain()
        self._idle_time = self._interval = SOON
        self._set_deadlines()
        first = self.soon()
        for connection in self.connections:
            connection.close_idle(first)
        self._sweep_every(SOON)

    def abort(self) -> None:
        """The graceful time is over: applications see a disconnect and are cancelled."""
        self.drain()
        for connection in list(self.connections):
            connection.cut_off()
        for exchange in list(self.running):
            exchange.disconnect()
            exchange.cancel()

    async def wait_closed(self) -> None:
        """Return when no connection is left and no application is at work (after `drain`)."""
        await self._empty.wait()


def _reader_maker(options: ConnectionOptions) -> Callable[[Http1Connection, ConnectionOptions], Reader]:
    """Makes what reads from connections; imported only when it is used."""
    watch(options.forwarded_fields - PROXY_FIELDS)
    reader_class = _reader_class(options.http)
    if options.proxy_protocol == "off" or options.tls is not None:  # it comes before the handshake
        return reader_class
    from aserve.protocols.proxy_reader import ProxyHeaderReader

    return partial(ProxyHeaderReader, reader_class, options.proxy_protocol)


def _protocol_maker(group: ConnectionGroup) -> Callable[[], LingeringConnection]:
    """Makes the protocol of a newly accepted connection; imported only when it is used."""
    if group.options.tls is None:
        return group.connection
    from aserve.protocols.tls_handshake import TLSHandshake

    return partial(TLSHandshake, group, group.options.tls)


def _reader_class(http: str) -> Callable[[Http1Connection, ConnectionOptions], RequestReader]:
    """The driver of the parser `http`."""
    if http == "h11":
        from aserve.protocols.parser_h11 import H11Reader

        return H11Reader
    from aserve.protocols.parser_httptools import HttptoolsReader

    return HttptoolsReader
