"""The access log: a line per finished exchange, formatted on the loop and written by a thread.

The loop only appends to a list. The thread sleeps while there is nothing to write, and gathers for
`FLUSH_AFTER` seconds when there is, so that a worker makes ten writes a second and an idle one none. A
busy one makes more: lines that are still in the processor's cache cost less to write.
"""

from __future__ import annotations

import errno
import logging
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from aserve import identity
from aserve.errors import UsageError
from aserve.logformat import Formatter, compile_format, reads_environ
from aserve.logs import program
from aserve.logtargets import SyslogLines, Target, is_journal, make_target
from aserve.protocols.threads import allocate_lock, start_new_thread
from aserve.syslog import SyslogTarget, program_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from aserve.adapters.wsgi import WSGIApp
    from aserve.options import Settings
    from aserve.protocols.exchange import Exchange

FLUSH_AFTER: Final = 0.1
"""Seconds that a line waits for others at most, if the target takes what is written."""

MAX_WAITING: Final = 100_000
"""Lines that may wait for a target that takes none. More are dropped, and the log says how many:
a log reader that has stopped must neither stop the server nor fill its memory."""

MAX_SIZE: Final = 32 * 1024 * 1024
"""Characters of such lines."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that `close` waits for such a target."""

_MANY: Final = 512
"""Lines that are not to wait for more."""

_BATCH: Final = 2000
"""Lines that are written at once: encoding them holds up the loop."""

_UNCOUNTED: Final = 1000
"""Lines that wait without being measured."""

_TELL_AGAIN: Final = 60.0
"""Seconds between two lines about a target that is too slow."""

_FOR_GOOD: Final = (errno.EPIPE, errno.EBADF)
"""Failures of targets that nobody reads any more: nothing waits for them to go away."""

_log = logging.getLogger("aserve")


class AccessLog:
    """The access log of one worker, or one of several.

    Arguments: `target` is where its lines go, or the name of that (see `logtargets.make_target`);
    `format` as in `aserve.logformat.compile_format`. Make it in the worker, since it starts a thread, and
    `close` it. Raises BootError if the file cannot be opened.
    """

    def __init__(self, target: str | Target, format: str) -> None:
        self._target = make_target(target) if isinstance(target, str) else target
        self._format = compile_format(format, journal=self._target.journal)
        self._lines: list[str] = []
        self._size = 0
        """Characters of the lines that wait, without the first `_UNCOUNTED`."""
        self._dropped = 0
        self._told_dropped = -_TELL_AGAIN
        self._failure: OSError | None = None
        self._resting = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._closing = False
        # Held until the thread is to wait for no more lines, and until it has ended.
        self._gathering, self._alive = allocate_lock(), allocate_lock()
        self._gathering.acquire()
        self._alive.acquire()
        start_new_thread(self._work, ())

    def log(self, exchange: Exchange) -> None:
        """Take note of a finished exchange. For the loop's thread; it never waits."""
        lines = self._lines
        if len(lines) < _UNCOUNTED:
            lines.append(self._format(exchange))
            if len(lines) == _MANY:
                self._gathered()
        else:
            self._crowd(self._format(exchange))
        if self._resting:
            self._resting = False
            self._wake.put(None)

    def format_by(self, formatter: Formatter) -> None:
        """Have lines made by `formatter` from here on; entries of a journal stay as they are."""
        if not self._target.journal:
            self._format = formatter

    def reopen(self) -> None:
        """Go on in what has the target's name now. No line is lost, nor written to neither."""
        try:
            self._target.reopen()
        except OSError as error:
            _log.error(
                "cannot open %r again: %s; going on in the old file", self._target.name, error.strerror
            )

    def close(self) -> None:
        """Write what is left, and close the target. Waits for that, `CLOSE_TIMEOUT` seconds at most."""
        if not self._closing:
            self._closing = True
            self._gathered()
            self._wake.put(None)
        if not self._alive.acquire(timeout=CLOSE_TIMEOUT):
            _log.error("access log: gave up writing to %s, the last lines are lost", self._target.name)
            return
        self._alive.release()
        self._target.close()

    def _gathered(self) -> None:
        """Have the thread write what there is, now or when it looks next."""
        if self._gathering.locked():  # which only the thread does
            self._gathering.release()

    def _crowd(self, line: str) -> None:
        """Add a line to many others, unless there are too many."""
        if len(self._lines) < MAX_WAITING and self._size < MAX_SIZE:
            self._lines.append(line)
            self._size += len(line)
        else:
            self._dropped += 1

    # -- in the thread ------------------------------------------------------------------------

    def _work(self) -> None:
        last = False
        while not last:
            # First say "resting", then look once more: a line that is appended in between either
            # is seen here, or its writer has seen the flag.
            self._resting = True
            if not self._lines and not self._closing:
                self._wake.get()
            self._resting = False
            self._gathering.acquire(timeout=FLUSH_AFTER)
            last = self._closing
            self._flush()
        if self._lines or self._dropped:
            lost = len(self._lines) + self._dropped
            _log.error("access log: %d lines for %s are lost", lost, self._target.name)
        self._alive.release()

    def _flush(self) -> None:
        # Each look at the lines is one step for the interpreter, so that the loop can append meanwhile.
        while lines := self._lines[:_BATCH]:
            count, size = len(lines), sum(map(len, lines))
            try:
                self._target.write(lines)
            except OSError as error:
                del self._lines[: count - len(lines)]
                self._fail(error)
                return
            if self._failure is not None:
                self._recover()
            del self._lines[:count]
            # To a batch, since the loop adds to it meanwhile; few lines put that right.
            self._size = self._size - size if len(self._lines) >= _UNCOUNTED else 0
            if self._dropped and time.monotonic() - self._told_dropped > _TELL_AGAIN:
                self._told_dropped = time.monotonic()
                dropped, self._dropped = self._dropped, 0
                _log.error(
                    "access log: %d lines dropped, %s takes them too slowly", dropped, self._target.name
                )

    def _fail(self, error: OSError) -> None:
        """Tell a failure that is not known yet. Lines wait for its end, if there may be one."""
        for_good = error.errno in _FOR_GOOD
        if self._failure is None:
            outlook = "lines are lost until it works again" if for_good else "lines wait until it works again"
            _log.error("access log: cannot write to %s: %s; %s", self._target.name, error.strerror, outlook)
        self._failure = error
        if for_good:
            self._dropped += len(self._lines)
            del self._lines[:]

    def _recover(self) -> None:
        self._failure = None
        dropped, self._dropped = self._dropped, 0
        _log.warning("access log: %s works again, lines lost: %d", self._target.name, dropped)


class AccessLogs:
    """All access logs that the settings ask for: that of --access-logfile, and that of --log-syslog.

    Raises BootError as `AccessLog` does.
    """

    def __init__(self, settings: Settings) -> None:
        targets: list[str | Target] = []
        if settings.access_logfile is not None:
            targets.append(settings.access_logfile)
        if settings.access_log_to_syslog:
            tag = program_name(program(settings), "access")
            daemon = SyslogTarget(settings.syslog_addr, settings.syslog_facility, tag)
            targets.append(SyslogLines(daemon))
        self._logs = [AccessLog(target, settings.access_log_format) for target in targets]
        log: Callable[[Exchange], None] = self._logs[0].log if len(self._logs) == 1 else self._log_all
        self.log = _letting_go(log) if reads_environ(settings.access_log_format) else log

    def _log_all(self, exchange: Exchange) -> None:
        for log in self._logs:
            log.log(exchange)

    def format_by(self, formatter: Formatter) -> None:
        """Have lines made by `formatter` from here on."""
        for log in self._logs:
            log.format_by(formatter)

    def reopen(self) -> None:
        """Go on in what has the names of the targets now."""
        for log in self._logs:
            log.reopen()

    def close(self) -> None:
        """Write what is left, and close the targets."""
        for log in self._logs:
            log.close()


def view(app: WSGIApp, settings: Settings) -> WSGIApp:
    """Return the WSGI application such that the access log can see of it what its format asks for."""
    if not reads_environ(settings.access_log_format):
        return app
    from aserve.adapters.wsgi import keeping_environ  # which is there already, where it is needed

    return keeping_environ(app)


def _letting_go(log: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
    """Have exchanges give up the environ that `view` has them keep."""

    def call(exchange: Exchange) -> None:
        log(exchange)
        let_go(exchange)

    return call


def let_go(exchange: Exchange) -> None:
    """Have an exchange give up the environ, if it keeps one: it leads back to it."""
    if hasattr(exchange, "kept_environ"):
        del exchange.kept_environ


def check(settings: Settings) -> None:
    """Make the file of the access log, for the workers to open.

    Raises UsageError if it cannot be written: better before there are workers.
    """
    target = settings.access_logfile
    if target is None or target == "-" or is_journal(target):
        return
    try:
        identity.make(target, settings)
    except OSError as error:
        raise UsageError(
            f"--access-logfile: cannot write to {target!r}: {error.strerror}: name a file in a folder "
            "that is there and writable"
        ) from error
