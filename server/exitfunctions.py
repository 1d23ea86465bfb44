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

_keeping = False
"""Are they to be forgotten by the next child?"""

_hooked = False


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Have the children that this process forks meanwhile not call them; what these fork is their matter."""
    global _keeping, _hooked
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_forget)
    _keeping = True
    try:
        yield
    finally:
        _keeping = False


def _forget() -> None:
    global _keeping
    if not _keeping:
        return
    _keeping = False
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
