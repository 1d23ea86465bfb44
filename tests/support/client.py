"""Raw clients: bytes out, strictly read responses in; one for tests that block, one for asyncio.

Every wait ends after `TIMEOUT` seconds with an AssertionError, so that no test can hang. A client
used as a context manager also checks, when it leaves, that no bytes came that nobody has read.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from tests.support.wire import Incoming, Reading, Response, read_head, read_response

TIMEOUT = 15.0
"""Seconds that any single step of a client may take."""

Target = tuple[str, int] | str
"""Where to connect to: (host, port), or the path of a unix socket."""

_RECEIVE = 1 << 18


def request(
    method: str = "GET",
    target: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    *,
    version: str = "1.1",
) -> bytes:
    """Return the bytes of a request: with Host, and Content-Length if there is a body."""
    lines = [f"{method} {target} HTTP/{version}", "Host: test"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(*chunks: bytes, trailers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return `chunks` in the chunked coding, the last chunk and the trailers included."""
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    fields = [f"{name}: {value}\r\n".encode() for name, value in trailers]
    return b"".join([*parts, b"0\r\n", *fields, b"\r\n"])


class _Client:
    """What both clients share: the socket's set-up and the state of the reading."""

    def __init__(self, target: Target, *, receive_buffer: int | None = None) -> None:
        if isinstance(target, str):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._target = target
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:  # before connect, or the window is larger already
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if family is not socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming = Incoming()

    def half_close(self) -> None:
        """Say that no more bytes will be sent, and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def reset(self) -> None:
        """Close the connection with a TCP reset, as a process that is killed may do."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _received(self, data: bytes) -> None:
        if data:
            self.incoming.data += data
        else:
            self.incoming.end = "closed"

    def _check_read(self) -> None:
        unread = bytes(self.incoming.data[:500])
        assert not unread, f"bytes that belong to no response: {unread!r}"


class RawClient(_Client):
    """A blocking client. Connects when it is made; use it as a context manager."""

    def __init__(self, target: Target, *, receive_buffer: int | None = None) -> None:
        super().__init__(target, receive_buffer=receive_buffer)
        self.socket.settimeout(TIMEOUT)
        try:
            self.socket.connect(target)
        except OSError:
            self.socket.close()  # or some later test hears of it
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if error is None:
            self._check_read()

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self.socket.sendall(data)

    def read(self, method: str = "GET", version: str = "1.1") -> Response:
        """Read the whole response to a request with `method` and `version` (see wire.py)."""
        return self._drive(read_response(self.incoming, method, version))

    def read_head(self) -> Response:
        """Read one head (also an interim one), and leave what follows it."""
        return self._drive(read_head(self.incoming))

    def read_bytes(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        while len(self.incoming.data) < count:
            assert not self.incoming.end, f"{self.incoming.end}: {bytes(self.incoming.data)!r}"
            self._receive()
        return self.incoming.take(count)

    def read_until_closed(self) -> bytes:
        """Read until the server closes the connection; a reset is an error."""
        while not self.incoming.end:
            self._receive()
        assert self.incoming.end == "closed", f"reset; {bytes(self.incoming.data[:500])!r}"
        return self.incoming.take(len(self.incoming.data))

    def ask(self, data: bytes, method: str = "GET", version: str = "1.1") -> Response:
        """Send `data` and read a response."""
        self.send(data)
        return self.read(method, version)

    def _drive(self, reading: Reading) -> Response:
        try:
            while True:
                next(reading)
                self._receive()
        except StopIteration as stop:
            response: Response = stop.value
            return response

    def _receive(self) -> None:
        try:
            self._received(self.socket.recv(_RECEIVE))
        except ConnectionResetError:
            self.incoming.end = "reset"
        except TimeoutError:
            came = bytes(self.incoming.data[:500])
            raise AssertionError(f"nothing came for {TIMEOUT} s; unread: {came!r}") from None


class AsyncRawClient(_Client):
    """An asyncio client. Connects on `async with`."""

    async def __aenter__(self) -> Self:
        self.socket.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.sock_connect(self.socket, self._target), TIMEOUT)
        except BaseException:
            self.socket.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if error is None:
            self._check_read()

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        try:
            data = data[self.socket.send(data) :]
        except BlockingIOError:
            pass
        if data:
            loop = asyncio.get_running_loop()
            await asyncio.wait_for(loop.sock_sendall(self.socket, data), TIMEOUT)

    async def send_until_blocked(self, data: bytes, quiet: float = 0.5) -> int:
        """Send of `data` what the other side takes, until it takes nothing for `quiet` seconds.

        Returns the number of bytes that it took.
        """
        sent = 0
        idle_since = asyncio.get_running_loop().time()
        while sent < len(data):
            try:
                sent += self.socket.send(data[sent : sent + _RECEIVE])
                idle_since = asyncio.get_running_loop().time()
            except BlockingIOError:
                if asyncio.get_running_loop().time() - idle_since > quiet:
                    break
                await asyncio.sleep(0.01)
        return sent

    async def read(self, method: str = "GET", version: str = "1.1") -> Response:
        """Read the whole response to a request with `method` and `version` (see wire.py)."""
        return await self._drive(read_response(self.incoming, method, version))

    async def read_head(self) -> Response:
        """Read one head (also an interim one), and leave what follows it."""
        return await self._drive(read_head(self.incoming))

    async def read_bytes(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        while len(self.incoming.data) < count:
            assert not self.incoming.end, f"{self.incoming.end}: {bytes(self.incoming.data)!r}"
            await self._receive()
        return self.incoming.take(count)

    async def read_until_closed(self) -> bytes:
        """Read until the server closes the connection; a reset is an error."""
        while not self.incoming.end:
            await self._receive()
        assert self.incoming.end == "closed", f"reset; {bytes(self.incoming.data[:500])!r}"
        return self.incoming.take(len(self.incoming.data))

    async def ask(self, data: bytes, method: str = "GET", version: str = "1.1") -> Response:
        """Send `data` and read a response."""
        await self.send(data)
        return await self.read(method, version)

    async def _drive(self, reading: Reading) -> Response:
        try:
            while True:
                next(reading)
                await self._receive()
        except StopIteration as stop:
            response: Response = stop.value
            return response

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            try:
                data = self.socket.recv(_RECEIVE)
            except BlockingIOError:
                data = await asyncio.wait_for(loop.sock_recv(self.socket, _RECEIVE), TIMEOUT)
            self._received(data)
        except ConnectionResetError:
            self.incoming.end = "reset"
        except TimeoutError:
            came = bytes(self.incoming.data[:500])
            raise AssertionError(f"nothing came for {TIMEOUT} s; unread: {came!r}") from None
