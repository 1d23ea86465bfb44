"""How records of the error log are written: as lines for people, or as JSON.

A line that begins with `[` is the beginning of a record, and nothing else begins so: whoever reads
the log by machine can rely on that, whatever clients have sent. See `LineFormatter`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from typing import Final

_FORMAT: Final = "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s"
_DATE_FORMAT: Final = "%Y-%m-%d %H:%M:%S %z"

# C0 but for tab and line feed, DEL, C1, what some take for line ends, and what turns the direction of text.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_RESET: Final = "\x1b[0m"
_COLOURS: Final = {
    logging.DEBUG: "\x1b[36m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}


class LineFormatter(logging.Formatter):
    r"""Time, process and level in front of each message, except for records marked as `verbatim`.

    A traceback or stacks stand below. Control characters are written as `\xNN`, and a further line
    that begins with `[` gets a space before it: an exception may say what a client has sent.

    Arguments: with `colours` the level has the one that people know it by.
    """

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__(_FORMAT, _DATE_FORMAT)
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        if getattr(record, "verbatim", False):
            return record.getMessage()
        text = harmless(super().format(record)).replace("\n[", "\n [")
        if self._colours and (colour := _COLOURS.get(record.levelno)):
            level = f"[{record.levelname}]"
            text = text.replace(level, f"[{colour}{record.levelname}{_RESET}]", 1)
        return text


class JSONFormatter(logging.Formatter):
    """A JSON object in one line for each record: docs/logging.md has its fields.

    What stands below a line for people is the field `details`. Everything beyond ASCII is escaped, so
    that no reader takes part of a text for the end of a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        message, _, details = record.getMessage().partition("\n")
        verbatim = getattr(record, "verbatim", False)
        if verbatim:
            message, details = record.getMessage(), ""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": message,
        }
        if record.exc_info and record.exc_info[0] is not None:
            kind = record.exc_info[0]
            module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
            fields["exception"] = f"{module}{kind.__qualname__}"
            details = "\n".join(filter(None, (details, self.formatException(record.exc_info))))
        if record.stack_info:
            details = "\n".join(filter(None, (details, self.formatStack(record.stack_info))))
        if details:
            fields["details"] = details
        if verbatim:
            fields["source"] = "wsgi.errors"
        return json.dumps(fields)


def harmless(text: str) -> str:
    r"""Return `text` with its control characters, except tab and line feed, as `\xNN` or `\uNNNN`."""
    return _CONTROL.sub(_escape, text.replace("\r\n", "\n"))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def wants_colours(choice: str, descriptor: int) -> bool:
    """Tell whether what is written to `descriptor` is to have colours.

    Arguments: `choice` is `on`, `off`, or `auto`: then for a terminal only, unless the environment
    says otherwise by NO_COLOR (https://no-color.org) or FORCE_COLOR, the first one first.
    """
    if choice != "auto":
        return choice == "on"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and os.isatty(descriptor)
