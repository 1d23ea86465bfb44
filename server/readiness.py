"""A descriptor on which a service manager is told, once, that the server is ready (`--notify-fd`).

As s6 wants it (https://skarnet.org/software/s6/notifywhenup.html): one newline, then the end of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from aserve.binds import Bind
from aserve.errors import UsageError

_NONE: Final = -1

_descriptor = _NONE


def expect(descriptor: int, binds: Iterable[Bind]) -> None:
    """Have `tell` tell it on `descriptor`, which nobody inherits.

    Call it before anything is opened that could get this number. Raises UsageError if it is not open, or
    one of the `binds`.
    """
    global _descriptor
    if any(bind.kind == "fd" and bind.fd == descriptor for bind in binds):
        raise UsageError(f"--notify-fd: {descriptor} is a socket to listen on: choose another number")
    try:
        os.set_inheritable(descriptor, False)
    except OSError:
        raise UsageError(
            f"--notify-fd: the descriptor {descriptor} is not open: have the service manager open it "
            "(of s6: a file notification-fd)"
        ) from None
    _descriptor = descriptor


def keep_from_children() -> None:
    """Have every child from now on close its copy, so that the end of the file is one."""
    if _descriptor != _NONE:
        os.register_at_fork(after_in_child=_close)


def tell() -> None:
    """Say that the server is ready. Only the first call does something."""
    if _descriptor != _NONE:
        try:
            os.write(_descriptor, b"\n")
        except OSError:
            pass  # nobody wants to know any more
        _close()


def _close() -> None:
    global _descriptor
    if _descriptor != _NONE:
        os.close(_descriptor)
        _descriptor = _NONE
