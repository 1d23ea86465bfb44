"""Processes that an application forks in a call, and that come back from it instead of ending."""

from __future__ import annotations

import logging
import os
import sys
import weakref
from typing import TYPE_CHECKING, Final, NoReturn

from aserve.adapters.errorlog import log_exception

if TYPE_CHECKING:
    from aserve.adapters.runner import Runner

logger: Final = logging.getLogger("aserve")

RUNNERS: Final[weakref.WeakSet[Runner]] = weakref.WeakSet()
"""Those of this process."""


def _note_fork() -> None:
    for runner in RUNNERS:
        runner.in_child = True


os.register_at_fork(after_in_child=_note_fork)


def end_child(line: str, error: BaseException | None) -> NoReturn:
    """End this process, which was forked in a call of the application and has come back from there.

    Whatever it would go on with is its parent's: the client's connection, the selector of the event loop.
    line: the request. error: what was raised, None if the application has returned. The exit status is what
    that means at the end of a program; `atexit` functions are the parent's as well.
    """
    status = 1
    if isinstance(error, SystemExit):
        code = error.code
        if code is None or isinstance(code, int):
            status = (code or 0) & 0xFF
        else:
            print(code, file=sys.stderr)
    elif error is None:
        logger.error(
            "a process that the application has forked comes back from the call, and ends here: "
            "end it in the application, with os._exit(): %s",
            line,
        )
    else:
        log_exception(line, error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # none, or closed
    os._exit(status)
