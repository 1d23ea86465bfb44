"""Who has started a service and looks after it: what it is told, and what it provides.

A worker's is the supervisor, behind a channel and the shared page. Where the service runs under another
supervisor or inside another program, derive from `Overseer`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

from aserve import logs, titles
from aserve.adapters.requestqueue import RequestQueue
from aserve.messages import Channel, Draining, Failed, Ready, Tired
from aserve.options import Settings
from aserve.processes import limit_leaving
from aserve.protocols.exchange import Exchange
from aserve.serverlogger import ACCESS_NAMES
from aserve.sharedpage import Slot

News: TypeAlias = Ready | Failed | Draining | Tired


class AccessLog(Protocol):
    """Where finished exchanges go."""

    @property
    def log(self) -> Callable[[Exchange], None]:
        """Called with each of them, on the loop; never waits."""

    def reopen(self) -> None:
        """Go on in the file that has the log's name now."""

    def close(self) -> None:
        """Write what is left."""


class Overseer:
    """Takes no notice of anything, and provides nothing."""

    def tell(self, news: News) -> None:
        """How the service goes."""

    def show_life(self, when: float) -> None:
        """The loop runs; `when` is the monotonic time in seconds when that was last true."""

    def show_work(self, requests: int | None, queue: RequestQueue | None) -> None:
        """How many requests have been answered (None: not serving yet), and what waits, if any can."""

    def show_state(self, state: str) -> None:
        """A word for what the service is doing."""

    def expect_end(self, status: int, seconds: float) -> None:
        """The service ends in that many seconds; as a process it would have that exit status."""

    def access_log(self) -> AccessLog | None:
        """Open the access log, if there is one. Raises BootError if it cannot be opened."""
        return None

    def reopen_logs(self, *, only_moved: bool) -> None:
        """Go on in the other log files that have the names now; with `only_moved`, if these are others."""


def open_access_log(settings: Settings) -> AccessLog | None:
    """Return the access log of the settings, if they have one. Raises BootError if it cannot be opened."""
    # Each is imported, and paid for, only where it is wanted.
    if (configured := logs.access_logger(settings)) is not None:
        from aserve.accesslogger import AccessLogger

        logger = AccessLogger(configured, settings.access_log_format)
        return logger if logger.is_heard else None
    if not settings.has_access_log:
        return None
    from aserve.accesslog import AccessLogs

    log = AccessLogs(settings)
    table = logging.root.manager.loggerDict
    if ACCESS_NAMES[0] not in table and not any(
        getattr(table.get(name), "filters", ()) for name in ACCESS_NAMES
    ):
        return log
    from aserve.accesschoice import choose

    return choose(log, settings.access_log_format)


class Supervision(Overseer):
    """The supervisor, as one of its workers has it.

    Arguments: `channel` and `slot` are where it learns how the worker goes; `name` is the worker's in
    the log.
    """

    def __init__(self, settings: Settings, channel: Channel, slot: Slot, name: str) -> None:
        self._settings = settings
        self._channel = channel
        self._slot = slot
        self._title = name.partition(" ")[0].replace("=", " ")

    def tell(self, news: News) -> None:
        """Send it."""
        self._channel.send(news)

    def show_life(self, when: float) -> None:
        """Beat, but not over a promise, which lies in the future."""
        self._slot.beat = max(self._slot.beat, when)

    def show_work(self, requests: int | None, queue: RequestQueue | None) -> None:
        """Count it in the shared page."""
        if queue is not None:
            self._slot.queued = len(queue)
            self._slot.queue_begun = queue.begun
            self._slot.queue_wait = round(1e6 * queue.waited)
            self._slot.queue_declined = queue.declined
        if requests is not None:
            self._slot.requests = requests

    def show_state(self, state: str) -> None:
        """Show it in the list of processes."""
        titles.show(self._settings, self._title, state)

    def expect_end(self, status: int, seconds: float) -> None:
        """From here on everything has an end, even if there is no supervisor any more."""
        limit_leaving(status, seconds)
        # Nothing beats while the loop is closed and threads end.
        self._slot.beat = time.monotonic() + seconds

    def access_log(self) -> AccessLog | None:
        """Open it as the settings say."""
        return open_access_log(self._settings)

    def reopen_logs(self, *, only_moved: bool) -> None:
        """The worker's own."""
        logs.reopen(only_moved=only_moved)
