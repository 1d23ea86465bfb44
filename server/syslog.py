"""Messages to a syslog daemon: over UDP, TCP, or a Unix socket (RFC 3164 §4, RFC 6587 §3.4.2).

They look as gunicorn's do: priority, program name, process and text, without time and host name, which
the daemon adds (RFC 3164 §4.3.3). Nothing here waits, unless it is asked to.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections import deque

# By name, not by module: see aserve.protocols.threads
from socket import AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM, getaddrinfo, socket
from typing import Any, Final, NamedTuple

from aserve.loghandler import is_writable

FACILITIES: Final = {
    "kern": 0,
    "user": 1,
    "mail": 2,
    "daemon": 3,
    "auth": 4,
    "security": 4,
    "syslog": 5,
    "lpr": 6,
    "news": 7,
    "uucp": 8,
    "cron": 9,
    "authpriv": 10,
    "ftp": 11,
    **{f"local{number}": 16 + number for number in range(8)},
}
"""Facilities by gunicorn's names, with their codes (RFC 3164 §4.1.1)."""

CRITICAL, ERROR, WARNING, INFO, DEBUG = 2, 3, 4, 6, 7
"""Severities (RFC 3164 §4.1.1) of the levels of logging."""

_PORT: Final = 514
_LARGEST: Final = 8192
"""Bytes of a message. Daemons take no more, as they are installed."""

_MOST_WAITING: Final = 1024 * 1024
"""Bytes of messages that wait for a daemon. More are refused."""

_PAUSE: Final = 1.0
"""Seconds between two attempts to reach a daemon that is not there."""

_NOT_YET: Final = (errno.EAGAIN, errno.ENOTCONN, errno.ENOBUFS)


class Address(NamedTuple):
    """Where a daemon listens: `path` of a Unix socket, or else `host` and `port`.

    kind is SOCK_DGRAM, SOCK_STREAM, or 0 for whichever of them the Unix socket is of.
    """

    kind: int
    path: str = ""
    host: str = ""
    port: int = 0


def parse_address(text: str) -> Address:
    """Return what an address says: udp://HOST:PORT, tcp://HOST:PORT or unix://PATH.

    As in gunicorn, `#dgram` or `#stream` may follow a path, a host may be an IPv6 address in brackets or
    left out (localhost), and so may the port (514). Raises ValueError, with a line that says what to write.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "unix":
        path, _, kind = rest.partition("#")
        if not path or kind not in ("", "dgram", "stream"):
            raise ValueError(f"{text!r} names no socket: write unix://PATH, unix://PATH#dgram or #stream")
        return Address({"": 0, "dgram": SOCK_DGRAM, "stream": SOCK_STREAM}[kind], path=path)
    if not separator or scheme not in ("udp", "tcp"):
        raise ValueError(
            f"{text!r} is no address of syslog: write udp://HOST:PORT, tcp://HOST:PORT or unix://PATH"
        )
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.partition(":")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ValueError(f"{text!r}: {port!r} is no port: write a number from 1 to 65535")
    kind_ = SOCK_DGRAM if scheme == "udp" else SOCK_STREAM
    return Address(kind_, host=host.lower() or "localhost", port=int(port or _PORT))


class SyslogTarget:
    """A daemon that takes messages.

    Arguments: `address` as in `parse_address`; `facility` is one of FACILITIES; `tag` the program name, as
    in `aserve.app.access`. Nothing is looked up or connected before the first message. What a process has
    opened is not used by those that it forks. Raises ValueError for an address that is none.
    """

    def __init__(self, address: str, facility: str, tag: str) -> None:
        self.name = address
        self._address = parse_address(address)
        self._facility = FACILITIES[facility] * 8
        self._tag = tag
        self._socket: socket | None = None
        self._stream = False
        self._to: Any = None
        """Where each datagram is sent, unless the socket is connected."""
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._sent = 0
        """How many bytes of the first one that waits have left."""
        self._pid = 0
        self._failure: OSError | None = None
        self._next_try = 0.0

    def send(self, text: str, severity: int = INFO) -> None:
        """Send a message as soon as the daemon takes it; never waits for that.

        Raises OSError if the daemon was not to be reached lately, or lets too much wait. The message is
        lost then; all others stay until they can be sent.
        """
        pid = os.getpid()
        if pid != self._pid:
            self._forget()
            self._pid = pid
        line = f"{self._tag}: [{pid}] {text}".encode("utf-8", "backslashreplace")
        message = b"<%d>%b" % (self._facility + severity, line[:_LARGEST])
        self._ready()
        if self._size + len(message) > _MOST_WAITING:
            raise OSError(errno.ENOBUFS, "the daemon takes messages too slowly")
        if self._stream:
            message = _one_line(message) + b"\n"
        self._waiting.append(message)
        self._size += len(message)
        self._push()

    def flush(self, timeout: float) -> None:
        """Wait until all messages have left, `timeout` seconds at most; raises OSError if they have not."""
        deadline = time.monotonic() + timeout
        while self._waiting:
            connection = self._ready()
            left = deadline - time.monotonic()
            if left <= 0 or not is_writable(connection.fileno(), left):
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            self._push()
            if self._failure is not None:
                raise self._failure

    def close(self) -> None:
        """Forget what still waits, and close the socket."""
        self._forget()

    def _ready(self) -> socket:
        if self._socket is None:
            now = time.monotonic()
            if self._failure is not None and now < self._next_try:
                raise self._failure
            try:
                self._socket = self._open()
                self._failure = None
            except OSError as error:
                self._failure, self._next_try = error, now + _PAUSE
                raise
        return self._socket

    def _open(self) -> socket:
        kind, path, host, port = self._address
        if path:
            for wanted in (kind,) if kind else (SOCK_DGRAM, SOCK_STREAM):
                try:
                    return self._connected(socket(AF_UNIX, wanted), path)
                except OSError as error:
                    if error.errno != errno.EPROTOTYPE or wanted == (kind or SOCK_STREAM):
                        raise
        found = getaddrinfo(host, port, type=kind)
        # Daemons that listen on one address only do that on IPv4, and UDP does not tell.
        family, _, _, _, to = min(found, key=lambda entry: entry[0] != AF_INET)
        if kind == SOCK_STREAM:
            return self._connected(socket(family, kind), to)
        self._stream, self._to = False, to
        datagrams = socket(family, kind)
        datagrams.setblocking(False)
        return datagrams

    def _connected(self, opened: socket, to: Any) -> socket:
        opened.setblocking(False)
        failure = opened.connect_ex(to)
        if failure not in (0, errno.EINPROGRESS):
            opened.close()
            raise OSError(failure, os.strerror(failure))
        self._stream, self._to = opened.type == SOCK_STREAM, None
        return opened

    def _push(self) -> None:
        again = True
        while self._waiting:
            message = self._waiting[0]
            try:
                connection = self._ready()
                if self._to is not None:
                    connection.sendto(message, self._to)
                    sent = len(message)
                else:
                    sent = self._sent + connection.send(memoryview(message)[self._sent :])
            except OSError as error:
                if error.errno in _NOT_YET and not (error.errno == errno.ENOTCONN and not self._stream):
                    return
                self._drop_socket()
                if error.errno == errno.EMSGSIZE:
                    self._done()
                elif again and not self._stream:  # the daemon has been started anew since the last one
                    again = False
                    continue
                self._failure, self._next_try = error, time.monotonic() + _PAUSE
                return  # for who comes next
            if sent < len(message):
                self._sent = sent
            else:
                self._done()

    def _done(self) -> None:
        self._size -= len(self._waiting.popleft())
        self._sent = 0

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._sent = 0  # a new connection begins with a whole message

    def _forget(self) -> None:
        self._drop_socket()
        self._waiting.clear()
        self._size = 0
        self._failure = None


class SyslogHandler(logging.Handler):
    """Sends records of logging to a daemon. That it cannot be reached is told once, by the other handlers.

    Arguments: `target` is where to; the handler closes it.
    """

    _SEVERITIES: Final = (
        (logging.CRITICAL, CRITICAL),
        (logging.ERROR, ERROR),
        (logging.WARNING, WARNING),
        (logging.INFO, INFO),
    )

    def __init__(self, target: SyslogTarget) -> None:
        super().__init__()
        self._target = target
        self._failing = False

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, without waiting."""
        severity = next((code for level, code in self._SEVERITIES if record.levelno >= level), DEBUG)
        try:
            self._target.send(self.format(record), severity)
        except OSError as error:
            if not self._failing:
                self._failing = True  # first: what follows comes here as well
                logging.getLogger("aserve").error(
                    "cannot log to syslog %s: %s; lines are lost until it works again",
                    self._target.name,
                    error.strerror,
                )
        except Exception:  # a mistake in a record's arguments is whose the record is
            self.handleError(record)
        else:
            self._failing = False

    def close(self) -> None:
        """Close the target; what has not left within a second is lost."""
        try:
            self._target.flush(1.0)
        except OSError:
            pass
        self._target.close()
        super().close()


def program_name(prefix: str, log: str) -> str:
    """Return the program name of a log, `aserve.PREFIX.LOG`, put together as gunicorn does.

    Arguments: `prefix` is the one that is set, or what the server is called; `log` is access or error.
    """
    return f"aserve.{prefix.replace(':', '.').replace(' ', '_')}.{log}"


def _one_line(message: bytes) -> bytes:
    """Return a message without what would end it in a stream, in the way of syslog daemons."""
    return message.replace(b"\0", b"#000").replace(b"\r", b"#015").replace(b"\n", b"#012")
