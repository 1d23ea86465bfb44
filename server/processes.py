"""How a child process begins and ends."""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from os import close, open  # by name: see aserve.protocols.threads
from types import FrameType
from typing import Final, NoReturn

from aserve.signals import HARMLESS, STOPPING, SUPERVISED, take_no_notice

EXIT_CRASH: Final = 1
"""Exit status of a child that ended by an exception that nobody expected."""

LEAVING_TIME: Final = 5.0
"""Seconds that a child has for its end once its work is done: threads, atexit."""

_log = logging.getLogger("aserve")

_leaves_at = math.inf


def fork(body: Callable[[], int]) -> int:
    """Fork; return the child's pid. The child runs `body` and ends with the status that it returns.

    The child never returns from this call. It starts with `HARMLESS` signals handled, all others
    as they are for a new program, so that TERM ends it at once until `body` wants otherwise. No
    signal meant for the child can run a handler of the parent's, and the other way round: they
    are blocked from before the fork until the child has changed its handlers.

    Raises OSError if there can be no more processes. The caller must not have other threads.
    """
    _flush()  # or what is buffered would be written by both
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISED)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return pid
    _be_child(body, mask)


def _be_child(body: Callable[[], int], mask: set[signal.Signals | int]) -> NoReturn:
    status = EXIT_CRASH
    try:
        signal.set_wakeup_fd(-1)
        for number in SUPERVISED:
            signal.signal(number, take_no_notice if number in HARMLESS else signal.SIG_DFL)
        for number in HARMLESS:
            signal.siginterrupt(number, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = body()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else EXIT_CRASH
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(status)


def limit_leaving(status: int, seconds: float = LEAVING_TIME) -> None:
    """End this process with `status` after `seconds` if it is still there by then.

    A thread of the application that never ends must not keep a worker alive of which nobody
    expects anything any more. Uses the ALRM signal; main thread only. Of several calls the one with the
    earliest end holds.
    """
    global _leaves_at
    if (end := time.monotonic() + seconds) >= _leaves_at:
        return
    _leaves_at = end
    main = threading.main_thread()

    def give_up(_number: int, _frame: FrameType | None) -> None:
        left = [each.name for each in threading.enumerate() if each is not main and not each.daemon]
        what = ", ".join(left) or "the shutdown"
        _log.warning("pid=%d ends, %g s are over; still running: %s", os.getpid(), round(seconds, 1), what)
        _flush()
        os._exit(status)

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _leave(status: int) -> NoReturn:
    """End like an interpreter does, as far as an application can tell: threads, atexit, buffers.

    What a child has inherited from its parent's stack is not unwound, and modules are not taken
    apart, which threads that still run could trip over.
    """
    try:
        limit_leaving(status)
        finish()
        _flush()
    except BaseException:
        traceback.print_exc()
        status = status or EXIT_CRASH
    finally:
        os._exit(status)


def finish() -> None:
    """End what the program has left running, as an interpreter does; a second call does nothing."""
    # Waits for threads that are no daemons and ends the pools of concurrent.futures, which
    # have no public call for it; multiprocessing ends its children in the same way.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # None without a console; ValueError if closed; OSError if nobody reads it any more
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()


def free_forks(descriptors: Callable[[], list[int]]) -> None:
    """Have processes that the application forks be its own: without our handlers and `descriptors`.

    Programs that it executes never get them; this is for plain forks, such as the pools of
    multiprocessing. One that outlives its worker would keep the address in use, and one that
    had the worker's handlers could not be ended by TERM. The descriptors' numbers stay taken (by
    the null device), so that an object that believes to own one closes nobody else's.
    """

    def let_go() -> None:
        signal.set_wakeup_fd(-1)
        for number in (*STOPPING, *HARMLESS):
            signal.signal(number, signal.SIG_DFL)
        null = open(os.devnull, os.O_RDWR)
        for descriptor in descriptors():
            if descriptor >= 0:
                os.dup2(null, descriptor, inheritable=False)
        close(null)

    os.register_at_fork(after_in_child=let_go)


def have_standard_streams() -> list[int]:
    """Open the null device for each of the descriptors 0, 1 and 2 that is closed; return which were.

    Otherwise the next file or socket would get the number, and a `print` would be sent to a client. Python
    has no streams for those that were closed when it started: they are made.
    """
    closed = []
    while (descriptor := open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
        closed.append(descriptor)
    close(descriptor)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(
                sys,
                name,
                io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8", write_through=True),
            )
    return closed
