"""Metrics on their way to a statsd server: gathered, and sent in few datagrams that nobody waits for.

The format is that of statsd with DogStatsD's tags, a metric per line, several in a datagram
(https://github.com/statsd/statsd/blob/master/docs/metric_types.md,
https://docs.datadoghq.com/developers/dogstatsd/datagram_shell).
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import time
from collections.abc import Callable
from os import close, read, write  # by name, as what follows: see aserve.protocols.threads
from signal import SIGKILL
from socket import AF_INET, AF_UNIX, AI_NUMERICHOST, SOCK_DGRAM, getaddrinfo, socket
from typing import Any, Final, Protocol, TypeAlias

from aserve.protocols.threads import start_new_thread

Address: TypeAlias = "tuple[str, int] | str"
"""Host and port, or the path of a Unix socket."""

LARGEST_UDP: Final = 1432
"""Bytes of a datagram that crosses an Ethernet in one piece, with the headers of IPv6."""
LARGEST_UNIX: Final = 8192

MOST_VALUES: Final = 10_000
"""Values of timers and histograms that may wait to be sent; more are lost."""
MOST_DATAGRAMS: Final = 64
"""Datagrams that may wait for a server that takes them slowly; what comes after them is lost."""

RETRY_INTERVAL: Final = 30.0
"""Seconds until a host name is looked up again that was not found."""

_LONGEST_ANSWER: Final = 4096
_LATER: Final = (errno.EAGAIN, errno.ENOBUFS)

_log = logging.getLogger("aserve")

_known: dict[Address, Any] = {}
"""What was found for a host; what the supervisor has found is known to the workers that it forks."""


class Lookup(Protocol):
    """A host name that is being looked up."""

    def result(self) -> Any:
        """Return family and address, an OSError, or None as long as it lasts."""

    def cancel(self) -> None:
        """Nobody wants to know any more."""


class Client:
    """Gathers metrics and sends them.

    Nothing here waits: not for a host name, which `lookup` looks up elsewhere, nor for a server that is
    slow. That metrics are lost is told once. One thread only.

    Arguments: `prefix` comes before every name and `tags` (with commas) behind every metric, as
    gunicorn has them.
    """

    def __init__(
        self, address: Address, prefix: str, tags: str, lookup: Callable[[str, int], Lookup]
    ) -> None:
        self._address = address
        # gunicorn's rule: one dot, if there is a prefix at all
        self._prefix = re.sub(r"^(.+[^.]+)\.*$", "\\g<1>.", prefix)
        self._tags = f"|#{tags}" if tags else ""
        self._start_lookup = lookup
        self._lookup: Lookup | None = None
        self._next_lookup = 0.0
        self._socket: socket | None = None
        self._told = False
        self._counters: dict[str, float] = {}
        self._gauges: dict[str, float] = {}
        self._values: list[tuple[str, float, str]] = []
        self._unsent: list[bytes] = []

    @property
    def waiting(self) -> bool:
        """Is there something to send?"""
        return bool(self._counters or self._gauges or self._values or self._unsent)

    def count(self, name: str, number: float = 1) -> None:
        """Add to a counter."""
        self._counters[name] = self._counters.get(name, 0) + number

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        self._gauges[name] = value

    def value(self, name: str, value: float, kind: str) -> None:
        """Take a value of which each counts; `kind` is `ms` for a timer, `h` for a histogram."""
        if len(self._values) < MOST_VALUES:
            self._values.append((name, value, kind))

    def flush(self) -> None:
        """Send what there is, as far as that goes without waiting."""
        if not self.waiting:
            return
        try:
            connection = self._connected()
        except OSError as error:
            self._drop(error)
            return
        if connection is None:
            return
        for datagram in self._datagrams():
            self._send(connection, datagram)

    def close(self) -> None:
        """Send what there is, and close the socket."""
        self.flush()
        self.discard()

    def discard(self) -> None:
        """Close the socket, and forget about a host name that is being looked up."""
        if self._lookup is not None:
            self._lookup.cancel()
            self._lookup = None
        self._disconnect()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # -- datagrams ----------------------------------------------------------------------------

    def _datagrams(self) -> list[bytes]:
        """Return what is to be sent, what was not taken the last time first."""
        counters, self._counters = self._counters, {}
        gauges, self._gauges = self._gauges, {}
        values, self._values = self._values, []
        found, self._unsent = self._unsent, []
        lines = [f"{name}:{_number(number)}|c|@1.0" for name, number in counters.items()]
        lines += [f"{name}:{_number(value)}|g" for name, value in gauges.items()]
        lines += [f"{name}:{_number(value)}|{kind}" for name, value, kind in values]
        most = LARGEST_UNIX if isinstance(self._address, str) else LARGEST_UDP
        parts: list[str] = []
        size = 0
        for line in lines:
            whole = f"{self._prefix}{line}{self._tags}"
            if parts and size + 1 + len(whole) > most:
                found.append("\n".join(parts).encode())
                parts, size = [], -1
            parts.append(whole)
            size += 1 + len(whole)
        if parts:
            found.append("\n".join(parts).encode())
        return found

    def _send(self, connection: socket, datagram: bytes) -> None:
        if self._unsent:
            error: OSError | None = OSError(errno.EAGAIN, "")  # in their order
        else:
            error = _sent(connection, datagram)
            if error is not None and error.errno == errno.ECONNREFUSED:
                # Nobody was there when an earlier one came; somebody may be by now.
                self._tell(error)
                error = _sent(connection, datagram)
        if error is None:
            return
        if error.errno in _LATER:
            if len(self._unsent) < MOST_DATAGRAMS:
                self._unsent.append(datagram)
            else:
                self._tell(OSError(errno.ENOBUFS, "it takes them too slowly"))
        else:
            self._tell(error)
            if error.errno != errno.EMSGSIZE:
                self._disconnect()  # a Unix socket that is made anew is another one

    # -- where to -----------------------------------------------------------------------------

    def _connected(self) -> socket | None:
        """Return the socket, or None as long as it is not known where to send. Raises OSError."""
        if self._socket is None:
            if isinstance(self._address, str):
                found: Any = (AF_UNIX, self._address)
            elif (found := self._found(*self._address)) is None:
                return None
            family, to = found
            made = socket(family, SOCK_DGRAM)
            made.setblocking(False)
            try:
                made.connect(to)
            except OSError:
                made.close()
                raise
            self._socket = made
        return self._socket

    def _found(self, host: str, port: int) -> Any:
        if (host, port) in _known:
            return _known[host, port]
        with contextlib.suppress(OSError):
            return _first(getaddrinfo(_numeric(host), port, type=SOCK_DGRAM, flags=AI_NUMERICHOST))
        if self._lookup is None:
            if time.monotonic() < self._next_lookup:
                raise OSError(errno.EHOSTUNREACH, "the host is not known")
            self._lookup = self._start_lookup(host, port)
        found = self._lookup.result()
        if isinstance(found, OSError):
            self._lookup, self._next_lookup = None, time.monotonic() + RETRY_INTERVAL
            raise found
        if found is not None:
            self._lookup, _known[host, port] = None, found
        return found

    def _drop(self, error: OSError) -> None:
        """Lose what there is: later it would be counted for a time when it did not happen."""
        self._counters, self._gauges, self._values, self._unsent = {}, {}, [], []
        self._tell(error)

    def _tell(self, error: OSError) -> None:
        if not self._told:
            self._told = True  # first: what is logged is counted
            where = self._address if isinstance(self._address, str) else "{}:{}".format(*self._address)
            _log.warning(
                "statsd: cannot send to %s: %s; metrics are lost until it works", where, error.strerror
            )


def forget(address: Address) -> None:
    """Have a host looked up anew."""
    _known.pop(address, None)


def _sent(connection: socket, datagram: bytes) -> OSError | None:
    try:
        connection.send(datagram)
    except OSError as error:
        return error
    return None


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}".rstrip("0").rstrip(".")


def _numeric(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def _first(found: list[Any]) -> Any:
    # Servers that listen on one address only do that on IPv4, and UDP does not tell.
    family, _, _, _, to = min(found, key=lambda entry: entry[0] != AF_INET)
    return family, to


def _look_up(host: str, port: int) -> Any:
    """Return family and address, or an OSError."""
    try:
        return _first(getaddrinfo(host, port, type=SOCK_DGRAM))
    except OSError as error:
        return error
    except UnicodeError as error:
        return OSError(errno.EINVAL, str(error))


class ThreadLookup:
    """Looks a host name up in a thread: for workers."""

    def __init__(self, host: str, port: int) -> None:
        self._found: Any = None
        start_new_thread(self._work, (host, port))

    def result(self) -> Any:
        """Return what is found, see Lookup."""
        return self._found

    def cancel(self) -> None:
        """Nothing: the thread ends by itself."""

    def _work(self, host: str, port: int) -> None:
        self._found = _look_up(host, port)


class ForkLookup:
    """Looks a host name up in a process of its own: for the supervisor, which must have no threads."""

    def __init__(self, host: str, port: int) -> None:
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                # A listening socket that it held would outlive the server.
                os.closerange(3, writer)
                os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
                found = _look_up(host, port)
                failed = isinstance(found, OSError)
                answer = {"error": found.strerror} if failed else {"family": int(found[0]), "to": found[1]}
                write(writer, json.dumps(answer).encode())
            finally:
                os._exit(0)
        close(writer)
        os.set_blocking(reader, False)
        self._pid = pid
        self._parent = os.getpid()
        self._reader = reader

    def result(self) -> Any:
        """Return what is found, see Lookup; to be called until there is something."""
        try:
            answer = read(self._reader, _LONGEST_ANSWER)
        except BlockingIOError:
            return None
        self._end()
        try:
            found = json.loads(answer)
        except ValueError:
            return OSError(errno.EIO, "it cannot be looked up")
        if "error" in found:
            return OSError(errno.EHOSTUNREACH, found["error"])
        return found["family"], tuple(found["to"])

    def cancel(self) -> None:
        """End the process."""
        if os.getpid() == self._parent:
            with contextlib.suppress(ChildProcessError):  # then its pid may be another's by now
                if os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                    os.kill(self._pid, SIGKILL)
        self._end()

    def _end(self) -> None:
        close(self._reader)
        with contextlib.suppress(ChildProcessError):  # with --preload others collect it
            os.waitpid(self._pid, 0)
