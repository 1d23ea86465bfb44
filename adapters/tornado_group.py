"""The connections of one event loop, served with Tornado's own HTTP, and the adapter that comes with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from math import inf
from select import POLLIN, poll
from typing import TYPE_CHECKING, Any, Final, cast

from tornado import httputil, version_info
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from aserve.adapters import Adapter, tornado_log
from aserve.adapters.loading import ApplicationLoadError
from aserve.adapters.tornado_request import Request, TornadoExchange
from aserve.adapters.tornado_stream import SecureStream, Stage, Stream
from aserve.protocols.flow import reset_on_close
from aserve.protocols.group import FIRST_SOON, LATE, SOON
from aserve.protocols.serving import both
from aserve.protocols.trust import Trust

if TYPE_CHECKING:
    from ssl import SSLSocket

    from aserve.protocols.exchange import Exchange
    from aserve.protocols.options import ConnectionOptions
    from aserve.protocols.tls_arrival import TLSArrival

logger: Final = logging.getLogger("aserve")

_OLDEST: Final = (6, 5, 2)

# Tornado's own limit on the time for a head, which counts the waiting for it as well: ours are stricter.
_NO_LIMIT: Final = 10.0**8

# Close codes of WebSockets (RFC 6455 §7.4.1, and the registry that it has opened).
_GOING_AWAY: Final = 1001
_SERVICE_RESTART: Final = 1012
# WebSockets are told to go at this pace, but within this part of the graceful time, lest all of their
# clients come back in the same moment.
_PACE: Final = 0.01
_PART: Final = 0.25
# Seconds until the next look at one whose handler is at work.
_AGAIN: Final = 0.05


class TornadoAdapter(Adapter):
    """Serves a Tornado application.

    app: a `tornado.web.Application`, or a router of `tornado.routing`. Raises `ApplicationLoadError` for
    what cannot be served.
    """

    def __init__(self, app: httputil.HTTPServerConnectionDelegate) -> None:
        if version_info[:3] < _OLDEST:
            raise ApplicationLoadError(
                f"this Tornado is too old, {'.'.join(map(str, _OLDEST))} or newer is needed: "
                "pip install 'aserve-server[tornado]'"
            )
        if isinstance(app, Application) and app.settings.get("autoreload"):
            raise ApplicationLoadError(
                "Tornado's autoreload is on (debug=True), which would exchange the worker's program: "
                "say autoreload=False to the application, and reload with the signal HUP"
            )
        self._app = app

    async def startup(self) -> None:
        """See to it that what Tornado logs is heard."""
        tornado_log.connect()

    async def shutdown(self) -> None:
        """Do nothing: Tornado has no such thing."""

    def describe(self) -> str:
        """The interface as the log names it."""
        return "tornado"

    @property
    def held_since(self) -> float:
        """Never: coroutines share the loop."""
        return inf

    @property
    def queue(self) -> None:
        """There is none."""

    def group(
        self,
        loop: asyncio.AbstractEventLoop,
        options: ConnectionOptions,
        access_log: Callable[[Exchange], None] | None,
    ) -> TornadoGroup:
        """The connections of `loop`; with an access log of ours, Tornado's own is silent."""
        if access_log is not None:
            tornado_log.replace_access_log()
        return TornadoGroup(self._app, loop=loop, options=options, access_log=access_log)


class TornadoGroup(httputil.HTTPServerConnectionDelegate):
    """The connections that one event loop serves with one application, by way of an `HTTPServer`.

    access_log: called with each exchange that is complete.

    connections: those that are open, or in their TLS handshake. keeping: they may have another request
    behind the present one. requests: responses completed. on_closed: called when a connection is gone.
    on_stuck: never called, since nothing is cancelled before `abort`.
    """

    parser = "tornado"

    def __init__(
        self,
        app: httputil.HTTPServerConnectionDelegate,
        *,
        loop: asyncio.AbstractEventLoop,
        options: ConnectionOptions,
        access_log: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.app = app
        self.loop = loop
        self.options = options
        # It formats what has the attributes that it looks at.
        self.access_log = cast("Callable[[TornadoExchange], None] | None", access_log)
        self.connections: set[Stream | TLSArrival] = set()
        self.requests = 0
        self.draining = False
        self.keeping = options.keep_alive > 0
        self.on_closed: Callable[[], None] | None = None
        self.on_stuck: Callable[[Exchange], None] | None = None
        self._trust = options.forwarded_trust or Trust(())
        self._server = HTTPServer(
            self,
            idle_connection_timeout=_NO_LIMIT,
            max_header_size=options.limit_head,
            max_body_size=options.limit_body or None,
        )
        limits = {
            Stage.FIRST: options.header_timeout,
            Stage.IDLE: options.keep_alive,
            Stage.HEAD: options.header_timeout,
            Stage.BODY: options.body_timeout,
            Stage.WRITING: options.write_timeout,
        }
        self._limits = {stage: limit for stage, limit in limits.items() if limit}
        times = [*self._limits.values()]
        if options.tls is not None and options.handshake_timeout:
            times.append(options.handshake_timeout)
        self._interval = max(0.05, min((1.0, *(limit / 2 for limit in times))))
        self._least = max(1, int(options.body_rate * options.body_timeout))
        self._hurried = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        self._empty = asyncio.Event()

    def start(self) -> None:
        """Begin to look after the connections' times."""
        if self._timer is None:
            self._due = inf
            self._sweep()

    def measure(self, call: Callable[[Exchange], None]) -> None:
        """Have `call` called with each exchange that is complete, besides the access log."""
        self.access_log = both(self.access_log, call)

    def stop(self) -> None:
        """Cease to."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def take(self, sock: Any) -> None:
        """Serve a newly accepted connection."""
        try:
            peer = sock.getpeername()
        except OSError:  # it has gone already
            sock.close()
            raise
        client = (peer[0].removeprefix("::ffff:"), peer[1]) if isinstance(peer, tuple) else None
        if self.options.tls is None:
            self._serve(Stream, sock, client, peer)
            return
        from aserve.protocols.tls_arrival import TLSArrival  # with TLS, only where it is wanted

        arrival = TLSArrival(
            self.loop,
            sock,
            client,
            self.options.tls,
            timeout=self.options.handshake_timeout,
            on_secure=partial(self._secured, peer),
            on_closed=self._closed,
        )
        self.connections.add(arrival)
        if self._hurried:
            arrival.hurry(self.loop.time() + FIRST_SOON)

    def _secured(self, peer: Any, arrival: TLSArrival, sock: SSLSocket) -> None:
        self.connections.discard(arrival)
        self._serve(SecureStream, sock, arrival.client, peer)

    def _serve(self, kind: type[Stream], sock: Any, client: tuple[str, int] | None, peer: Any) -> None:
        stream = kind(sock, client, trusted=self._trust.allows(client), on_closed=self._closed)
        self.connections.add(stream)
        self._server.handle_stream(stream, peer)

    @property
    def _streams(self) -> list[Stream]:
        return [each for each in self.connections if isinstance(each, Stream)]

    @property
    def _arrivals(self) -> list[TLSArrival]:
        if self.options.tls is None:
            return []
        return [each for each in self.connections if not isinstance(each, Stream)]

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """Tornado waits for a request."""
        connection = cast(HTTP1Connection, request_conn)
        stream = cast(Stream, connection.stream)
        stream.await_request()
        if stream.ending:
            stream.close()
        return Request(self, server_conn, connection)

    def _closed(self, connection: Stream | TLSArrival) -> None:
        self.connections.discard(connection)
        self._check_empty()
        if self.on_closed is not None:
            self.on_closed()

    def _check_empty(self) -> None:
        if self.draining and not self.connections:
            self._empty.set()

    # Deadlines

    def _sweep(self) -> None:
        self._timer = self.loop.call_later(self._interval, self._sweep)
        now = self.loop.time()
        if now - self._due > LATE:
            self._postpone(now - self._due)
        self._due = now + self._interval
        for arrival in self._arrivals:
            if arrival.deadline <= now:
                arrival.expire()
        for stream in self._streams:
            stage = stream.overdue(now, self._limits, self._least)
            if stage is not None and not (stage in (Stage.IDLE, Stage.FIRST) and _has_sent(stream)):
                self._expire(stream, stage)

    def _postpone(self, seconds: float) -> None:
        """Have a time in which the loop stood still count for nobody: no client could be heard meanwhile."""
        for arrival in self._arrivals:
            arrival.deadline += seconds
        for stream in self._streams:
            stream.give_time()

    def _expire(self, stream: Stream, stage: Stage) -> None:
        if stage not in (Stage.IDLE, Stage.FIRST):
            client = f"{stream.client[0]}:{stream.client[1]}" if stream.client else "unix"
            logger.info("closed: %s client=%s", _REASONS[stage], client)
        if stage is Stage.WRITING:
            reset_on_close(stream.socket)  # or the kernel goes on trying for minutes
        stream.close()

    # The end

    def drain(self, graceful: float = 0.0) -> None:
        """Every connection ends after its current request; idle ones when they are due.

        WebSockets are told one after the other, in a part of the `graceful` seconds that there are.
        """
        if self.draining:
            return
        self.draining = True
        self.keeping = False
        websockets = [stream for stream in self._streams if stream.websocket is not None]
        pace = min(_PACE, graceful * _PART / max(1, len(websockets)))
        for number, stream in enumerate(websockets):
            self.loop.call_later(number * pace, self._send_away, stream)
        self._check_empty()

    def websocket_opened(self, stream: Stream) -> None:
        """A handler is about to take the connection over."""
        if self.draining:
            self.loop.call_soon(self._send_away, stream)

    def _send_away(self, stream: Stream) -> None:
        """Close a WebSocket when its handler has nothing to do: it may be about to answer a message."""
        if stream.reading() or stream.closed():
            _close_websocket(stream, _SERVICE_RESTART)
        else:
            self.loop.call_later(_AGAIN, self._send_away, stream)

    def close_idle(self) -> None:
        """Close idle connections, now and later, when what is already on its way can have been read."""
        if self._hurried:
            return
        self._hurried = True
        self.drain()
        self._limits |= {Stage.IDLE: SOON, Stage.FIRST: FIRST_SOON}
        self._interval = SOON
        for stream in self._streams:
            stream.give_time()
        for arrival in self._arrivals:
            arrival.hurry(self.loop.time() + FIRST_SOON)
        if self._timer is not None:
            self._timer.cancel()
            self._sweep()

    def abort(self) -> None:
        """The graceful time is over: handlers see their connections closed, and are cancelled."""
        self.drain()
        for arrival in self._arrivals:
            arrival.close()
        for stream in self._streams:
            if stream.websocket is not None:
                _close_websocket(stream, _GOING_AWAY)
            elif stream.at_work:
                reset_on_close(stream.socket)  # what is cut off here must not look complete
            stream.close()
        for task in _handlers():
            task.cancel()

    async def wait_closed(self) -> None:
        """Return when no connection is left and no handler is at work (after `drain`)."""
        await self._empty.wait()
        while handlers := _handlers():
            await asyncio.wait(handlers)


_REASONS: Final = {
    Stage.HEAD: "no complete head in time",
    Stage.BODY: "the body comes too slowly",
    Stage.WRITING: "the client reads nothing",
}

_EXECUTE: Final = getattr(getattr(RequestHandler, "_execute", None), "__code__", None)


def _handlers() -> list[asyncio.Task[Any]]:
    """The tasks of handlers: they may outlast their responses, and their connections."""
    return [
        task
        for task in asyncio.all_tasks()
        if _EXECUTE is not None and getattr(task.get_coro(), "cr_code", None) is _EXECUTE
    ]


def _close_websocket(stream: Stream, code: int) -> None:
    """Begin the closing handshake; Tornado closes the connection a few seconds later at the latest."""
    if stream.websocket is not None and not stream.closed():
        stream.ending = True
        stream.websocket.close(code)


def _has_sent(stream: Stream) -> bool:
    """Whether something of the client's waits to be read: it is not idle then."""
    poller = poll()
    poller.register(stream.socket, POLLIN)
    return bool(poller.poll(0))
