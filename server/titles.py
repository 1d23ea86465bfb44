"""What ps and top show of a process: that it is ours, which server's, and what it is doing.

By the library setproctitle, an extra: without it there is nothing to see and nothing to pay.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

from aserve.options import Settings

_log = logging.getLogger("aserve")


def check(settings: Settings) -> None:
    """Say so in the log if a name is wanted and cannot be shown. To be called before workers are forked."""
    if _library() is None and settings.proc_name is not None:
        _log.warning("--name has no effect: install the extra aserve-server[setproctitle]")


def show(settings: Settings, part: str, state: str) -> None:
    """Show this process as its `part` in the server (`worker 0`) and what it is doing (`ready`)."""
    set_title = _library()
    if set_title is not None:
        set_title(f"aserve: {part} [{settings.proc_name or settings.app}] {state}")


@functools.cache  # Python would look for it each time
def _library() -> Callable[[str], None] | None:
    try:
        from setproctitle import setproctitle
    except ImportError:
        return None
    return setproctitle
