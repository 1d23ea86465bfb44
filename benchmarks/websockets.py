"""Load over WebSockets on 127.0.0.1: raw sockets and frames that were masked beforehand.

So that what the load costs, on a core of its own, limits no server; and so that nothing but the server's
frames is taken for an answer.
"""

import select
import socket
import struct
import time
from collections.abc import Generator
from types import TracebackType
from typing import Self

from benchmarks.checks import HOST, CheckError

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
AGREED = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
TIMEOUT = 5.0
BATCH = 50
# Close by a reset, not by a FIN: ten thousand connections in TIME-WAIT would occupy ports for a minute.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

MESSAGE = b"0123456789abcdef" * 2


def client_frame(text: bytes, mask: bytes = b"\x12\x34\x56\x78") -> bytes:
    """A text message of fewer than 126 bytes as a client sends it."""
    data = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
    return bytes((0x81, 0x80 | len(text))) + mask + data


def server_frame(text: bytes) -> bytes:
    """A text message of fewer than 126 bytes as a server sends it."""
    return bytes((0x81, len(text))) + text


class WebSockets:
    """Open WebSockets, closed at the end of a `with` block."""

    def __init__(self, port: int, path: bytes = b"/") -> None:
        self.port = port
        self.path = path
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self.sockets:
            connection.close()

    def open(self, count: int) -> int:
        """Open up to `count` more, and return how many the server has accepted.

        Ends early when it refuses one or does not answer: that is its limit.
        """
        before = len(self.sockets)
        while (missing := count - (len(self.sockets) - before)) > 0:
            if not self._open_batch(min(BATCH, missing)):
                break
        return len(self.sockets) - before

    def _open_batch(self, count: int) -> bool:
        batch = [socket.socket() for _ in range(count)]
        accepted = 0
        try:
            for connection in batch:
                connection.settimeout(TIMEOUT)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.connect((HOST, self.port))
                connection.sendall(HANDSHAKE % self.path)
            for connection in batch:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    data = connection.recv(4096)
                    if not data:
                        raise ConnectionError("closed before the answer")
                    head += data
                if not head.startswith(b"HTTP/1.1 101 ") or AGREED not in head:
                    raise ConnectionError("not accepted")
                accepted += 1
        except OSError:
            return False
        finally:
            for connection in batch[accepted:]:
                connection.close()
            self.sockets += batch[:accepted]
        return True

    def alive(self) -> int:
        """How many the server has not closed; pings do not count as that."""
        poll = select.poll()
        for connection in self.sockets:
            poll.register(connection, select.POLLHUP | select.POLLRDHUP)
        return len(self.sockets) - len(poll.poll(0))

    def answering(self, sample: int = 100) -> int:
        """Have some of them echo a message; return how many do not."""
        failed = 0
        for connection in self.sockets[:: max(1, len(self.sockets) // sample)]:
            try:
                connection.sendall(client_frame(MESSAGE))
                _read(connection, server_frame(MESSAGE))
            except OSError:
                failed += 1
        return failed


def _read(connection: socket.socket, wanted: bytes) -> None:
    """Read `wanted`; what the server has sent before, such as pings, may stand in front of it."""
    received = b""
    while not received.endswith(wanted):
        data = connection.recv(4096)
        if not data:
            raise ConnectionError("closed before the answer")
        received += data


def echo(port: int, connections: int, duration: float) -> Generator[int, None, None]:
    """Have each of some WebSockets always one message under way; yields 0 when they are open, then the count.

    Raises:
        CheckError: a message came back as another one, late, or not at all.
    """
    with WebSockets(port) as opened:
        if opened.open(connections) < connections:
            raise CheckError("a WebSocket was not accepted")
        yield 0
        yield _Ping(opened.sockets, client_frame(MESSAGE), server_frame(MESSAGE)).run(duration)


def broadcast(port: int, connections: int, duration: float) -> Generator[int, None, None]:
    """Have a message sent to all again and again: the next one when all have it; yields as `echo` does.

    Counted is each message that was delivered.

    Raises:
        CheckError: as for `echo`.
    """
    message, wanted = client_frame(MESSAGE), server_frame(MESSAGE)
    with WebSockets(port, b"/room") as opened:
        if opened.open(connections) < connections:
            raise CheckError("a WebSocket was not accepted")
        yield 0
        delivered = 0
        end = time.monotonic() + duration
        while time.monotonic() < end:
            opened.sockets[0].sendall(message)
            for connection in opened.sockets:
                _take(connection, wanted)
            delivered += connections
        yield delivered


def _take(connection: socket.socket, wanted: bytes) -> None:
    try:
        received = connection.recv(4096)
        while len(received) < len(wanted):
            data = connection.recv(4096)
            if not data:
                break
            received += data
    except OSError as error:
        raise CheckError(f"a message did not come: {error}") from error
    if received != wanted:
        raise CheckError(f"{received[:80]!r} came instead of the message")


class _Ping:
    """One message under way on each of some sockets."""

    def __init__(self, sockets: list[socket.socket], message: bytes, wanted: bytes) -> None:
        self.message = message
        self.wanted = wanted
        self.epoll = select.epoll()
        self.sockets = {connection.fileno(): connection for connection in sockets}
        for connection in sockets:
            connection.setblocking(False)
            self.epoll.register(connection, select.EPOLLIN)

    def run(self, duration: float) -> int:
        for connection in self.sockets.values():
            connection.send(self.message)
        count = 0
        end = time.monotonic() + duration
        with self.epoll:
            while time.monotonic() < end:
                events = self.epoll.poll(TIMEOUT)
                if not events:
                    raise CheckError("no message comes back")
                for fileno, _ in events:
                    connection = self.sockets[fileno]
                    received = connection.recv(4096)
                    if received != self.wanted:
                        raise CheckError(f"{received[:80]!r} came instead of the message")
                    connection.send(self.message)
                count += len(events)
        return count
