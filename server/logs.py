"""The server's own log: the logger `aserve`, on standard error or in a file.

Its lines look like gunicorn's, and those about the life of the server are stable: see docs/logging.md.
"""

from __future__ import annotations

import logging
import os
import sys
from os import close, open  # by name: see aserve.protocols.threads
from typing import Final

from aserve import identity
from aserve.errors import UsageError
from aserve.options import Settings

LOGGER: Final = "aserve"

_FORMAT: Final = "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s"
_DATE_FORMAT: Final = "%Y-%m-%d %H:%M:%S %z"

_configured: tuple[str, str] | None = None
"""Where and how much this process logs."""


class LineFormatter(logging.Formatter):
    """Time, process and level in front of each message, except for records marked as `verbatim`."""

    def __init__(self) -> None:
        super().__init__(_FORMAT, _DATE_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return record.getMessage() if getattr(record, "verbatim", False) else super().format(record)


class ServerLogger(logging.Logger):
    """A logger that `disabled` does not silence.

    `logging.config.dictConfig` disables every logger that it is not told of, by default. That is
    an application's way to arrange its own loggers and must not cost the server's lines. Who wants
    another place or level for them can configure `aserve` there by its name.
    """

    @property
    def disabled(self) -> bool:
        """False, always."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass


def configure(settings: Settings) -> logging.Logger:
    """Set up the logger `aserve` as the settings say and return it.

    Can be called again, for other settings: the old file is closed then. Call it before the first
    fork; the workers inherit it. Raises UsageError if the file cannot be written.
    """
    handler = _handler(settings)
    handler.setFormatter(LineFormatter())
    logger = logging.getLogger(LOGGER)
    # The logger may exist already: every module of ours takes it when it is imported.
    logger.__class__ = ServerLogger
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    logger.addHandler(handler)
    logger.setLevel(settings.log_level.upper())
    logger.propagate = False  # the application's root handlers would say everything twice
    return logger


def follow(settings: Settings) -> None:
    """Log as the settings say, which may be newer than those of the process that has forked this one.

    Raises UsageError if the file cannot be written.
    """
    if _configured != _wanted(settings):
        configure(settings)


def make_files(settings: Settings) -> None:
    """Make the files of this log and of the access log, for workers that may not be allowed to.

    Raises UsageError if one cannot be written.
    """
    if settings.error_logfile != "-":
        try:
            identity.make(settings.error_logfile, settings)
        except OSError as error:
            raise _refusal(settings, error) from error
    if settings.access_logfile is not None:
        from aserve import accesslog  # not loaded where there is none

        accesslog.check(settings)


def reopen(*, only_moved: bool = False) -> None:
    """Go on in the file that has the log's name now: rotation has given another one to the old file.

    Arguments: with `only_moved`, leave it alone unless that is so.
    """
    logger = logging.getLogger(LOGGER)
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            continue
        if handler.stream is None:  # closed by logging.config in an application; the next line opens it
            continue
        descriptor = handler.stream.fileno()
        if only_moved and not _is_elsewhere(handler.baseFilename, descriptor):
            continue
        try:
            exchange(handler.baseFilename, descriptor)
        except OSError as error:
            reason = error.strerror
            logger.error("cannot open %r again: %s; going on in the old file", handler.baseFilename, reason)


def exchange(path: str, descriptor: int) -> None:
    """Put the file at `path` in the place of the log file that is open as `descriptor`.

    In one step, so that who is just writing need not be asked. Raises OSError if it cannot be opened.
    """
    new = open_to_append(path)
    os.dup2(new, descriptor, inheritable=False)
    close(new)


def open_to_append(path: str) -> int:
    """Open a log file; return its descriptor.

    Each write of each process that has it open goes to its end, as a whole.
    """
    return open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def _is_elsewhere(path: str, descriptor: int) -> bool:
    try:
        there = os.stat(path)
    except OSError:
        return False
    return not os.path.samestat(there, os.fstat(descriptor))


def _wanted(settings: Settings) -> tuple[str, str]:
    target = settings.error_logfile
    return target if target == "-" else os.path.abspath(target), settings.log_level


def _handler(settings: Settings) -> logging.Handler:
    target = settings.error_logfile
    if target == "-":
        return logging.StreamHandler(sys.stderr)
    try:
        identity.make(target, settings)
        return logging.FileHandler(target, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise _refusal(settings, error) from error


def _refusal(settings: Settings, error: OSError) -> UsageError:
    return UsageError(
        f"--error-logfile: cannot write to {settings.error_logfile!r}: {error.strerror}: name a file in a "
        "folder that is there and writable"
    )
