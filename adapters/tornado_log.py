"""Where Tornado's log lines go: into the error log, unless the application has its own way with them."""

from __future__ import annotations

import logging
from typing import Final

from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

from aserve.adapters.tornado_request import TornadoExchange

_ROOT: Final = "tornado"
_ACCESS: Final = "tornado.access"

# What Tornado says next of a handler that has raised when its response had begun.
_AFTERWARDS: Final = "Cannot send error response after headers written"

_log: Final = logging.getLogger("aserve")


class IntoErrorLog(logging.Handler):
    """Passes records of Tornado's loggers on to the error log if nobody else handles them.

    That a client has gone while a handler was still writing is no failure of anybody's: it is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._left_out = False

    def emit(self, record: logging.LogRecord) -> None:
        """Whether somebody else does is looked up each time: applications may come to it late."""
        if self._is_handled(record.name) or not _log.isEnabledFor(record.levelno):
            return
        what_follows, self._left_out = self._left_out, False
        if _client_has_gone(record):
            self._left_out = True
        elif not (what_follows and record.msg == _AFTERWARDS):
            _log.handle(record)

    def _is_handled(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False


def _client_has_gone(record: logging.LogRecord) -> bool:
    """Whether a handler's exception says no more than that; other connections may be closed as well."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, StreamClosedError | WebSocketClosedError):
        return False
    args = record.args if isinstance(record.args, tuple) else ()
    for exchange in [arg.connection for arg in args if isinstance(arg, HTTPServerRequest)]:
        if isinstance(exchange, TornadoExchange):
            stream = exchange.connection
            return stream.closed() or (stream.ending and isinstance(error, WebSocketClosedError))
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
