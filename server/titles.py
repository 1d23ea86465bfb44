"""What ps and top show of a process: that it is ours, which server's, and what it is doing.

By the library setproctitle, an extra: without it there is nothing to see and nothing to pay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from aserve.options import Settings

_log = logging.getLogger("aserve")


def check(settings: Settings) -> None:
    """Say so in the log if a name is wanted and cannot be shown."""
    if settings.proc_name is not None and _library() is None:
        _log.warning("--name has no effect: install the extra aserve-server[setproctitle]")


def show(settings: Settings, part: str, state: str) -> None:
    """Show this process as its `part` in the server (`worker 0`) and what it is doing (`ready`)."""
    set_title = _library()
    if set_title is not None:
        set_title(f"aserve: {part} [{settings.proc_name or settings.app}] {state}")


def _library() -> Callable[[str], None] | None:
    try:
        from setproctitle import setproctitle
    except ImportError:
        return None
    return setproctitle
