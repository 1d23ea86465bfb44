"""What our workers write to gunicorn's logs, through its logger object: a `gunicorn.glogging.Logger`.

Statsd, syslog and logging configurations of gunicorn's are reached by that, and so are loggers that users
have derived from it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gunicorn.glogging import Logger

from aserve.adapters import environ as environs
from aserve.adapters.hookrequest import HookRequest
from aserve.adapters.requesthooks import HookResponse
from aserve.serverlogger import LOGGER, ServerLogger

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange

_METHODS: Final = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "critical",
}


class IntoErrorLog(logging.Handler):
    """Passes records of our logger on to gunicorn's error log.

    Arguments: `log` is gunicorn's logger.
    """

    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record, by the method for its level: statsd counts their calls."""
        try:
            text = record.getMessage()
            if getattr(record, "verbatim", False) and self._write(text):
                return
            method = getattr(self._log, _METHODS.get(record.levelno, "error"))
            method("%s", text, exc_info=record.exc_info)
        except Exception:
            self.handleError(record)

    def _write(self, text: str) -> bool:
        """Write what the application has sent to `wsgi.errors` as it is; return whether that is possible."""
        written = False
        for handler in getattr(getattr(self._log, "error_log", None), "handlers", ()):
            if getattr(handler, "stream", None) is None:
                continue
            with handler.lock:
                handler.stream.write(f"{text}\n")
                handler.flush()
            written = True
        return written


def follow(log: Any) -> None:
    """Have our logger write to gunicorn's error log, unless a logging configuration has given it handlers."""
    logger = logging.getLogger(LOGGER)
    logger.__class__ = ServerLogger
    for handler in list(logger.handlers):
        if isinstance(handler, IntoErrorLog):
            logger.removeHandler(handler)
    if not logger.handlers:
        logger.addHandler(IntoErrorLog(log))
        logger.propagate = False
        logger.setLevel(log.error_log.level if hasattr(log, "error_log") else logging.INFO)


def is_wanted(log: Any, cfg: Any) -> bool:
    """Return whether anything comes of calls to `log.access`."""
    if type(log).access is not Logger.access:  # as that of statsd, which counts
        return True
    return bool(
        cfg.accesslog
        or cfg.logconfig
        or cfg.logconfig_dict
        or getattr(cfg, "logconfig_json", None)
        or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
    )


class AccessLog:
    """gunicorn's access log, as a service needs one.

    Arguments: `log` is gunicorn's logger (None: no line is wanted); `root_path` is the application's;
    `after` is called behind each exchange.
    """

    def __init__(self, log: Any, *, root_path: str, after: Callable[[], None]) -> None:
        self._log = log
        self._root_path = root_path
        self._after = after

    def log(self, exchange: Exchange) -> None:
        """Have the line of a finished exchange written."""
        if self._log is not None:
            try:
                self._access(exchange)
            except Exception:  # somebody's own logger, or format
                self._log.exception("the access log failed")
        self._after()

    def reopen(self) -> None:
        """Nothing: gunicorn's logger opens all of its files at once, see `reopen_logs` of the overseer."""

    def close(self) -> None:
        """Nothing: every line is written when it is made."""

    def _access(self, exchange: Exchange) -> None:
        environ = environs.template(
            exchange.connection, self._root_path, multithread=False, multiprocess=False
        )
        environs.fill(environ, exchange)
        elapsed = monotonic() - exchange.started if exchange.started else 0.0
        request = HookRequest(exchange)
        self._log.access(HookResponse(exchange), request, environ, timedelta(seconds=max(0.0, elapsed)))
