"""Signals that are taken when there is time for them, by a supervisor and by a worker alike."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from collections.abc import Iterator
from os import close, open, read, write  # by name: see aserve.protocols.threads
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio

SUPERVISED: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
    signal.SIGCHLD,
)
"""What a supervisor takes."""

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""What ends a worker."""

OBEYED: Final = (*STOPPING, signal.SIGUSR1)
"""What a worker takes."""

HARMLESS: Final = (
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
)
"""What is meant for the supervisor, and must not end a worker that gets it by mistake."""


class Signals:
    """Signals that arrived and wait to be taken, with a descriptor that is readable while some do.

    Arguments: `wanted` are the signals to take.

    Handlers only take notes. The descriptor is written to in two places: by the interpreter as
    soon as a signal arrives (so that a poll() ends whichever thread the kernel has chosen), and by
    the handler (since an event loop may put a descriptor of its own in the interpreter's place).
    It only wakes; what arrived is in the notes, so that a full pipe loses nothing.
    """

    def __init__(self, wanted: tuple[signal.Signals, ...]) -> None:
        self._wanted = wanted
        self._arrived: deque[signal.Signals] = deque()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def install(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Start to take signals; main thread only.

        Arguments: `loop` runs already. If it has a descriptor of its own in the interpreter's place, that
        stays: it wakes the loop as well, and the application's handlers are called for what comes out of it.
        """
        before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        if loop is not None and _is_own(before, loop):
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        for number in self._wanted:
            signal.signal(number, self._note)
            # The application's C code need not be ready for system calls that end early.
            signal.siginterrupt(number, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._wanted)

    def ignore(self) -> None:
        """Take no more signals, because the end has come.

        They must not be left to the interpreter: on its way out it puts the system's handlers
        back, and a second TERM would turn a good end into a death by signal.
        """
        for number in self._wanted:
            if number is not signal.SIGCHLD:  # ignored, ends of children could not be waited for
                signal.signal(number, signal.SIG_IGN)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._reader

    def take(self) -> Iterator[signal.Signals]:
        """Yield what has arrived, in order."""
        with contextlib.suppress(BlockingIOError):
            while read(self._reader, 4096):
                pass
        while self._arrived:
            yield self._arrived.popleft()

    def close(self) -> None:
        """Give up the descriptors in this process. What arrives from now on is noted for nobody.

        A wake-up descriptor of somebody else's, such as a hook's, stays.
        """
        current = signal.set_wakeup_fd(-1)
        if current not in (self._writer, -1):
            with contextlib.suppress(OSError, ValueError):  # closed, or not fit for it
                signal.set_wakeup_fd(current)
        close(self._reader)
        close(self._writer)
        self._writer = -1

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._arrived.append(signal.Signals(number))
        if self._writer >= 0:
            with contextlib.suppress(BlockingIOError):
                write(self._writer, b"\0")


def _is_own(descriptor: int, loop: Any) -> bool:
    """Is it the loop's? uvloop has one while it runs, asyncio's as soon as it has been given a handler."""
    if type(loop).__module__.startswith("uvloop"):
        return descriptor != -1
    own = getattr(loop, "_csock", None)
    return own is not None and own.fileno() == descriptor


def take_no_notice(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by doing nothing.

    `SIG_IGN` would do that as well, but is inherited by the programs that a process executes, and
    an application's subprocess should find its signals as they usually are.
    """


def has_terminal() -> bool:
    """Has this process a terminal, from which signals may come that nobody meant?"""
    try:
        close(open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
