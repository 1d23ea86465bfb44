"""Thousands of keep-alive connections that do nothing, opened on 127.0.0.1 only."""

import resource
import select
import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from benchmarks.checks import HOST

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
BATCH = 50
TIMEOUT = 5.0
# Descriptors that this program and a server need for other things.
RESERVED = 200
# Close by a reset, not by a FIN: ten thousand connections in TIME-WAIT would occupy ports for a minute.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open descriptors to the hard one, for us and our servers; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


def bounded(wanted: int) -> int:
    """How many connections the descriptor limit allows, at most `wanted`."""
    return max(0, min(wanted, raise_descriptor_limit() - RESERVED))


class IdleConnections:
    """Opens connections that each had one request answered, and keeps them for a `with` block."""

    def __init__(self, port: int, answer: bytes) -> None:
        self.port = port
        self.answer = answer
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self.sockets:
            connection.close()

    def open(self, count: int) -> int:
        """Open up to `count` connections more, and return how many were answered.

        Ends early when the server refuses one or does not answer: that is its limit.
        """
        before = len(self.sockets)
        while (missing := count - (len(self.sockets) - before)) > 0:
            if not self._open_batch(min(BATCH, missing)):
                break
        return len(self.sockets) - before

    def _open_batch(self, count: int) -> bool:
        batch = [socket.socket() for _ in range(count)]
        answered = 0
        try:
            for connection in batch:
                connection.settimeout(TIMEOUT)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                connection.connect((HOST, self.port))
                connection.sendall(REQUEST)
            for connection in batch:
                self._read_answer(connection)
                answered += 1
        except OSError:
            return False
        finally:
            for connection in batch[answered:]:
                connection.close()
            self.sockets += batch[:answered]
        return True

    def _read_answer(self, connection: socket.socket) -> None:
        received = b""
        while not received.endswith(self.answer):
            data = connection.recv(4096)
            if not data:
                raise ConnectionError("closed before the answer")
            received += data

    def alive(self) -> int:
        """How many the server has not closed; what it sends unasked counts as closing."""
        poll = select.poll()
        for connection in self.sockets:
            poll.register(connection, select.POLLIN | select.POLLHUP)
        return len(self.sockets) - len(poll.poll(0))

    def answering(self, sample: int = 100) -> int:
        """Send one more request over some of the connections; return how many are not answered."""
        failed = 0
        step = max(1, len(self.sockets) // sample)
        chosen: Iterable[socket.socket] = self.sockets[::step]
        for connection in chosen:
            try:
                connection.sendall(REQUEST)
                self._read_answer(connection)
            except OSError:
                failed += 1
        return failed
