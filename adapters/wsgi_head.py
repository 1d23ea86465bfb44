"""Status and headers of a response, from PEP 3333's strings to bytes; what comes often is converted once."""

from __future__ import annotations

import re
from typing import Any, Final

from aserve.protocols.errors import ResponseError
from aserve.protocols.fieldlines import HEADS, KnownHead
from aserve.protocols.headers import CACHE_SIZE
from aserve.protocols.wording import REASONS

KNOWN: Final[dict[tuple[Any, ...], tuple[int, list[tuple[bytes, bytes]], KnownHead]]] = {}
"""Status and headers, as the application gives them -> the arguments of `Exchange.start_known`."""

# "200 OK" -> the code, and the reason phrase if it is not the standard one.
_STATUSES: Final[dict[str, tuple[int, bytes]]] = {}
_STATUS: Final = re.compile(r"([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?")

# Header, as the application gives it -> bytes.
_FIELDS: Final[dict[object, tuple[bytes, bytes]]] = {}
# Characters of a value that is worth to be remembered.
_LONGEST: Final = 256


def remember(
    status: str, headers: list[tuple[str, str]], code: int, fields: list[tuple[bytes, bytes]]
) -> None:
    """Enter a head with a standard reason phrase in `KNOWN`, if it was sent before."""
    head = HEADS.get((code, tuple(fields)))
    if head is not None:
        if len(KNOWN) >= CACHE_SIZE:
            KNOWN.clear()
        KNOWN[status, tuple(headers)] = code, fields, head


def code_and_reason(status: str) -> tuple[int, bytes]:
    """Code and reason phrase of "200 OK", b"" for the standard one; raises `ResponseError`."""
    return _STATUSES.get(status) or _status(status)


def as_bytes(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """The headers as bytes; raises `ResponseError` for what are no pairs of latin-1 strings."""
    known = _FIELDS.get
    try:
        return [known(field) or _field(field) for field in headers]
    except TypeError:
        return _unusual_fields(headers)


def latin_1(text: str | bytes) -> bytes:
    """The string as bytes; raises `ValueError` for other characters, `TypeError` for what is none."""
    return text if isinstance(text, bytes) else str.encode(text, "latin-1")


def _status(status: object) -> tuple[int, bytes]:
    match = _STATUS.fullmatch(status) if isinstance(status, str) else None
    if match is None:
        raise ResponseError(f"invalid response status: {status!r}")
    number = int(match[1])
    reason = (match[2] or "").strip().encode("latin-1")
    if len(_STATUSES) >= CACHE_SIZE:
        _STATUSES.clear()
    _STATUSES[match[0]] = number, b"" if reason == REASONS.get(number) else reason
    return _STATUSES[match[0]]


def _unusual_fields(headers: Any) -> list[tuple[bytes, bytes]]:
    """What is no list of tuples may be one of other pairs; raises `ResponseError` otherwise."""
    try:
        return [_field(field) for field in headers]
    except TypeError:
        raise ResponseError(f"response headers are a list of pairs, not {headers!r}") from None


def _field(field: Any) -> tuple[bytes, bytes]:
    """A header as bytes (see `_FIELDS`); raises `ResponseError` if it is no pair of latin-1 strings."""
    try:
        name, value = field
        encoded = name.encode("latin-1"), value.encode("latin-1")
    except (AttributeError, TypeError, ValueError):
        raise ResponseError(f"response headers are pairs of latin-1 strings, not {field!r}") from None
    if len(value) <= _LONGEST and field.__class__ is tuple:
        if len(_FIELDS) >= CACHE_SIZE:
            _FIELDS.clear()
        _FIELDS[field] = encoded
    return encoded
