"""Bounded caches of header names: each distinct spelling is validated once.

What is special (framing, persistence, ...) is never cached, so that it cannot go unseen.
"""

from __future__ import annotations

from typing import Final

from aserve.protocols.errors import RequestRefusedError, ResponseError
from aserve.protocols.policy import MALFORMED, PROXY_FIELDS, SPECIAL_HEADERS, is_token

# A client can send any number of different names, so a full cache starts again.
CACHE_SIZE: Final = 1024
# Bytes of a name that is worth to be remembered: clients choose them.
LONGEST_CACHED: Final = 64

# As received -> lower-cased, validated; only names without a meaning for the server.
REQUEST_NAMES: Final[dict[bytes, bytes]] = {}

# As given by the application -> b"\r\nname: ".
RESPONSE_NAMES: Final[dict[bytes, bytes]] = {}

# Response headers that the server has to look at (RFC 9110 §7.6.1, §7.8, §8.6, §6.6.1, §10.2.4).
RESPONSE_SPECIAL: Final = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"upgrade",
        b"date",
        b"server",
    }
)


# Names that have a meaning for a server in this process, as its user wants it.
_WATCHED: Final[set[bytes]] = set()


def watch(names: frozenset[bytes]) -> None:
    """From now on look at each header that has one of these names, in lower case."""
    if not names <= _WATCHED:
        _WATCHED.update(names)
        REQUEST_NAMES.clear()


def request_name(name: bytes) -> bytes:
    """The lower-cased form of a request header's name; raises `RequestRefusedError` if it is no token."""
    lower = name.lower()
    if lower in SPECIAL_HEADERS or lower in PROXY_FIELDS or lower in _WATCHED:
        return lower
    if not is_token(lower):
        raise RequestRefusedError(MALFORMED)
    if b"_" not in lower and len(lower) <= LONGEST_CACHED:  # an option decides about underscores
        if len(REQUEST_NAMES) >= CACHE_SIZE:
            REQUEST_NAMES.clear()
        REQUEST_NAMES[bytes(name)] = lower
    return lower


def response_prefix(name: object) -> bytes:
    """What stands before the value of a response header; raises `ResponseError` for a bad name."""
    if not isinstance(name, bytes) or not is_token(name):
        raise ResponseError(f"invalid response header name: {name!r}")
    prefix = b"\r\n%b: " % name
    if name.lower() not in RESPONSE_SPECIAL:
        if len(RESPONSE_NAMES) >= CACHE_SIZE:
            RESPONSE_NAMES.clear()
        RESPONSE_NAMES[name] = prefix
    return prefix
