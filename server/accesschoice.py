"""What hooks and applications want of the access log by way of Python's loggers, unasked.

gunicorn and uvicorn write theirs through loggers, and a filter there is the usual way to keep health checks
out of it. Where there is one, each exchange costs a record; the lines are written as ever.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aserve.accesslog import let_go
from aserve.accesslogger import NAME, UVICORN, Records, asked, tell_failure
from aserve.logformat import compile_format
from aserve.serverlogger import ACCESS_NAMES

if TYPE_CHECKING:
    from aserve.accesslog import AccessLogs
    from aserve.overseer import AccessLog
    from aserve.protocols.exchange import Exchange


def choose(log: AccessLogs, format: str) -> AccessLog | None:
    """Return the access log as the loggers that it could have want it; None if it is not to be.

    Arguments: `log` is what the settings ask for; `format` as in `logformat.compile_format`.
    """
    own = _found(NAME)
    if own is not None and own.level > logging.INFO:
        log.close()
        return None
    asked = [each for each in map(_found, reversed(ACCESS_NAMES)) if each is not None and each.filters]
    handlers = own.handlers if own is not None else []
    return ChosenLog(log, format, asked, handlers) if asked or handlers else log


def _found(name: str) -> logging.Logger | None:
    """Return a logger if there is one."""
    found = logging.root.manager.loggerDict.get(name)
    return found if isinstance(found, logging.Logger) else None


class ChosenLog:
    """An access log without the exchanges that a filter does not want.

    Arguments: `log` gets the others, `format` is its; `loggers` are those whose filters are asked, each
    with a record as it would be its; `handlers` get the record as well.
    """

    def __init__(
        self, log: AccessLogs, format: str, loggers: list[logging.Logger], handlers: list[logging.Handler]
    ) -> None:
        self._log = log
        self._loggers = [(each, Records(each.name, format)) for each in loggers]
        self._handlers = handlers
        self._record = Records(NAME, format)
        self._line = compile_format(format)
        self._text = ""
        log.format_by(lambda _exchange: self._text)

    def log(self, exchange: Exchange) -> None:
        """Log a finished exchange. For the loop's thread."""
        self._text = ""
        try:
            wanted = self._pass(exchange)
        except Exception as error:  # what others have added
            tell_failure(error)
            wanted = True
        if not wanted:
            let_go(exchange)
            return
        if not self._text:
            self._text = self._line(exchange)
        self._log.log(exchange)

    def _pass(self, exchange: Exchange) -> bool:
        """Have the filters and handlers look at it; return whether its line is wanted."""
        record: logging.LogRecord | None = None
        for logger, record_of in self._loggers:
            # uvicorn's comes first, and says another thing; the others pass one on.
            record = asked(logger, record if record is not None else record_of(exchange))
            if record is None:
                return False
            if logger.name == UVICORN:
                record = None
        if record is None and self._handlers:
            record = self._record(exchange)
        if record is not None:
            self._text = f"{record.getMessage()}\n"
            for handler in self._handlers:
                if record.levelno >= handler.level:
                    handler.handle(record)
        return True

    def reopen(self) -> None:
        """Go on in the file that has the log's name now."""
        self._log.reopen()

    def close(self) -> None:
        """Write what is left."""
        for handler in self._handlers:
            handler.flush()
        self._log.close()
