"""What a client says first in a TLS handshake, as far as OpenSSL cannot be asked for it (RFC 8446 §4.1.2).

`ssl` leaves a client that offers only protocols which are not spoken here without an answer to that, and
goes on; RFC 7301 §3.2 wants the handshake to end.
"""

from __future__ import annotations

from typing import Final

HANDSHAKE: Final = 22
"""The type of the records that a TLS connection begins with (RFC 8446 §5.1)."""

NO_APPLICATION_PROTOCOL: Final = bytes((21, 3, 3, 0, 2, 2, 120))
"""The fatal alert, as a record (RFC 7301 §3.2)."""

LONGEST: Final = 2**16
"""Bytes of a ClientHello that are held for a look at it."""

_MOST_RECORDS: Final = 1024
"""Records that it may be in: whenever something comes, it is looked at from its beginning on."""

_SPOKEN: Final = frozenset({b"http/1.1", b"http/1.0"})
_CLIENT_HELLO: Final = 1
_ALPN: Final = 16


def offered_protocols(data: bytes) -> list[bytes] | None:
    """The protocols that a ClientHello offers (RFC 7301 §3.1), none if it does not name any.

    data: records, from the connection's first byte on. Returns None if they do not hold all of it yet.
    What is no ClientHello has no protocols: it is OpenSSL that says what is wrong with it.
    """
    hello, whole = _message(data)
    if not whole:
        return None
    try:
        return _alpn(hello)
    except (IndexError, ValueError):
        return []


def unspoken(offered: list[bytes]) -> str:
    """Why nothing that a client offers can be spoken with it; "" if something can, or it offers nothing."""
    if not offered or not _SPOKEN.isdisjoint(offered):
        return ""
    names = ", ".join(ascii(name.decode("latin-1"))[1:-1] for name in offered[:4])
    return f"no protocol in common, offered: {names}"


def looks_like_text(data: bytes) -> bool:
    """Whether this is HTTP rather than TLS: a method, or the empty line before it."""
    return data[:1].isalpha() or data[:1] in (b"\r", b"\n")


def _message(data: bytes) -> tuple[bytes, bool]:
    """The first handshake message without its header, and whether that is all of it."""
    held = bytearray()
    position = records = 0
    while position + 5 <= len(data):
        records += 1
        if data[position] != HANDSHAKE or records > _MOST_RECORDS:
            return b"", True
        size = int.from_bytes(data[position + 3 : position + 5], "big")
        held += data[position + 5 : position + 5 + size]
        position += 5 + size
        if len(held) >= 4:
            if held[0] != _CLIENT_HELLO:
                return b"", True
            end = 4 + int.from_bytes(held[1:4], "big")
            if len(held) >= end:
                return bytes(held[4:end]), True
            if end > LONGEST:
                return b"", True
        elif not size:
            return b"", True
    return b"", len(data) > LONGEST


def _alpn(hello: bytes) -> list[bytes]:
    position = 34  # version and random
    for width in (1, 2, 1):  # session id, cipher suites, compression methods
        position = _behind(hello, position, width)
    end = _behind(hello, position, 2) if position < len(hello) else position
    position += 2
    while position + 4 <= end:
        kind = int.from_bytes(hello[position : position + 2], "big")
        following = _behind(hello, position + 2, 2)
        if kind == _ALPN:
            return _names(hello[position + 6 : following])
        position = following
    return []


def _names(data: bytes) -> list[bytes]:
    """The members of a list whose elements have their length, of one byte, in front."""
    found = []
    position = 0
    while position < len(data):
        following = _behind(data, position, 1)
        found.append(data[position + 1 : following])
        position = following
    return found


def _behind(data: bytes, position: int, width: int) -> int:
    """The position behind a vector, whose length is in `width` bytes in front of it."""
    start = position + width
    end = start + int.from_bytes(data[position:start], "big")
    if end > len(data):
        raise ValueError("shorter than it says")
    return end
