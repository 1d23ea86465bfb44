"""What hooks and applications want of the access log by way of Python's loggers, unasked.

gunicorn and uvicorn write theirs through loggers, and a filter there is the usual way to keep health checks
out of it. Where there is one, each exchange costs a record; the lines are written as ever.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aserve.accesslogger import NAME, Records, asked, tell_failure
from aserve.serverlogger import ACCESS_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from aserve.overseer import AccessLog
    from aserve.protocols.exchange import Exchange


def choose(log: AccessLog, format: str) -> AccessLog | None:
    """Return the access log as the loggers that it could have want it; None if it is not to be.

    Arguments: `log` is what the settings ask for; `format` as in `logformat.compile_format`.
    """
    own = _found(NAME)
    if own is not None and own.level > logging.INFO:
        log.close()
        return None
    filtering = [each for each in map(_found, ACCESS_NAMES) if each is not None and each.filters]
    if not filtering and (own is None or not own.handlers):
        return log
    return ChosenLog(log, format, filtering, own)


def _found(name: str) -> logging.Logger | None:
    """Return a logger if there is one."""
    found = logging.root.manager.loggerDict.get(name)
    return found if isinstance(found, logging.Logger) else None


class ChosenLog:
    """An access log without the exchanges that a filter does not want.

    Arguments: `log` gets the others; `format` is that of the records; `filtering` are the loggers whose
    filters are asked, each with a record as it would be its; `own` is the logger whose handlers get the
    record as well.
    """

    def __init__(
        self, log: AccessLog, format: str, filtering: list[logging.Logger], own: logging.Logger | None
    ) -> None:
        self._log = log
        self._into: Callable[[Exchange], None] = log.log
        self._filtering = [(each, Records(each.name, format)) for each in filtering if each is not own]
        self._own = own
        self._record = Records(NAME, format)

    def log(self, exchange: Exchange) -> None:
        """Log a finished exchange. For the loop's thread."""
        try:
            for logger, record_of in self._filtering:
                if asked(logger, record_of(exchange)) is None:
                    return
            if self._own is not None:
                record = asked(self._own, self._record(exchange))
                if record is None:
                    return
                for handler in self._own.handlers:
                    if record.levelno >= handler.level:
                        handler.handle(record)
        except Exception as error:  # what others have added
            tell_failure(error)
        self._into(exchange)

    def reopen(self) -> None:
        """Go on in the file that has the log's name now."""
        self._log.reopen()

    def close(self) -> None:
        """Write what is left."""
        for handler in self._own.handlers if self._own is not None else ():
            handler.flush()
        self._log.close()
