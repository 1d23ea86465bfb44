"""What is measured for statsd: by a worker for its requests, by the supervisor for all of them.

The names are gunicorn's for what gunicorn has, so that dashboards stay as they are; see docs/statsd.md.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import TYPE_CHECKING, Final, Protocol

from aserve import serverlogger, statsd
from aserve.lifecycle import ChildState
from aserve.logvalues import GONE

if TYPE_CHECKING:
    from aserve.children import Child
    from aserve.options import Settings
    from aserve.protocols.exchange import Exchange

INTERVAL: Final = 1.0
"""Seconds between two times that a process sends what there is."""

GAUGE_INTERVAL: Final = 10.0
"""Seconds after which a gauge that has not changed is sent again: datagrams get lost."""

MANY: Final = 500
"""Requests after which a worker does not wait for the next time."""

_MOST_SAID: Final = 10_000
_SWITCHING_PROTOCOLS: Final = 101

_LEVELS: Final = {
    logging.WARNING: "gunicorn.log.warning",
    logging.ERROR: "gunicorn.log.error",
    logging.CRITICAL: "gunicorn.log.critical",
}

# struct tcp_info of linux/tcp.h: for a listening socket, tcpi_unacked is how many wait.
_TCP_INFO: Final = struct.Struct("8B24I")
_UNACKED: Final = 12


class Metrics:
    """What both have in common: the client, and the lines of the log.

    Arguments: `settings` have the server's address; `lookup` as in `statsd.Client`.
    """

    def __init__(self, settings: Settings, lookup: Callable[[str, int], statsd.Lookup]) -> None:
        assert settings.statsd_host is not None
        self.client = statsd.Client(
            settings.statsd_host, settings.statsd_prefix, settings.dogstatsd_tags, lookup
        )
        self._said: deque[tuple[str, float, str]] = deque(maxlen=_MOST_SAID)

    def heed_log(self) -> None:
        """Count the lines of this process's log from now on."""
        serverlogger.logger().meter = self

    def leave(self) -> None:
        """Close the socket, in a process that was forked from the one that uses it."""
        self.client.discard()

    def logged(self, level: int, exception: bool) -> None:
        """Count a line, as gunicorn does: one with an exception is no error besides. From any thread."""
        name = _LEVELS.get(level)
        if name is not None:
            self._said.append(("gunicorn.log.exception" if exception else name, 1, "counter"))

    def measured(self, extra: Mapping[str, object]) -> None:
        """Take a metric of a hook's: gunicorn's `metric`, `value` and `mtype`. From any thread."""
        name, value, kind = extra.get("metric"), extra.get("value"), extra.get("mtype")
        if (
            isinstance(name, str)
            and isinstance(kind, str)
            and isinstance(value, (int, float))
            and math.isfinite(value)
            and name.isascii()
            and name.isprintable()
            and not set(name) & set("|:@#")
        ):
            self._said.append((name, value, kind))

    def flush(self) -> None:
        """Send what there is."""
        client = self.client
        while self._said:
            name, value, kind = self._said.popleft()
            match kind:
                case "counter":
                    client.count(name, value)
                case "gauge":
                    client.gauge(name, value)
                case "timer":
                    client.value(name, value, "ms")
                case "histogram":
                    client.value(name, value, "h")
        client.flush()

    def close(self) -> None:
        """Send what there is for the last time."""
        self.flush()
        if serverlogger.logger().meter is self:
            serverlogger.logger().meter = None
        self.client.close()


# -- a worker ---------------------------------------------------------------------------------


class Queue(Sized, Protocol):
    """Requests that wait, see `aserve.adapters.requestqueue`."""

    begun: int
    waited: float
    declined: int


class WorkerMetrics(Metrics):
    """What a worker measures. Arguments: `settings` are its own."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, statsd.ThreadLookup)
        self._statuses: dict[int, int] = {}
        self._durations: list[float] = []
        self._timer: asyncio.TimerHandle | None = None
        self._queue: Queue | None = None
        self._begun = self._declined = self._waited = 0

    def serve(self, loop: asyncio.AbstractEventLoop, queue: Queue | None) -> None:
        """Send again and again, with what `queue` counts if there is one."""
        self._queue = queue
        self._tick(loop)

    def log(self, exchange: Exchange) -> None:
        """Take note of a finished exchange. For the loop's thread; it never waits."""
        status = exchange.status or GONE
        self._statuses[status] = self._statuses.get(status, 0) + 1
        if status != _SWITCHING_PROTOCOLS:  # a WebSocket's time is another thing than a request's
            self._durations.append(time.monotonic() - exchange.started)
            if len(self._durations) >= MANY:
                self.flush()

    def flush(self) -> None:
        """Send what there is."""
        client = self.client
        statuses, self._statuses = self._statuses, {}
        durations, self._durations = self._durations, []
        if statuses:
            client.count("gunicorn.requests", sum(statuses.values()))
        for status, number in statuses.items():
            client.count(f"gunicorn.request.status.{status}", number)
        for duration in durations:
            client.value("gunicorn.request.duration", duration * 1000.0, "ms")
        if self._queue is not None:
            self._count_queue(self._queue)
        super().flush()

    def close(self) -> None:
        """Send what there is for the last time."""
        if self._timer is not None:
            self._timer.cancel()
        super().close()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(INTERVAL, self._tick, loop)
        self.flush()

    def _count_queue(self, queue: Queue) -> None:
        begun, declined, waited = queue.begun, queue.declined, round(1000 * queue.waited)
        if begun > self._begun:
            self.client.count("aserve.queue.begun", begun - self._begun)
        if declined > self._declined:
            self.client.count("aserve.queue.declined", declined - self._declined)
        if waited > self._waited:
            self.client.count("aserve.queue.wait_ms", waited - self._waited)
        self._begun, self._declined, self._waited = begun, declined, waited


# -- the supervisor ---------------------------------------------------------------------------


class ServerMetrics:
    """What the supervisor measures, if anything.

    Arguments: `settings` are those in service.
    """

    def __init__(self, settings: Settings) -> None:
        self._metrics: Metrics | None = None
        self._backlog = False
        self._due = math.inf
        self._sent: dict[str, float] = {}
        self._gauges_due = 0.0
        self.adapt(settings)

    @property
    def due(self) -> float:
        """When there is something to do (monotonic seconds)."""
        return self._due

    def adapt(self, settings: Settings) -> None:
        """Go by other settings from now on."""
        self.close()
        if settings.statsd_host is not None:
            statsd.forget(settings.statsd_host)
            self._metrics = Metrics(settings, statsd.ForkLookup)
            self._metrics.heed_log()
            self._due = time.monotonic()
        self._backlog = settings.enable_backlog_metric and sys.platform == "linux"
        self._sent = {}

    def look(self, children: Iterable[Child], sockets: Iterable[socket.socket]) -> None:
        """Measure and send, if it is time to. Called in every turn of the supervisor's loop."""
        metrics, now = self._metrics, time.monotonic()
        if metrics is None or now < self._due:
            return
        self._due = now + INTERVAL
        if now >= self._gauges_due:
            self._gauges_due, self._sent = now + GAUGE_INTERVAL, {}
        for name, value in _gauges(children).items():
            if self._sent.get(name) != value:
                self._sent[name] = value
                metrics.client.gauge(name, value)
        if self._backlog:
            metrics.client.value("gunicorn.backlog", sum(map(_waiting, sockets)), "h")
        metrics.flush()

    def close(self) -> None:
        """Send what there is, and measure nothing any more."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        self._due = math.inf


def _gauges(children: Iterable[Child]) -> dict[str, float]:
    workers = [child for child in children if child.is_worker]
    return {
        "gunicorn.workers": sum(child.state is ChildState.READY for child in workers),
        "aserve.connections": sum(child.slot.connections for child in workers),
        "aserve.queue.waiting": sum(child.slot.queued for child in workers),
    }


def _waiting(sock: socket.socket) -> int:
    """Return how many connections wait to be accepted."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:  # closed meanwhile
        return 0
    return int(_TCP_INFO.unpack(info)[_UNACKED])
