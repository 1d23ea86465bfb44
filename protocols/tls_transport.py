"""TLS between a connection and its socket, once the handshake is complete.

To the connection it is a transport, to the loop's transport a protocol. Not the loops' own TLS: asyncio's
and uvloop's differ in what an end means, know no half-closed connections, and leave no room for what comes
before a handshake (plain HTTP, the PROXY protocol).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from aserve.protocols.tls_info import TLSInfo

if TYPE_CHECKING:
    from aserve.protocols.lingering import LingeringConnection

logger: Final = logging.getLogger("aserve")

# What one record holds at most (RFC 8446 §5.1): a read returns no more.
_RECORD: Final = 16 * 1024
# Bytes of TLS's own answers that wait for a client.
_MOST_ANSWERS: Final = 64 * 1024
# Bytes that are encrypted at a time: then it is looked whether the client keeps up, and nothing that a
# slow one may never take exists twice.
_SLICE: Final = 256 * 1024

_NOBODY: Final = asyncio.Protocol()

Buffer: TypeAlias = bytes | bytearray | memoryview


class TLSTransport(asyncio.Transport, asyncio.Protocol):
    """The transport of a connection whose bytes are encrypted.

    raw: the loop's transport, whose protocol this becomes. tls: its handshake is complete. incoming,
    outgoing: what `tls` reads from and writes to.

    There is a backlog only while the raw transport's buffer is full.
    """

    __slots__ = (
        "_backlog",
        "_backlog_size",
        "_closing",
        "_ended",
        "_full",
        "_incoming",
        "_info",
        "_loop",
        "_outgoing",
        "_paused",
        "_protocol",
        "_raw",
        "_shut",
        "_slow",
        "_tls",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        raw: asyncio.Transport,
        tls: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        self._loop = loop
        self._raw = raw
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._protocol: asyncio.Protocol = _NOBODY
        self._backlog: deque[memoryview] = deque()
        self._backlog_size = 0
        self._full = False  # the raw transport's buffer is
        self._slow = False  # the protocol was told so
        self._paused = False
        self._ended = False  # the client sends no more
        self._shut = False  # nor do we
        self._closing = False
        self._info: TLSInfo | None = None

    # What the loop's transport calls

    def data_received(self, data: bytes) -> None:
        if self._shut:
            # Whoever has sent its end only waits for the client's: all that counts is how much comes.
            self._protocol.data_received(data)
            return
        self._incoming.write(data)
        if not self._paused:
            self.read_on()

    def eof_received(self) -> bool:
        """The client has closed its side, with or without having said so before (RFC 8446 §6.1).

        Nothing that a request consists of ends with the connection, so that an end which somebody else
        has made up cannot pass for a request's.
        """
        if self._shut:
            return bool(self._protocol.eof_received())
        self.read_on()  # if something of it waits
        self._end()
        return not self._closing or bool(self._backlog)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = self._shut = True
        self._backlog.clear()
        self._backlog_size = 0
        protocol, self._protocol = self._protocol, _NOBODY
        protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._full = True
        if not self._slow:
            self._slow = True
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._full = False
        self._flush()
        self._send_on()
        if self._full:
            return
        self._slow = False
        if self._closing:
            self._finish()
        else:
            self._protocol.resume_writing()

    # Reading

    def read_on(self) -> None:
        """Give the protocol what has come and can be decrypted."""
        tls, incoming = self._tls, self._incoming
        while not self._paused and not self._closing and not self._shut:
            try:
                data = tls.read(_RECORD)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError as error:
                self._flush()  # OpenSSL says to the client as well what was wrong
                reason = reason_of(error)
                what = (
                    "the client has broken off TLS" if "alert" in reason else "what was received is not TLS"
                )
                self._break(f"{what}: {reason}")
                return
            if not data:
                self._end()
                break
            self._protocol.data_received(data)
            if not incoming.pending and not tls.pending():
                break
        if self._outgoing.pending:  # such as the answer to a new key
            self._answer()

    def pause_reading(self) -> None:
        self._paused = True
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        self._raw.resume_reading()
        if self._incoming.pending or self._tls.pending():
            self._loop.call_soon(self.read_on)

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def _end(self) -> None:
        """The client sends no more, which leaves the other direction alone."""
        if self._ended or self._closing:
            return
        self._ended = True
        if not self._protocol.eof_received():
            self.close()

    def _answer(self) -> None:
        """Send what TLS itself has to say; but nobody fills the memory with answers that he does not read."""
        if not self._full:
            self._flush()
        elif self._outgoing.pending > _MOST_ANSWERS:
            self._break("the client does not read what TLS answers")

    def _break(self, reason: str) -> None:
        """End the connection because of what its client does."""
        if not self._closing:
            logger.info("closed: %s client=%s", reason, cast("LingeringConnection", self._protocol).peer())
        self.abort()

    # Writing

    def write(self, data: Buffer) -> None:
        if self._closing or self._shut:
            return
        view = memoryview(data)
        if not view.nbytes:
            return
        if self._slow or view.nbytes > _SLICE:
            self._hold(view)
            self._send_on()
        elif self._encrypt(view):
            self._raw.write(self._outgoing.read())

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        self.write(b"".join(list_of_data))

    def _hold(self, view: memoryview) -> None:
        if not isinstance(view.obj, bytes):
            view = memoryview(bytes(view))  # it may change
        self._backlog.append(view)
        self._backlog_size += view.nbytes

    def _send_on(self) -> None:
        """Send what waits, as long as there is room for it."""
        while self._backlog and not self._full and not self._raw.is_closing():
            view = self._backlog.popleft()
            if view.nbytes > _SLICE:
                self._backlog.appendleft(view[_SLICE:])
                view = view[:_SLICE]
            self._backlog_size -= view.nbytes
            if self._encrypt(view):
                self._raw.write(self._outgoing.read())

    def _encrypt(self, view: memoryview) -> bool:
        try:
            written = self._tls.write(view)
            while written < view.nbytes:  # it may take a record at a time
                view = view[written:]
                written = self._tls.write(view)
        except ssl.SSLError:
            self.abort()
            return False
        return True

    def _flush(self) -> None:
        if self._outgoing.pending and not self._raw.is_closing() and not self._shut:
            self._raw.write(self._outgoing.read())

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Say that nothing more comes, and go on reading."""
        if self._shut or self._closing:
            return
        while self._backlog:  # all of it is to leave before
            view = self._backlog.popleft()
            if self._encrypt(view):
                self._flush()
        self._backlog_size = 0
        self._say_goodbye()
        if not self._raw.is_closing():
            self._raw.write_eof()

    def _say_goodbye(self) -> None:
        """Send close_notify: without, what was sent would count as cut off (RFC 8446 §6.1)."""
        if self._shut:
            return
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):  # the client's own has not come, as nearly always
            pass
        self._flush()
        self._shut = True

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size() + self._backlog_size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    # The end

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._backlog or self._raw.is_closing():
            self._finish()
        elif not self._paused:
            self._raw.pause_reading()

    def _finish(self) -> None:
        if not self._raw.is_closing():
            self._say_goodbye()
        self._raw.close()

    def abort(self) -> None:
        """End at once, and without close_notify, so that the client knows that something is missing."""
        self._closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._closing or self._raw.is_closing()

    # What is known of it

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`tls_info` is a `TLSInfo`, `ssl_object` what the standard library's transports have there."""
        if name == "tls_info":
            if self._info is None:
                self._info = TLSInfo.of(self._tls)
            return self._info
        if name == "ssl_object":
            return self._tls
        return self._raw.get_extra_info(name, default)


def reason_of(error: ssl.SSLError) -> str:
    """What OpenSSL says, in a line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()
