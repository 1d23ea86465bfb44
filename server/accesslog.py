"""The access log: a line per finished exchange, formatted on the loop and written by a thread.

The loop only appends to a list. The thread sleeps while there is nothing to write, and gathers for
`FLUSH_AFTER` seconds when there is, so that a busy worker makes ten writes a second and an idle one
none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from os import close, write  # by name, as what follows: see aserve.protocols.threads
from queue import SimpleQueue
from select import PIPE_BUF, select
from typing import TYPE_CHECKING, Final

from aserve import identity
from aserve.capture import standard_output
from aserve.errors import BootError, UsageError
from aserve.logformat import compile_format
from aserve.logs import exchange, open_to_append
from aserve.protocols.threads import allocate_lock, start_new_thread

if TYPE_CHECKING:
    from aserve.options import Settings
    from aserve.protocols.exchange import Exchange

FLUSH_AFTER: Final = 0.1
"""Seconds that a line waits for others at most, if the target takes what is written."""

MAX_WAITING: Final = 100_000
"""Lines that may wait for a target that takes none. More are dropped, and the log says how many:
a log reader that has stopped must neither stop the server nor fill its memory."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that `close` waits for such a target."""

_LARGEST_WRITE: Final = 1024 * 1024

_log = logging.getLogger("aserve")


class AccessLog:
    """The access log of one worker.

    Arguments: `target` is a file to append to, or "-" for standard output; `format` as in
    `aserve.logformat.compile_format`; `loop` is the one whose time `Exchange.started` is. Make it
    in the worker, since it starts a thread, and `close` it. Raises BootError if the file cannot be
    opened.
    """

    def __init__(self, target: str, format: str, loop: asyncio.AbstractEventLoop) -> None:
        self._format = compile_format(format, monotonic=loop.time)
        self._target = "standard output" if target == "-" else os.path.abspath(target)
        self._lines: list[str] = []
        self._dropped = 0
        self._failed = False
        self._resting = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._closing = False
        # Held until `close` is called, and until the thread has ended.
        self._open, self._alive = allocate_lock(), allocate_lock()
        self._open.acquire()
        self._alive.acquire()
        self._owned = target != "-"
        try:
            self._fd = open_to_append(target) if self._owned else standard_output()
        except OSError as error:
            raise BootError(f"cannot write the access log {target!r}: {error.strerror}") from error
        self._at_once = _largest_write(self._fd)
        start_new_thread(self._work, ())

    def log(self, exchange: Exchange) -> None:
        """Take note of a finished exchange. For the loop's thread; it never waits."""
        lines = self._lines
        if len(lines) < MAX_WAITING:
            lines.append(self._format(exchange))
        else:
            self._dropped += 1
        if self._resting:
            self._resting = False
            self._wake.put(None)

    def reopen(self) -> None:
        """Go on in the file that has the log's name now. No line is lost, nor written to neither."""
        if not self._owned or self._fd < 0:
            return
        try:
            exchange(self._target, self._fd)
            self._at_once = _largest_write(self._fd)
        except OSError as error:
            _log.error("cannot open %r again: %s; going on in the old file", self._target, error.strerror)

    def close(self) -> None:
        """Write what is left, and close the file. Waits for that, `CLOSE_TIMEOUT` seconds at most."""
        if not self._closing:
            self._closing = True
            self._open.release()
            self._wake.put(None)
        if not self._alive.acquire(timeout=CLOSE_TIMEOUT):
            _log.error("access log: gave up writing to %s, the last lines are lost", self._target)
            return
        self._alive.release()
        if self._owned and self._fd >= 0:
            close(self._fd)
            self._fd = -1

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
            last = self._open.acquire(timeout=FLUSH_AFTER)
            self._flush()
        self._alive.release()

    def _flush(self) -> None:
        # Each of these is one step for the interpreter, so that the loop can append meanwhile.
        lines = self._lines[:]
        try:
            for chunk in _chunks(lines, self._at_once):
                _write(self._fd, chunk)
        except OSError as error:
            if not self._failed:
                self._failed = True
                _log.error(
                    "access log: cannot write to %s: %s; lines are lost until it works again",
                    self._target,
                    error.strerror,
                )
        else:
            self._failed = False
        del self._lines[: len(lines)]
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            _log.error("access log: %d lines dropped, %s takes them too slowly", dropped, self._target)


def check(settings: Settings) -> None:
    """Make the file of the access log, for the workers to open.

    Raises UsageError if it cannot be written: better before there are workers.
    """
    target = settings.access_logfile
    if target is None or target == "-":
        return
    try:
        identity.make(target, settings)
    except OSError as error:
        raise UsageError(
            f"--access-logfile: cannot write to {target!r}: {error.strerror}: name a file in a folder "
            "that is there and writable"
        ) from error


def _largest_write(fd: int) -> int:
    """Return how many bytes of one worker stay together among those of the others.

    Pipes mix the writes of several processes if they are longer than PIPE_BUF: pipe(7).
    """
    try:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:  # standard output is closed: the first write will tell
        regular = False
    return _LARGEST_WRITE if regular else PIPE_BUF


def _chunks(lines: list[str], size: int) -> list[bytes]:
    """Return the lines in pieces of whole lines, each of at most `size` bytes unless one line is longer."""
    data = "".join(lines).encode("utf-8", "backslashreplace")
    chunks, start = [], 0
    while len(data) - start > size:
        end = data.rfind(b"\n", start, start + size) + 1 or data.find(b"\n", start + size) + 1
        chunks.append(data[start:end])
        start = end
    if start < len(data):
        chunks.append(data[start:])
    return chunks


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[write(fd, view) :]
        except BlockingIOError:
            # Standard output is shared with whoever started us, who may have made it non-blocking.
            select([], [fd], [])
