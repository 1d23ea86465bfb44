"""The class of the logger `aserve`: one that an application cannot silence, nor break the server by."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Final, Protocol

LOGGER: Final = "aserve"

ACCESS_NAMES: Final = ("aserve.access", "gunicorn.access", "uvicorn.access")
"""Loggers whose configuration holds for the access log; the first one that is configured counts."""


class Meter(Protocol):
    """Who counts what is logged, see statsd.py."""

    def logged(self, level: int, exception: bool) -> None:
        """Count a line of `level`, and whether it has an exception with it. From any thread."""

    def measured(self, extra: Mapping[str, object]) -> None:
        """Take what hooks say with a record: gunicorn's `metric`, `value` and `mtype`."""

    def leave(self) -> None:
        """Close what it has open: this process is another one than the one that measures with it."""


class LastingLogger(logging.Logger):
    """A logger that `disabled` does not silence.

    `logging.config.dictConfig` disables every logger that it is not told of, by default. That is
    an application's way to arrange its own loggers and must not cost the server's lines. Who wants
    another place or level for them can configure it there by its name.
    """

    @property
    def disabled(self) -> bool:
        """False, always."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass


class ServerLogger(LastingLogger):
    """The logger `aserve`, whose handlers cannot harm who logs.

    It has what hooks know of gunicorn's logger object, which is none of Python's.
    """

    meter: Meter | None = None

    record_name: str = LOGGER
    """What records are called: as the logger whose configuration holds for this one."""

    @property
    def error_log(self) -> logging.Logger:
        """Itself."""
        return self

    @property
    def access_log(self) -> logging.Logger:
        """The logger `aserve.access`, see accesschoice.py."""
        from aserve import accesslogger  # for the few hooks that ask for it

        return accesslogger.logger()

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802
        """Tell whether a record of `level` is of use: metrics are, whatever the level."""
        return self.meter is not None or super().isEnabledFor(level)

    def _log(
        self,
        level: int,
        msg: object,
        args: Any,
        exc_info: Any = None,
        extra: Mapping[str, object] | None = None,
        stack_info: bool = False,
        stacklevel: int = 1,
    ) -> None:
        if self.meter is not None:
            if extra is not None and "metric" in extra:
                self.meter.measured(extra)
                if not msg:
                    return  # gunicorn's way to say nothing but the metric
            if extra is None or not extra.get("verbatim"):
                self.meter.logged(level, bool(exc_info))
            if not super().isEnabledFor(level):
                return
        super()._log(level, msg, args, exc_info, extra, stack_info, stacklevel + 1)

    def makeRecord(self, name: str, *args: Any, **more: Any) -> logging.LogRecord:  # noqa: N802
        """Return a record by the name that a user's formatters and filters may look for."""
        return super().makeRecord(self.record_name, *args, **more)

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Have the record written, and go on if a handler of the user's raises."""
        try:
            super().callHandlers(record)
        except Exception as error:
            tell_once(repr(type(error)), f"a log handler failed: {error!r}")


_told: set[str] = set()


def tell_once(key: str, text: str) -> None:
    """Say on standard error, once for each `key`, what cannot be said in the log."""
    if key in _told:
        return
    _told.add(key)
    line = f"aserve: error: pid={os.getpid()} {' '.join(text.split())}; this is told once\n"
    try:
        os.write(2, line.encode("utf-8", "backslashreplace"))
    except OSError:
        pass


def logger() -> ServerLogger:
    """Return the logger `aserve`; it may have existed before: every module of ours takes it when imported."""
    found = logging.getLogger(LOGGER)
    if not isinstance(found, ServerLogger):
        found.__class__ = ServerLogger
    assert isinstance(found, ServerLogger)
    return found
