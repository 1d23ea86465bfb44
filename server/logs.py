"""The server's own log: the logger `aserve`, on standard error or in a file, or as the user configures it.

Its lines look like gunicorn's, and those about the life of the server are stable: see docs/logging.md.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Final

from aserve import identity
from aserve.errors import UsageError
from aserve.loghandler import ErrorLogHandler, exchange
from aserve.loglines import JSONFormatter, LineFormatter, wants_colours
from aserve.serverlogger import ACCESS_NAMES, ServerLogger, logger, tell_once
from aserve.streams import STANDARD_ERROR

if TYPE_CHECKING:
    from aserve.logconfig import Applied
    from aserve.options import Settings

OTHER_SERVERS: Final = ("gunicorn.error", "uvicorn")
"""Loggers that applications write to because the server that they come from handles them."""

_ACCESS_OF_OTHERS: Final = ACCESS_NAMES[1:]
_silent: Final = logging.NullHandler()

_configured: object = None
"""What this process, or the one that has forked it, logs by; see `_key`."""
_own: list[logging.Handler] = []
"""The handlers that are ours."""
_applied: Applied | None = None
"""What a configuration of the user's says of our loggers."""
_stood_in: list[str] = []
"""The loggers of other servers that lead to our handlers."""


def configure(settings: Settings, *, isolated: bool = True) -> ServerLogger:
    """Set up the logger `aserve` as the settings say and return it.

    Can be called again, for other settings: the old file is closed then. Call it before the first
    fork; the workers inherit it. Raises UsageError if the file cannot be written, or a configuration
    of logging is wrong; then the log is as it was before.

    Arguments: `isolated` says whether what a configuration of logging imports must leave no trace in
    this process, see footprint.py.
    """
    global _applied, _configured
    made = _handlers(settings)
    log = logger()
    old = list(_own)
    before = log.handlers[:], log.level, log.propagate, log.parent
    _leave_others()
    try:
        _applied = _apply(settings, isolated)
    except UsageError:
        for handler in made:
            _release(handler)
        log.handlers[:], level, log.propagate, log.parent = before
        log.setLevel(level)
        _stand_in_for_others(log)
        raise
    _own[:] = made
    for handler in log.handlers[:] if _applied is None or _applied.error != log.name else old:
        log.removeHandler(handler)
    if _applied is None or _applied.error is None or not _follow_user(log, _applied.error, settings):
        log.parent, log.record_name = logging.root, log.name
        log.propagate = False  # the application's root handlers would say everything twice
        log.setLevel(settings.log_level.upper())
        log.addHandler(made[0])
    for handler in made[1:]:
        log.addHandler(handler)
    for handler in old:
        _release(handler)
    _stand_in_for_others(log)
    _configured = _key(settings)
    return log


def follow(settings: Settings, *, isolated: bool = True) -> None:
    """Log as the settings say, which may be newer than those of the process that has forked this one.

    Arguments, and what it raises: as `configure`. A configuration of logging is applied in any case.
    """
    if _configured != _key(settings) or _has_configuration(settings):
        configure(settings, isolated=isolated)


def enter(settings: Settings) -> None:
    """Do that in a process that is about to load the application, and capture what it writes.

    Raises UsageError as `configure` does.
    """
    log = logger()
    if log.meter is not None:  # of the process that has forked this one
        log.meter.leave()
        log.meter = None
    follow(settings, isolated=False)
    if settings.capture_output:
        from aserve import capture  # only where it is wanted

        try:
            capture.begin(settings)
        except OSError as error:
            raise _refusal(settings, error) from error


def make_files(settings: Settings) -> None:
    """Make the files of this log and of the access log, for workers that may not be allowed to.

    Raises UsageError if one cannot be written, or a configuration of logging cannot be read.
    """
    if settings.error_logfile != "-":
        try:
            identity.make(settings.error_logfile, settings)
        except OSError as error:
            raise _refusal(settings, error) from error
    if settings.access_logfile is not None:
        from aserve import accesslog  # not loaded where there is none

        accesslog.check(settings)
    if _has_configuration(settings):
        from aserve import logconfig

        logconfig.check(settings)
        for handler in logconfig.file_handlers() if _applied is not None else ():
            try:
                identity.make(handler.baseFilename, settings)
            except OSError as error:
                raise UsageError(f"cannot write to {handler.baseFilename!r}: {error.strerror}") from error


def access_logger(settings: Settings) -> str | None:
    """Return the name of the logger that the access log goes through, if the user has configured one."""
    return _applied.access if _applied is not None and _has_configuration(settings) else None


def reopen(*, only_moved: bool = False) -> None:
    """Go on in the files that have the logs' names now: rotation has given others to the old files.

    Arguments: with `only_moved`, leave those alone of which that is not so.
    """
    log = logging.getLogger("aserve")
    for path, descriptor in _files():
        if only_moved and not _is_elsewhere(path, descriptor):
            continue
        try:
            exchange(path, descriptor)
            _reopen_captured(path)
        except OSError as error:
            log.error("cannot open %r again: %s; going on in the old file", path, error.strerror)


def _reopen_captured(path: str) -> None:
    capture = sys.modules.get("aserve.capture")
    if capture is not None:
        capture.reopen(path)


def _files() -> list[tuple[str, int]]:
    """The log files that this process has open: ours, and those that the user's configuration names."""
    found = [
        (handler.path, handler.descriptor)
        for handler in _own
        if isinstance(handler, ErrorLogHandler) and handler.path is not None and handler.descriptor >= 0
    ]
    if _applied is not None:
        from aserve import logconfig

        for handler in logconfig.file_handlers():
            if handler.stream is not None:  # opened already, and not closed again
                found.append((handler.baseFilename, handler.stream.fileno()))
    return found


def _is_elsewhere(path: str, descriptor: int) -> bool:
    try:
        there = os.stat(path)
    except OSError:
        return False
    return not os.path.samestat(there, os.fstat(descriptor))


def _key(settings: Settings) -> object:
    target = settings.error_logfile
    return (
        target if target == "-" else os.path.abspath(target),
        settings.log_level,
        settings.log_format,
        settings.log_colors,
        (settings.syslog, settings.syslog_addr, settings.syslog_facility, program(settings)),
        (settings.log_config, settings.log_config_json, settings.log_config_dict),
    )


def _has_configuration(settings: Settings) -> bool:
    return bool(settings.log_config or settings.log_config_json or settings.log_config_dict)


# -- our handlers -----------------------------------------------------------------------------


def _handlers(settings: Settings) -> list[logging.Handler]:
    """Make the handlers: the one of the file or of standard error, then that of syslog."""
    target = settings.error_logfile
    try:
        if target != "-":
            identity.make(target, settings)
        handler = ErrorLogHandler(None if target == "-" else target)
    except OSError as error:
        raise _refusal(settings, error) from error
    if settings.log_format == "json":
        handler.setFormatter(JSONFormatter())
    else:
        colours = target == "-" and wants_colours(settings.log_colors, STANDARD_ERROR)
        handler.setFormatter(LineFormatter(colours=colours))
    return [handler, _syslog_handler(settings)] if settings.syslog else [handler]


def _syslog_handler(settings: Settings) -> logging.Handler:
    from aserve import syslog  # only where it is wanted

    tag = syslog.program_name(program(settings), "error")
    handler = syslog.SyslogHandler(syslog.SyslogTarget(settings.syslog_addr, settings.syslog_facility, tag))
    handler.setFormatter(logging.Formatter("%(message)s"))  # the daemon has time, process and level
    return handler


def program(settings: Settings) -> str:
    """Return what syslog's program names are made of: a prefix that is set, or what the server is called."""
    return settings.syslog_prefix or settings.proc_name or settings.app


def _release(handler: logging.Handler) -> None:
    if isinstance(handler, ErrorLogHandler):
        handler.discard()
    else:
        handler.close()


def _refusal(settings: Settings, error: OSError) -> UsageError:
    return UsageError(
        f"--error-logfile: cannot write to {settings.error_logfile!r}: {error.strerror}: name a file in a "
        "folder that is there and writable"
    )


# -- the user's configuration -----------------------------------------------------------------


def _apply(settings: Settings, isolated: bool) -> Applied | None:
    if not _has_configuration(settings):
        return None
    from aserve import logconfig
    from aserve.footprint import Footprint, about_threads

    if not isolated:
        return logconfig.apply(settings)
    footprint = Footprint()
    with footprint.hook(settings):
        applied = logconfig.apply(settings)
    if footprint.threads:
        tell_once("threads", about_threads("the configuration of logging", footprint.threads))
    return applied


def _follow_user(log: ServerLogger, name: str, settings: Settings) -> bool:
    """Let what is configured for the logger `name` hold for ours; return whether anything hears it then.

    It is made the parent of ours, so that also what its own parents have holds.
    """
    source = logging.getLogger(name)
    log.record_name = name
    if source is not log:
        log.parent, log.propagate = source, True
        log.setLevel(logging.NOTSET)
        for each in source.filters:  # those of a parent are not asked
            log.addFilter(each)
    if not log.hasHandlers():
        return False
    if not _has_level(source):
        log.setLevel(settings.log_level.upper())
    for handler in _effective_handlers(log):
        _mind_failures(handler)
    return True


def _has_level(source: logging.Logger) -> bool:
    each: logging.Logger | None = source
    while each is not None and each is not logging.root:
        if each.level:
            return True
        each = each.parent if each.propagate else None
    return False


def _effective_handlers(log: logging.Logger) -> list[logging.Handler]:
    found: list[logging.Handler] = []
    each: logging.Logger | None = log
    while each is not None:
        found += each.handlers
        each = each.parent if each.propagate else None
    return found


def _mind_failures(handler: logging.Handler) -> None:
    """Have it told once if a handler of the user's cannot write: logging would do it for each line."""

    def handle_error(_record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        tell_once(f"{id(handler)}", f"the log handler {handler!r} failed: {error!r}")

    vars(handler)["handleError"] = handle_error  # of this one object


def _stand_in_for_others(log: ServerLogger) -> None:
    """Have what applications say to another server's logger in our log, unless the user configures that.

    FastAPI applications use `uvicorn.error`, Flask ones take the handlers of `gunicorn.error`. Those that
    give the first handler of `uvicorn.access` another format find one there, which writes nothing.
    """
    theirs = {name.partition(".")[0] for name in _applied.names} if _applied is not None else set()
    for name in OTHER_SERVERS:
        if name.partition(".")[0] not in theirs:
            other = logging.getLogger(name)
            other.handlers[:] = _effective_handlers(log)
            other.setLevel(log.getEffectiveLevel())
            other.propagate = False
            _stood_in.append(name)

    for name in _ACCESS_OF_OTHERS:
        if name.partition(".")[0] not in theirs and not logging.getLogger(name).handlers:
            logging.getLogger(name).addHandler(_silent)


def _leave_others() -> None:
    for name in _ACCESS_OF_OTHERS:
        logging.getLogger(name).removeHandler(_silent)
    for name in _stood_in:
        other = logging.getLogger(name)
        other.handlers.clear()
        other.setLevel(logging.NOTSET)
        other.propagate = True
    _stood_in.clear()
