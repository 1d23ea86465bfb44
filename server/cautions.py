"""What is allowed, and mostly not meant for production: a line for each, just before the server is ready."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from aserve.options import Settings

_EVERYBODY: Final = ("0.0.0.0", "::")


def about(settings: Settings) -> Iterator[str]:
    """Yield the warnings that these settings deserve."""
    if os.geteuid() == 0 and settings.user is None:
        yield (
            "the application runs as root: name another user with --user (or USER of a container image, "
            "User= of systemd)"
        )
    open_to_all = [str(bind) for bind in settings.bind if bind.kind == "tcp" and bind.host in _EVERYBODY]
    if open_to_all and settings.reload:
        yield f"--reload is for development, and everybody can reach {open_to_all[0]}: bind 127.0.0.1"
    if open_to_all and settings.log_level == "debug":
        yield f"the log level is debug, and everybody can reach {open_to_all[0]}: bind 127.0.0.1, or log less"
