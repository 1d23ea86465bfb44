"""Where the error log is written: a file or standard error, by descriptor, and never at the server's cost.

A full disk, or a reader of standard error that has gone, loses lines but nothing else: it is told once
where it can be told, and when the log works again it says how many are missing.
"""

from __future__ import annotations

import errno
import logging
import os
from os import close, dup, open, write  # by name, as what follows: see aserve.protocols.threads
from select import POLLOUT, poll
from typing import Final

from aserve.streams import STANDARD_ERROR, stream

PATIENCE: Final = 1.0
"""Seconds that a line waits for a reader of a non-blocking descriptor, unless one has waited in vain."""


class ErrorLogHandler(logging.Handler):
    """Writes each record at once, and as a whole.

    Arguments: `path` names a file to append to; None is standard error. Raises OSError if the file
    cannot be opened.
    """

    def __init__(self, path: str | None) -> None:
        super().__init__()
        self.path = None if path is None else os.path.abspath(path)
        self.descriptor = STANDARD_ERROR if self.path is None else open_to_append(self.path)
        self._lost = 0
        self._reason = ""
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; whatever goes wrong, the caller goes on."""
        try:
            text = self.format(record)
        except Exception as error:  # arguments that do not fit the message, mostly of a hook
            text = self.format(_record(logging.ERROR, "a log record cannot be formatted: %r", error))
        self._put(text)

    def reopen(self) -> None:
        """Go on in the file that has the name now. Raises OSError if it cannot be opened."""
        if self.path is not None:
            exchange(self.path, self.descriptor)

    def discard(self) -> None:
        """Close the file. `close` does not: `logging.config` closes all handlers that there are."""
        self.close()
        if self.path is not None and self.descriptor >= 0:
            close(self.descriptor)
            self.descriptor = -1

    def _put(self, text: str) -> None:
        data = f"{text}\n".encode("utf-8", "backslashreplace")
        if self._lost:
            lines = f"{self._lost} line{'s' * (self._lost != 1)}"
            notice = self.format(_record(logging.ERROR, "%s missing in this log: %s", lines, self._reason))
            torn = b"\n" if self._torn else b""
            data = torn + f"{notice}\n".encode("utf-8", "backslashreplace") + data
        written = 0
        try:
            while written < len(data):
                try:
                    written += write(self.descriptor, data[written:] if written else data)
                except BlockingIOError:
                    if not is_writable(self.descriptor, 0.0 if self._lost else PATIENCE):
                        raise OSError(errno.EAGAIN, "nobody reads it") from None
        except OSError as error:
            self._torn = self._torn or written > 0
            self._lose(error.strerror or str(error))
        else:
            self._lost, self._torn = 0, False

    def _lose(self, reason: str) -> None:
        self._lost += 1
        self._reason = reason
        if self._lost == 1 and self.path is not None:
            text = (
                f"aserve: error: pid={os.getpid()} cannot write to the error log {self.path!r}: {reason}; "
                "lines are lost until it works again\n"
            )
            try:
                write(STANDARD_ERROR, text.encode("utf-8", "backslashreplace"))
            except OSError:
                pass  # then there is nobody to be told


def open_to_append(path: str) -> int:
    """Open a log file; return its descriptor.

    Each write of each process that has it open goes to its end, as a whole.
    """
    if (standard := stream(path)) is not None:
        return dup(standard)
    return open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def exchange(path: str, descriptor: int) -> None:
    """Put the file at `path` in the place of the log file that is open as `descriptor`.

    In one step, so that who is just writing need not be asked. Raises OSError if it cannot be opened.
    """
    new = open_to_append(path)
    os.dup2(new, descriptor, inheritable=False)
    close(new)


def is_writable(descriptor: int, seconds: float | None) -> bool:
    """Wait until a descriptor takes something, or a write tells why not; return whether that is so.

    Arguments: `seconds` is how long to wait at most, None for ever. (select(2) knows no descriptor
    beyond 1023, and a worker may have many connections.)
    """
    poller = poll()
    poller.register(descriptor, POLLOUT)
    return bool(poller.poll(None if seconds is None else seconds * 1000))


def _record(level: int, message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("aserve", level, "", 0, message, args, None)
