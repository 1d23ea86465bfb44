"""The access log by way of Python's logging: for who has configured a logger for it.

A record is made for each finished exchange on the event loop, and the handlers of the user do their
work there: slow ones belong behind a `logging.handlers.QueueHandler`. Without such a configuration
accesslog.py writes, which is quicker and waits for nobody.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from aserve.logformat import NAMED, compile_format
from aserve.logvalues import GONE, escape
from aserve.serverlogger import LastingLogger

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange

NAME: Final = "aserve.access"
UVICORN: Final = "uvicorn.access"

_PLAIN_ATOMS: Final = tuple("hlutrmUqHsBbfaTMDLpw")
_NUMBERS: Final = ("B", "T", "M", "D")
_SEPARATOR: Final = "\x1f"
_WANTS_NUMBERS: Final = re.compile(r"%\([^()]*\)[-0-9.]*d")


class AccessLogger:
    """Passes finished exchanges to the logger `aserve.access`, as INFO.

    Arguments: `source` is the logger whose configuration holds for it; `format` as in `Records`.
    """

    def __init__(self, source: str, format: str) -> None:
        self._logger = logger()
        configured = logging.getLogger(source)
        self._source = configured if source != NAME else None
        if self._source is not None:
            self._logger.parent = configured
            self._logger.propagate = True
            self._logger.handlers.clear()
            self._logger.setLevel(logging.NOTSET)
        if not configured.level:
            self._logger.setLevel(logging.INFO)
        self._record = Records(source, format)

    @property
    def is_heard(self) -> bool:
        """Whether a line would reach a handler."""
        return self._logger.isEnabledFor(logging.INFO) and self._logger.hasHandlers()

    def log(self, exchange: Exchange) -> None:
        """Log a finished exchange. For the loop's thread."""
        made = self._record(exchange)
        try:
            # Filters of a parent are not asked by itself.
            record = made if self._source is None else asked(self._source, made)
            if record is not None:
                self._logger.handle(record)
        except Exception as error:
            tell_failure(error)

    def reopen(self) -> None:
        """Nothing: `aserve.logs.reopen` has done it for all files that are configured."""

    def close(self) -> None:
        """Have what handlers hold back written."""
        logger: logging.Logger | None = self._logger
        while logger is not None:
            for handler in logger.handlers:
                handler.flush()
            logger = logger.parent if logger.propagate else None


class Records:
    """Makes log records of finished exchanges.

    Arguments: `name` is the logger that they are for. For uvicorn's, they are as uvicorn makes them (a
    message with five arguments, which its formatters want), otherwise as gunicorn does: the message is
    `format` (as in `logformat.compile_format`), the arguments are its atoms. What has no atoms, such as
    JSON, is a message as it stands.
    """

    def __init__(self, name: str, format: str) -> None:
        self._name = name
        self._as_uvicorn = name == UVICORN
        self._format = (
            None if format == "json" or _WANTS_NUMBERS.search(format) else NAMED.get(format, format)
        )
        self._line = compile_format(format)
        self._atoms = _AtomFormats()

    def __call__(self, exchange: Exchange) -> logging.LogRecord:
        """Return the record of an exchange."""
        message = self._format
        args: tuple[object, ...]
        if self._as_uvicorn:
            client = exchange.connection.client if exchange.origin is None else exchange.origin.client
            message = '%s - "%s %s HTTP/%s" %d'
            args = (
                f"{client[0]}:{client[1]}" if client else "",
                escape(exchange.method),
                escape(exchange.target.decode("latin-1")),
                exchange.http_version,
                exchange.status or GONE,
            )
        else:
            if message is None:
                message = self._line(exchange)[:-1].replace("%", "%%")
            args = (Atoms(exchange, self._atoms),)
        return logging.LogRecord(self._name, logging.INFO, "(access)", 0, message, args, None)


def logger() -> logging.Logger:
    """Return the logger `aserve.access`, as one that an application's dictConfig does not silence."""
    found = logging.getLogger(NAME)
    if not isinstance(found, LastingLogger):
        found.__class__ = LastingLogger
    return found


def asked(logger: logging.Logger, record: logging.LogRecord) -> logging.LogRecord | None:
    """Return what the filters of a logger make of a record: that or another one, or None for none."""
    answer: object = logger.filter(record)  # from Python 3.12 on, the record
    if isinstance(answer, logging.LogRecord):
        return answer
    return record if answer else None


def tell_failure(error: Exception) -> None:
    """Have it told that a filter or handler has raised."""
    from aserve.serverlogger import tell_once  # needed next to never

    tell_once(NAME, f"a filter or handler of the access log failed: {error!r}")


class _AtomFormats(dict[str, "Callable[[Exchange], str]"]):
    """Atoms -> functions that give their text for an exchange; `plain` gives all those without a name."""

    def __init__(self) -> None:
        super().__init__()
        # Whatever comes from a client is escaped: no value has the separator.
        self.plain = compile_format(_SEPARATOR.join(f"%({atom})s" for atom in _PLAIN_ATOMS))

    def __missing__(self, atom: str) -> Callable[[Exchange], str]:
        made = self[atom] = compile_format(f"%({atom})s")
        return made


class Atoms(dict[str, Any]):
    """gunicorn's atoms of an exchange, escaped as in a line; those with a name when they are asked for.

    As in gunicorn, numbers are numbers (`B`, `T`, `D`, `M`), and `-` stands for what there is not.
    """

    def __init__(self, exchange: Exchange, formats: _AtomFormats) -> None:
        super().__init__(zip(_PLAIN_ATOMS, formats.plain(exchange)[:-1].split(_SEPARATOR), strict=True))
        for atom in _NUMBERS:
            self[atom] = int(self[atom])
        self._exchange = exchange
        self._formats = formats

    def __missing__(self, atom: str) -> str:
        try:
            return self._formats[atom](self._exchange)[:-1]
        except ValueError:
            return "-"

    def get(self, atom: str, default: Any = None) -> Any:
        """Return an atom, or `default` for what there is not."""
        if atom in self:
            return self[atom]
        text = self[atom]
        return default if text == "-" else text
