"""A raw WebSocket client: frames as bytes, strictly read; it can send what no library would."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass

from tests.support.client import AsyncRawClient, request
from tests.support.wire import Response

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455 §1.3."""

HANDSHAKE = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
)


def handshake(
    target: str = "/", *more: tuple[str, str], without: Iterable[str] = (), method: str = "GET"
) -> bytes:
    """Return a request for a WebSocket with more headers, or without some of the usual ones."""
    return request(method, target, [*(field for field in HANDSHAKE if field[0] not in without), *more])


def accept_of(key: str) -> str:
    """Return the Sec-WebSocket-Accept that belongs to a key (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


def masked(data: bytes, mask: bytes) -> bytes:
    """Return `data` XORed with `mask`, the slow and obvious way."""
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    mask: bytes | None = None,
    length: int | None = None,
    size_bytes: int | None = None,
    plain: bool = False,
) -> bytes:
    """Return a client's frame.

    Arguments: `reserved` are the three bits, 4 the one for compression; `length` is announced instead
    of the payload's own, in `size_bytes` bytes (0, 2 or 8) instead of as few as possible; `plain` leaves
    out the mask.
    """
    length = len(payload) if length is None else length
    if size_bytes is None:
        size_bytes = 0 if length < 126 else 2 if length < 65536 else 8
    short = length if size_bytes == 0 else 126 if size_bytes == 2 else 127
    head = bytes((final << 7 | reserved << 4 | opcode, (not plain) << 7 | short))
    head += length.to_bytes(size_bytes, "big") if size_bytes else b""
    if plain:
        return head + payload
    mask = os.urandom(4) if mask is None else mask
    return head + mask + masked(payload, mask)


def closing(code: int, reason: str = "") -> bytes:
    """Return a client's Close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


@dataclass(frozen=True)
class Frame:
    """A server's frame."""

    opcode: int
    payload: bytes
    final: bool = True
    reserved: int = 0

    @property
    def text(self) -> str:
        """The payload as text."""
        return self.payload.decode()


class WebSocketClient(AsyncRawClient):
    """A raw client that can speak WebSocket."""

    async def open(self, target: str = "/", *more: tuple[str, str], behind: bytes = b"") -> Response:
        """Ask for a WebSocket and return the response, which has to agree; `behind` is sent at once."""
        await self.send(handshake(target, *more) + behind)
        response = await self.read_head()
        assert response.status == 101, response
        assert response.header("sec-websocket-accept") == accept_of(KEY)
        assert (response.header("upgrade"), response.connection) == ("websocket", {"upgrade"})
        return response

    async def read_frame(self) -> Frame:
        """Read a frame; raises AssertionError for one that no server may send (RFC 6455 §5)."""
        first, second = await self.read_bytes(2)
        assert second < 128, "a server's frame is masked"
        length = second
        if second == 126:
            length = int.from_bytes(await self.read_bytes(2), "big")
            assert length > 125
        elif second == 127:
            length = int.from_bytes(await self.read_bytes(8), "big")
            assert length > 65535
        found = Frame(first & 15, await self.read_bytes(length), first >= 128, first >> 4 & 7)
        assert found.opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        assert found.opcode < 8 or (length < 126 and found.final)
        return found

    async def ask_text(self, text: str) -> str:
        """Send a text message and return the one that comes back."""
        await self.send(frame(TEXT, text.encode()))
        answer = await self.read_frame()
        assert (answer.opcode, answer.final, answer.reserved) == (TEXT, True, 0)
        return answer.text

    async def read_close(self) -> tuple[int, str]:
        """Read a Close frame, which has to be next, and return code (1005 for none) and reason."""
        found = await self.read_frame()
        assert found.opcode == CLOSE, found
        if not found.payload:
            return 1005, ""
        return int.from_bytes(found.payload[:2], "big"), found.payload[2:].decode()

    def abandon(self) -> None:
        """Reset the connection; what has come on it is of no interest."""
        self.reset()
        self.incoming.data.clear()

    async def read_end(self) -> tuple[int, str]:
        """Read a Close frame and the connection's end behind it."""
        found = await self.read_close()
        assert await self.read_until_closed() == b""
        return found
