"""Where Tornado's log lines go: into the error log, unless the application has its own way with them."""

from __future__ import annotations

import logging
from typing import Final

_ROOT: Final = "tornado"
_ACCESS: Final = "tornado.access"

_log: Final = logging.getLogger("aserve")


class IntoErrorLog(logging.Handler):
    """Passes records of Tornado's loggers on to the error log if nobody else handles them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Whether somebody else does is looked up each time: applications may come to it late."""
        if not self._is_handled(record.name) and _log.isEnabledFor(record.levelno):
            _log.handle(record)

    def _is_handled(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False


def connect() -> None:
    """Have the error log hear what nobody else does."""
    logger = logging.getLogger(_ROOT)
    if not any(isinstance(handler, IntoErrorLog) for handler in logger.handlers):
        logger.addHandler(IntoErrorLog())


def replace_access_log() -> None:
    """Have no line of Tornado's for each line of our access log; handlers right at its logger stay."""
    logger = logging.getLogger(_ACCESS)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
