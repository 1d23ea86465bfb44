"""What a worker does on its event loop: start the application, serve, drain, shut it down."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import math
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from aserve import recycling
from aserve.adapters import Adapter
from aserve.adapters.lifespan import LifespanError
from aserve.cancelscope import CancelScope
from aserve.errors import EXIT_BOOT, BootError, application_traceback
from aserve.listeners import Listeners
from aserve.loops import LoopName
from aserve.messages import Draining, Failed, Ready, Tired
from aserve.options import Settings
from aserve.overseer import AccessLog, Overseer
from aserve.processes import LEAVING_TIME
from aserve.protocols.exchange import Exchange
from aserve.protocols.options import ConnectionOptions, WebSocketOptions
from aserve.protocols.policy import PROXY_FIELDS
from aserve.protocols.serving import Group
from aserve.protocols.trust import Trust

if TYPE_CHECKING:
    from aserve.certificates import Certificates
    from aserve.metrics import WorkerMetrics

DEFAULT_HEAD: Final = 65536
"""Bytes that a request's head may have, unless a longer line or field is asked for."""

BEAT_INTERVAL: Final = 1.0
"""Seconds between two heartbeats, or less if the timeout is short."""

ABORT_TIME: Final = 1.0
"""Seconds that the application has to notice that its connections were closed."""

_log = logging.getLogger("aserve")


class Ending(enum.IntEnum):
    """How a worker has been told to end; it can only get more urgent."""

    NOT = 0
    RETIRE = 1
    """There is a successor: idle connections end when they are due."""
    STOP = 2
    """Finish requests, close idle connections."""
    AT_ONCE = 3
    """Close everything."""


class Service:
    """One application in service; made and used on the running event loop.

    Arguments: `name` is its own in the log; `listeners` are opened when the application has
    started; `overseer` learns how it goes; `metrics` are told of each request; `certificates` are
    what it serves with.
    """

    def __init__(
        self,
        settings: Settings,
        adapter: Adapter,
        *,
        listeners: Listeners,
        overseer: Overseer,
        name: str,
        loop_name: LoopName,
        metrics: WorkerMetrics | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self.ending = Ending.NOT
        self._settings = settings
        self._adapter = adapter
        self._listeners = listeners
        self._overseer = overseer
        self._name = name
        self._loop_name = loop_name
        self._metrics = metrics
        self._certificates = certificates
        self._told = asyncio.Event()
        self._booting = CancelScope()
        self._patience = CancelScope()
        self._group: Group | None = None
        self._leaving = False
        self._access_log: AccessLog | None = None
        self._abandoned: Collection[int] = ()
        self._most_requests = recycling.most_requests(settings)

    @property
    def requests(self) -> int:
        """How many requests have been answered."""
        return self._group.requests if self._group is not None else 0

    async def run(self) -> int:
        """Serve until told to end; return the exit status."""
        async with asyncio.TaskGroup() as tasks:
            beat = tasks.create_task(self._beat())
            status = await self._live()
            beat.cancel()
        return status

    def end(self, ending: Ending) -> None:
        """End as `ending` says, or more urgently if that was said before."""
        self.ending = max(self.ending, ending)
        self._told.set()
        self._booting.cancel()
        if self._group is not None and self._group.draining:
            self._hurry(self._group)
        if self._leaving and self.ending is Ending.AT_ONCE:
            self._overseer.expect_end(0, LEAVING_TIME)

    def retire(self, abandoned: Collection[int]) -> None:
        """End because there is a successor, who does not take over the sockets numbered in `abandoned`."""
        self._abandoned = abandoned
        self.end(Ending.RETIRE)

    def reopen_logs(self, *, only_moved: bool = False) -> None:
        """Go on in the log files that have the names now; with `only_moved`, if these are others."""
        self._overseer.reopen_logs(only_moved=only_moved)
        if self._access_log is not None and not only_moved:
            self._access_log.reopen()

    # -- service ------------------------------------------------------------------------------

    async def _live(self) -> int:
        status = 0
        try:
            async with self._booting:
                await self._adapter.startup()
            if not self._booting.cancelled_caught:
                await self._serve()
                self._leaving = True
                self._overseer.expect_end(0, self._time_left())
                await self._adapter.shutdown()
        except (BootError, LifespanError) as error:
            status = EXIT_BOOT
            # First: the supervisor looks at the beat as soon as it knows.
            self._overseer.expect_end(status, LEAVING_TIME)
            self._overseer.tell(_failure(error))
        self._overseer.expect_end(status, LEAVING_TIME)
        return status

    async def _serve(self) -> None:
        settings = self._settings
        loop = asyncio.get_running_loop()
        self._access_log = access_log = self._overseer.access_log()
        self.reopen_logs(only_moved=True)  # signals of the time before were not heard
        self._group = group = self._adapter.group(
            loop,
            connection_options(settings, self._certificates),
            access_log.log if access_log else None,
        )
        if self._metrics is not None:
            self._metrics.serve(loop, self._adapter.queue)
            group.measure(self._metrics.log)
        group.start()
        group.on_closed = self._listeners.has_ended
        group.on_stuck = self._stuck
        self._listeners.open(group.take, group.connections)
        self._show_life()  # a start-up that blocks the loop may have lasted longer than the timeout
        self._overseer.tell(Ready(self._adapter.describe(), self._loop_name, group.parser))
        self._overseer.show_state("ready")
        try:
            await self._told.wait()
            await self._drain(group)
        except (asyncio.CancelledError, KeyboardInterrupt):  # by a program that ends in disorder
            group.abort()
            raise
        finally:
            group.stop()
            if access_log is not None:
                access_log.close()

    async def _drain(self, group: Group) -> None:
        """Accept no more, and wait for the requests that there are, for the graceful time at most."""
        graceful = self._settings.graceful_timeout
        self._patience.deadline = asyncio.get_running_loop().time() + graceful
        await self._listeners.close(empty=self._unattended())
        self._overseer.tell(Draining())
        self._overseer.show_state("draining")
        group.drain(graceful)
        self._hurry(group)
        async with self._patience:
            await group.wait_closed()
        if self._patience.cancelled_caught:
            if self.ending is not Ending.AT_ONCE:
                count = len(group.connections)
                _log.warning("%s: %g s are over, connections cut off: %d", self._name, graceful, count)
            group.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ABORT_TIME):
                    await group.wait_closed()

    def _unattended(self) -> Collection[int]:
        """Return the numbers of the sockets on which nobody will take what waits to be accepted.

        A successor does, and after a stop whoever a service manager starts with the socket that it keeps.
        """
        if self.ending is Ending.RETIRE:
            return self._abandoned
        kept = {number for number, bind in enumerate(self._settings.bind) if bind.kind == "fd"}
        return [number for number in range(len(self._listeners.filenos())) if number not in kept]

    def _stuck(self, exchange: Exchange) -> None:
        """What was cancelled does not end: the worker can only get rid of it by its own end."""
        self._overseer.tell(Tired(f"still at work long after the request timeout: {exchange.line()}"))

    def _hurry(self, group: Group) -> None:
        # With --reload, who has just saved a file must not be answered by the code before it, on a
        # connection that was left open.
        if self.ending >= Ending.STOP or self._settings.reload:
            group.close_idle()
        if self.ending is Ending.AT_ONCE:
            self._patience.cancel()

    def _time_left(self) -> float:
        """Return for how many seconds the lifespan shutdown may take: what is left of the graceful time."""
        if self.ending is Ending.AT_ONCE:
            return LEAVING_TIME
        return max(LEAVING_TIME, self._patience.deadline - asyncio.get_running_loop().time())

    # -- heartbeat ----------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Show again and again that the loop runs. No thread: it would beat for a loop that hangs."""
        timeout = self._settings.timeout
        interval = min(BEAT_INTERVAL, timeout / 4) if timeout > 0 else BEAT_INTERVAL
        while True:
            self._show_life()
            if self._certificates is not None:
                self._certificates.follow()
            if self._group is not None and self._group.requests >= self._most_requests:
                self._overseer.tell(Tired(f"{self._group.requests} requests (--max-requests)"))
                self._most_requests = math.inf
            await asyncio.sleep(interval)

    def _show_life(self) -> None:
        # A request that keeps all others waiting shows no life, even if the loop itself has its turns.
        self._overseer.show_life(min(time.monotonic(), self._adapter.held_since))
        answered = self._group.requests if self._group is not None else None
        self._overseer.show_work(answered, self._adapter.queue)


def connection_options(settings: Settings, certificates: Certificates | None = None) -> ConnectionOptions:
    """Return what connections need to know of the settings."""
    line, field = settings.limit_request_line, settings.limit_request_field_size
    forwarded = frozenset(name.encode() for name in settings.forwarded_headers) or PROXY_FIELDS
    head = settings.limit_request_head or max(DEFAULT_HEAD, line + field + len("\r\n" * 3))
    return ConnectionOptions(
        http=settings.http,
        keep_alive=settings.keep_alive,
        header_timeout=settings.header_timeout,
        body_timeout=settings.body_timeout,
        body_rate=settings.min_body_rate,
        write_timeout=settings.write_timeout,
        request_timeout=settings.request_timeout,
        limit_line=line or head,
        limit_fields=settings.limit_request_fields or head,  # it cannot hold more
        limit_field_size=field or head,
        limit_head=head,
        limit_body=settings.limit_request_body,
        limit_concurrency=settings.limit_concurrency,
        header_map=settings.header_map,
        server_header=None if settings.no_server_header else b"aserve",
        date_header=not settings.no_date_header,
        headers=settings.header,
        forwarded_trust=Trust(settings.forwarded_allow_ips, dict(settings.secure_scheme_headers)),
        forwarded_fields=forwarded | {name for name, _ in settings.secure_scheme_headers},
        forwarder_fields=frozenset(name.encode() for name in settings.forwarder_headers),
        proxy_protocol=settings.proxy_protocol,
        proxy_trust=Trust(settings.proxy_allow_from),
        websocket=WebSocketOptions(
            served=settings.ws != "none",
            handshake_timeout=settings.ws_handshake_timeout,
            ping_interval=settings.ws_ping_interval,
            ping_timeout=settings.ws_ping_timeout,
            max_size=settings.ws_max_size,
            max_queue=settings.ws_max_queue,
            deflate=settings.ws_per_message_deflate,
            context_takeover=settings.ws_deflate_takeover,
            window_bits=settings.ws_deflate_window_bits,
        ),
        tls=certificates.context if certificates is not None else None,
        handshake_timeout=settings.ssl_handshake_timeout,
    )


def _failure(error: BootError | LifespanError) -> Failed:
    reason, own = str(error).rstrip(), ""
    if "\n" in reason:
        # Frameworks send their whole traceback as the message; its last line is the reason.
        what, _, own = reason.partition(": ")
        reason = f"{what}: {own.rpartition(chr(10))[2]}"
    cause = getattr(error, "cause", None)
    return Failed("boot", reason, application_traceback(cause) if cause is not None else own)
