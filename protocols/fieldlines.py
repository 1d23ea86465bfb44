"""Lines of response fields: what an application sends again and again is checked only once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from aserve.protocols.headers import CACHE_SIZE, RESPONSE_NAMES
from aserve.protocols.response import CONTROLS, WITHOUT_BODY, explain, special_field

if TYPE_CHECKING:
    from aserve.protocols.starting import Starting

Field = tuple[bytes, bytes]

LINES: Final[dict[Field, bytes]] = {}
"""Field, as given -> its line with CRLF in front; only fields without a meaning for the server."""

# The lines before those: what is still in use comes back from here when LINES starts again.
_OLDER: Final[dict[Field, bytes]] = {}

LENGTHS: Final[dict[Field, tuple[bytes, int]]] = {}
"""Content-Length, as given -> its line and the number; for a first one in a response that may have it."""


class KnownHead:
    """A response's head that came before.

    lines: of its fields. length: its content-length (or `NO_LENGTH`). bodiless: its status allows no body.
    sent: the lines in front with which it was sent last, and both together; new each second. One tuple, since
    threads share it.
    """

    __slots__ = ("bodiless", "length", "lines", "sent")

    def __init__(self, status: int, lines: bytes, length: int) -> None:
        self.lines = lines
        self.length = length
        self.bodiless = status in WITHOUT_BODY
        self.sent = (b"", b"")


HEADS: Final[dict[tuple[Any, ...], KnownHead]] = {}
"""Status and fields, as given -> what is known of that head.

Only of what is all in `LINES` and `LENGTHS`, and so came before. Not for CONNECT, where lengths mean nothing.
"""

# Heads that are remembered, and the fields that one of them may have.
_MOST_HEADS: Final = 256
_MOST_FIELDS: Final = 32

# Bytes of a name and a value that are worth to be remembered.
_LONGEST: Final = 256
# Lengths up to this one are remembered.
_LARGEST: Final = 16 * 1024


def field_line(exchange: Starting, field: Field, status: int) -> bytes | None:
    """The line of a field that is not in `LINES`, with CRLF in front; None leaves it out.

    Notes in `exchange` what the field means for framing and persistence.
    Raises `ResponseError` for what HTTP does not allow (RFC 9110 §5.1, §5.5); `TypeError`,
    `ValueError` or `AttributeError` for what is no pair of bytes.
    """
    known = _OLDER.get(field)
    return _remember(field, known) if known is not None else _checked_line(exchange, field, status)


def _checked_line(exchange: Starting, field: Field, status: int) -> bytes | None:
    name, value = field
    prefix = RESPONSE_NAMES.get(name)
    if prefix is None:
        line = special_field(exchange, name, value, status)
        if line is None:
            return None
    else:
        line = prefix + value
    if len(line) - len(line.translate(None, CONTROLS)) != 2:
        raise explain((field,))
    if name in RESPONSE_NAMES:  # as it turned out, it was nothing special
        return _remember(field, line)
    if 0 <= exchange.remaining <= _LARGEST and name.lower() == b"content-length":
        if len(LENGTHS) >= CACHE_SIZE:
            LENGTHS.clear()
        LENGTHS[field] = line, exchange.remaining
    return line


def _remember(field: Field, line: bytes) -> bytes:
    if len(line) <= _LONGEST and field.__class__ is tuple and field[1].__class__ is bytes:
        if len(LINES) >= CACHE_SIZE:
            _OLDER.clear()
            _OLDER.update(LINES)
            LINES.clear()
        LINES[field] = line
    return line


def remember_head(status: int, headers: Iterable[Field], lines: bytes, length: int) -> None:
    """Enter a head in `HEADS`."""
    fields = tuple(headers)
    if len(fields) <= _MOST_FIELDS:
        if len(HEADS) >= _MOST_HEADS:
            HEADS.clear()
        HEADS[status, fields] = KnownHead(status, lines, length)


def as_tuples(headers: Iterable[Any]) -> list[Field]:
    """The fields as tuples, if they are pairs of another kind; raises `ResponseError` if they are not."""
    try:
        pairs = [(name, value) for name, value in headers]
    except (TypeError, ValueError):
        raise explain(headers) from None
    if pairs == headers:
        raise explain(headers)
    return pairs
