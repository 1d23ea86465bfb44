"""Frames (RFC 6455 §5): what comes is cut into messages, what is to be sent put into frames.

A message that has come whole, in one frame and one read, is taken here; everything else by wsproto,
see `unusual`. Both ways have to agree: the tests run with either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aserve.protocols.errors import WebSocketFailedError
from aserve.protocols.websocket.closing import INVALID_DATA
from aserve.protocols.websocket.masking import unmask
from aserve.protocols.websocket.unusual import UnusualFrames

if TYPE_CHECKING:
    from aserve.protocols.websocket.deflate import Deflate

# First bytes of frames that the server sends: the last of their message, and not compressed.
TEXT: Final = 0x81
BINARY: Final = 0x82
CLOSE: Final = 0x88
PING: Final = 0x89
PONG: Final = 0x8A
# Says that a message is compressed (RFC 7692 §6).
COMPRESSED: Final = 0x40

_SMALL_TEXT: Final = [bytes((TEXT, size)) for size in range(126)]
_SMALL_BINARY: Final = [bytes((BINARY, size)) for size in range(126)]

# Unusual frames that are taken at once: each costs many times its bytes, there may be tens of thousands of
# them in a read, and others want their turn.
MOST_UNUSUAL: Final = 64

_COMPRESSED: Final = (TEXT | COMPRESSED, BINARY | COMPRESSED)


class Sink(Protocol):
    """Who gets what has come.

    full: there is no room for a further message at present.
    """

    full: bool

    def on_text(self, text: str) -> None: ...

    def on_bytes(self, data: bytes) -> None: ...

    def on_ping(self, payload: bytes) -> None: ...

    def on_pong(self) -> None: ...

    def on_close(self, code: int, reason: str) -> None:
        """A Close frame: nothing that comes behind it is looked at."""


def head(first: int, size: int) -> bytes:
    """What stands before a payload of `size` bytes in a frame that begins with `first` (RFC 6455 §5.2)."""
    if size < 126:
        if first == TEXT:
            return _SMALL_TEXT[size]
        return _SMALL_BINARY[size] if first == BINARY else bytes((first, size))
    if size < 65536:
        return bytes((first, 126, size >> 8, size & 255))
    return bytes((first, 127)) + size.to_bytes(8, "big")


class FrameReader:
    """Takes what a client sends, and gives it to a `Sink` as messages and control frames.

    limit: bytes of a message, 0 for no limit. short: whether the short way may be used.
    waiting: bytes that are not looked at yet: `feed` goes on with them. closed: nothing is, any more.
    """

    __slots__ = ("_deflate", "_limit", "_short", "_sink", "_unusual", "closed", "waiting")

    def __init__(self, sink: Sink, *, limit: int, deflate: Deflate | None, short: bool = True) -> None:
        self._sink = sink
        self._limit = limit
        self._deflate = deflate
        self._short = short
        self._unusual: UnusualFrames | None = None
        self.waiting = b""
        self.closed = False

    def feed(self, data: bytes) -> None:
        """Take what has come, as far as the sink has room and others need not wait for long.

        Raises `WebSocketFailedError`.
        """
        if self.waiting:
            data = self.waiting + data
            self.waiting = b""
        at = 0
        end = len(data)
        unusual = 0
        while at < end:
            if self._sink.full or unusual == MOST_UNUSUAL:
                self.waiting = data[at:]
                return
            if self._unusual is None and self._short:
                before = at
                at = self._take_short(data, at)
                if at > before:
                    continue
            at = self._take_unusual(data, at)
            unusual += 1
            if self.closed:
                return

    def _take_short(self, data: bytes, at: int) -> int:
        """Take whole messages of `data` from `at` on; returns where anything else begins."""
        sink = self._sink
        end = len(data)
        while end - at > 5 and not sink.full:
            first = data[at]
            size = data[at + 1] - 128  # without the bit that says it is masked
            start = at + 6
            if size >= 126:
                if size == 126:
                    size = int.from_bytes(data[at + 2 : at + 4], "big")
                    start = at + 8
                else:
                    size = int.from_bytes(data[at + 2 : at + 10], "big")
                    start = at + 14
                if size < (126 if start == at + 8 else 65536):
                    break  # the shortest way to say it was not taken
            behind = start + size
            if size < 0 or behind > end or (self._limit and size > self._limit):
                break
            if first != TEXT and first != BINARY and (self._deflate is None or first not in _COMPRESSED):
                break
            payload = unmask(data[start:behind], data[start - 4 : start])
            at = behind
            if self._deflate is not None and first in _COMPRESSED:
                payload = self._deflate.expand(payload)
                first -= COMPRESSED
            if first == BINARY:
                sink.on_bytes(payload)
                continue
            try:
                text = str(payload, "utf-8")
            except UnicodeDecodeError:
                raise WebSocketFailedError(
                    INVALID_DATA, "a text message is not UTF-8", "RFC 6455 §8.1"
                ) from None
            sink.on_text(text)
        return at

    def _take_unusual(self, data: bytes, at: int) -> int:
        unusual = self._unusual
        if unusual is None:
            unusual = self._unusual = UnusualFrames(self._limit, self._deflate)
        at = unusual.feed(data, at, self._sink)
        if unusual.at_rest:
            self._unusual = None
        return at
