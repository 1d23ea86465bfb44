"""Where the lines of the access log go: a file or standard output, a syslog daemon, the journal.

All of these may wait, so they are for a thread.
"""

from __future__ import annotations

import errno
import os
import socket as sockets
import stat
from os import close, write  # by name, as what follows: see aserve.protocols.threads
from select import PIPE_BUF
from socket import socket
from typing import Final, Protocol

from aserve.capture import standard_output
from aserve.errors import BootError
from aserve.loghandler import exchange, is_writable, open_to_append
from aserve.syslog import SyslogTarget

JOURNAL: Final = "journald"
"""What stands for the journal in place of a file's name."""

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"

WAIT: Final = 5.0
"""Seconds that a daemon has to take something, before that counts as a failure."""

_LARGEST_WRITE: Final = 1024 * 1024
_SEND_BUFFER: Final = 8 * 1024 * 1024
_BATCH: Final = 64


class Target(Protocol):
    """What takes lines. name: how messages call it. journal: whether it wants entries of a journal."""

    name: str
    journal: bool

    def write(self, lines: list[str]) -> None:
        """Write lines, each with its newline, and take from the list what was written, from its front.

        Raises OSError; the list has what was not written then.
        """

    def reopen(self) -> None:
        """Go on in what has the target's name now. Raises OSError if there is no such thing."""

    def close(self) -> None:
        """Write no more."""


def make_target(name: str) -> Target:
    """Return the target that --access-logfile names: "-", "journald", "journald:SOCKET", or a file.

    Raises BootError if the file cannot be opened.
    """
    if is_journal(name):
        return JournalTarget(name.partition(":")[2] or JOURNAL_SOCKET)
    return FileTarget(name)


def is_journal(name: str) -> bool:
    """Return whether that stands for the journal."""
    return name == JOURNAL or name.startswith(JOURNAL + ":")


class FileTarget:
    """A file that is appended to, or standard output for "-"; both may also be a pipe or a terminal.

    Raises BootError if the file cannot be opened.
    """

    journal = False

    def __init__(self, path: str) -> None:
        self._owned = path != "-"
        self.name = os.path.abspath(path) if self._owned else "standard output"
        try:
            self._fd = open_to_append(path) if self._owned else standard_output()
        except OSError as error:
            raise BootError(f"cannot write the access log {path!r}: {error.strerror}") from error
        self._at_once = _largest_write(self._fd)
        self._cut = False
        """A line has been written in part, and will be written again."""

    def write(self, lines: list[str]) -> None:
        """See `Target`. What is in one write stays together, among those of other processes as well."""
        data = "".join(lines).encode("utf-8", "backslashreplace")
        written = 0
        try:
            if self._cut:
                _write(self._fd, b"\n")
                self._cut = False
            for chunk in chunks(data, self._at_once):
                view = memoryview(chunk)
                while view:
                    count = _write(self._fd, view)
                    written += count
                    view = view[count:]
        except OSError:
            self._keep(lines, written)
            raise
        lines.clear()

    def reopen(self) -> None:
        """See `Target`. No line is lost, nor written to neither."""
        if self._owned and self._fd >= 0:
            exchange(self.name, self._fd)
            self._at_once = _largest_write(self._fd)

    def close(self) -> None:
        """See `Target`."""
        if self._owned and self._fd >= 0:
            close(self._fd)
            self._fd = -1

    def _keep(self, lines: list[str], written: int) -> None:
        """Keep the lines that are not among the bytes that were written."""
        done = 0
        for line in lines:
            size = len(line.encode("utf-8", "backslashreplace"))
            if size > written:
                break
            written -= size
            done += 1
        self._cut = self._cut or written > 0
        del lines[:done]


class SyslogLines:
    """A syslog daemon. Arguments: `target` is how to reach it."""

    journal = False

    def __init__(self, target: SyslogTarget) -> None:
        self._target = target
        self.name = target.name

    def write(self, lines: list[str]) -> None:
        """See `Target`."""
        while lines:
            batch = lines[:_BATCH]
            for count, line in enumerate(batch):
                try:
                    self._target.send(line.rstrip("\n"))
                except OSError:
                    del lines[:count]
                    raise
            del lines[: len(batch)]  # it has them now, and sends them when it can
            self._target.flush(WAIT)

    def reopen(self) -> None:
        """A daemon is found again by itself."""

    def close(self) -> None:
        """See `Target`."""
        self._target.close()


class JournalTarget:
    """The systemd journal, in its native protocol: a datagram of fields for each line.

    Arguments: `path` is its socket. It is connected to when there is something to write.
    Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
    """

    journal = True

    def __init__(self, path: str) -> None:
        self.name = f"journal {path}"
        self._path = path
        self._socket: socket | None = None

    def write(self, lines: list[str]) -> None:
        """See `Target`."""
        done = 0
        try:
            for line in lines:
                self._send(line.encode("utf-8", "backslashreplace"))
                done += 1
        except TimeoutError as error:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from error
        except OSError:
            self.reopen()
            raise
        finally:
            del lines[:done]

    def _send(self, entry: bytes) -> None:
        try:
            self._connected().send(entry)
        except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
            self.reopen()  # it has been started anew since the last one
            self._connected().send(entry)

    def _connected(self) -> socket:
        if self._socket is None:
            opened = socket(sockets.AF_UNIX, sockets.SOCK_DGRAM)
            try:
                opened.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _SEND_BUFFER)
                opened.settimeout(WAIT)
                opened.connect(self._path)
            except OSError:
                opened.close()
                raise
            self._socket = opened
        return self._socket

    def reopen(self) -> None:
        """See `Target`; never raises."""
        self.close()

    def close(self) -> None:
        """See `Target`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def chunks(data: bytes, size: int) -> list[bytes]:
    """Return lines in pieces of whole lines, each of at most `size` bytes unless one line is longer."""
    pieces, start = [], 0
    while len(data) - start > size:
        end = data.rfind(b"\n", start, start + size) + 1 or data.find(b"\n", start + size) + 1
        pieces.append(data[start:end])
        start = end
    if start < len(data):
        pieces.append(data[start:])
    return pieces


def _largest_write(fd: int) -> int:
    """Return how many bytes of one worker stay together among those of the others.

    Pipes mix the writes of several processes if they are longer than PIPE_BUF: pipe(7).
    """
    try:
        regular = stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:  # standard output is closed: the first write will tell
        regular = False
    return _LARGEST_WRITE if regular else PIPE_BUF


def _write(fd: int, data: memoryview | bytes) -> int:
    while True:
        try:
            return write(fd, data)
        except BlockingIOError:
            # Standard output is shared with whoever started us, who may have made it non-blocking.
            is_writable(fd, None)
