"""TLS handshakes in which a client may ask for a name that is none (RFC 6066 §3).

Of a name that is no ASCII `ssl` tells `sys.unraisablehook`, before anything of ours could look at it: anybody
could fill the log with tracebacks. So there is a hook of ours for as long as a handshake is at work, in one
place for all threads: each of them taking its own away again would leave one of another's there for ever.
"""

from __future__ import annotations

import ssl
import sys
from _thread import allocate_lock, get_ident  # by name: see aserve.protocols.threads
from collections.abc import Callable
from typing import Any, Final

_lock: Final = allocate_lock()
_at_work: Final[dict[int, list[ValueError]]] = {}
"""The threads with a handshake at work, and what they have been told."""
_passing_on: Final[set[int]] = set()
_before: Callable[[sys.UnraisableHookArgs], Any] = sys.__unraisablehook__
"""Who had the hook before us."""


def advance(tls: ssl.SSLObject | ssl.SSLSocket) -> None:
    """Go on with a handshake; raises what `do_handshake` raises, and ValueError for a name not in ASCII."""
    unfit = _begin(get_ident())
    try:
        tls.do_handshake()
    except ssl.SSLError:
        if unfit:
            raise unfit[0] from None
        raise
    finally:
        _end(get_ident())


def _begin(thread: int) -> list[ValueError]:
    global _before
    with _lock:
        if sys.unraisablehook is not _hear:
            _before = sys.unraisablehook
            sys.unraisablehook = _hear
        unfit = _at_work[thread] = []
    return unfit


def _end(thread: int) -> None:
    with _lock:
        _at_work.pop(thread, None)
        if not _at_work and sys.unraisablehook is _hear:  # else somebody has set another one meanwhile
            sys.unraisablehook = _before


def _hear(raised: sys.UnraisableHookArgs, /) -> None:
    thread = get_ident()
    unfit, error = _at_work.get(thread), raised.exc_value
    if unfit is not None and isinstance(error, UnicodeDecodeError) and isinstance(raised.object, bytes):
        unfit.append(error)
    elif thread in _passing_on:  # one that has been set on top of ours passes on to it
        sys.__unraisablehook__(raised)
    else:
        _passing_on.add(thread)
        try:
            _before(raised)
        finally:
            _passing_on.discard(thread)
