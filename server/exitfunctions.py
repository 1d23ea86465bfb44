"""What a program has registered for its own end, which processes forked from it must not call.

A temporary folder, for instance, would be removed by the first worker that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import weakref
from collections.abc import Iterator

_program = 0
"""The process whose children forget them; 0: none."""

_hooked = False


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Have the children that this process forks meanwhile not call them; what these fork is their matter."""
    global _program, _hooked
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_forget)
    _program = os.getpid()
    try:
        yield
    finally:
        _program = 0


def _forget() -> None:
    global _program
    if os.getppid() != _program:
        return
    _program = 0
    # There is no public call for any of this. What the standard library has registered for itself comes
    # back: now, or when it is needed again.
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    atexit._clear()
    atexit.register(logging.shutdown)
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util._finalizer_registry.clear()
        atexit.register(util._exit_function)
