"""Response fields: those that the server itself has to look at, and those outside the head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from aserve.protocols.errors import ResponseError
from aserve.protocols.headers import CACHE_SIZE, RESPONSE_SPECIAL, response_prefix
from aserve.protocols.policy import is_token, members
from aserve.protocols.states import Persistence

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange
    from aserve.protocols.starting import Starting

# Values of `Exchange.remaining` that are no number of bytes: the application has not said how long
# the body is, and it has said that trailer fields will follow.
NO_LENGTH: Final = -1
# Bytes of an unread body that are dropped to keep the connection for the next request.
MAX_UNREAD: Final = 256 * 1024
TRAILING: Final = -2

# Statuses of responses that have no body (RFC 9110 §6.4.1, §15.3.6).
WITHOUT_BODY: Final = frozenset({204, 205, 304})

# What no field value may have in it: control characters other than HTAB (RFC 9110 §5.5).
CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])

# Spellings of the names in `RESPONSE_SPECIAL` -> what stands before the value, the lower-cased name.
_SPECIAL: Final[dict[bytes, tuple[bytes, bytes]]] = {}

# Options of the application's Connection header that are not passed on: the first three are for the
# server to say, and a proxy that takes the others at their word would remove what frames the body.
_OWN_OPTIONS: Final = frozenset(
    {b"close", b"keep-alive", b"upgrade", b"content-length", b"transfer-encoding", b"trailer"}
)

# What belongs to the connection or to a message's framing (RFC 9110 §7.6.1, RFC 9112 §6).
_CONNECTION_FIELDS: Final = RESPONSE_SPECIAL - {b"date", b"server"} | {b"trailer", b"host"}

# What the handshake itself says (RFC 6455 §4.2.2).
_HANDSHAKE_FIELDS: Final = _CONNECTION_FIELDS | {
    *(b"sec-websocket-accept", b"sec-websocket-protocol", b"sec-websocket-extensions"),
}

# What has to be known before the body is (RFC 9110 §6.5.1): routing, authentication, request
# modifiers, response control data. Fields for the content's format begin with `content-`.
_NOT_IN_TRAILERS: Final = _CONNECTION_FIELDS | {
    *(b"authorization", b"proxy-authorization", b"proxy-authenticate", b"www-authenticate"),
    *(b"cookie", b"set-cookie", b"max-forwards", b"expect", b"range", b"if-match", b"if-none-match"),
    *(b"if-modified-since", b"if-unmodified-since", b"if-range", b"pragma", b"cache-control"),
    *(b"age", b"date", b"expires", b"location", b"retry-after", b"vary", b"warning"),
}
# These two tell what the content has turned out to be (RFC 9530 §2, RFC 1864).
_CONTENT_IN_TRAILERS: Final = frozenset({b"content-digest", b"content-md5"})


def special_field(exchange: Starting, name: bytes, value: bytes, status: int) -> bytes | None:
    """The line of a header whose name is not in the cache, with CRLF in front; None leaves it out.

    Notes in `exchange` what the header means for framing and persistence. Neither the value's type
    nor its characters are checked. Raises `ResponseError` for an invalid name or content-length.
    """
    known = _SPECIAL.get(name)
    if known is None:
        prefix = response_prefix(name)
        lower = name.lower()
        if lower not in RESPONSE_SPECIAL:
            return prefix + value
        if len(_SPECIAL) >= CACHE_SIZE:
            _SPECIAL.clear()
        _SPECIAL[name] = prefix, lower
    else:
        prefix, lower = known
    if lower == b"content-length":
        return prefix + value if _takes_length(exchange, value, status) else None
    if lower == b"connection":
        return _connection(exchange, prefix, value)
    if lower in (b"date", b"server") or (lower == b"upgrade" and exchange.http_version != "1.0"):
        exchange.replaced = exchange.replaced | {lower}
        return prefix + value
    return None  # the connection's own matter, not the application's (RFC 9110 §7.6.1)


def _connection(exchange: Starting, prefix: bytes, value: bytes) -> bytes | None:
    """The application's Connection header, less what our own says (RFC 9110 §7.6.1)."""
    options = members(value)
    if not all(map(is_token, options)):
        raise ResponseError(f"invalid connection header: {value!r}")
    if b"close" in options:
        exchange.closing = True
    others = [option for option in options if option not in _OWN_OPTIONS]
    return prefix + b", ".join(others) if others else None


def _takes_length(exchange: Starting, value: bytes, status: int) -> bool:
    """Take note of the content-length; False if it is not to be sent (RFC 9110 §8.6)."""
    if not value.isdigit() or len(value) > 18:
        raise ResponseError(f"invalid content-length: {value!r}")
    length = int(value)
    if exchange.remaining not in (NO_LENGTH, length):
        raise ResponseError("content-length is given twice, with different values")
    if exchange.remaining == length or status in (204, 205):
        return False  # once is enough; a 204 has none, and a 205 none but 0
    if exchange.method == "CONNECT" and 200 <= status < 300:
        return False  # what follows is no body (RFC 9110 §9.3.6)
    exchange.remaining = length
    return True


def valid_status(status: object) -> int:
    """`status`, if a final response can have it; raises `ResponseError`."""
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise ResponseError(f"invalid response status: {status!r}")
    return status


def replace_prefix(exchange: Starting, parts: list[bytes], status: int, reason: bytes) -> None:
    """Exchange default headers and the reason phrase for the application's own.

    parts: the pieces of the head, of which the first is replaced. reason: the reason phrase if it
    is not the standard one. Raises `ResponseError` for one that cannot be sent (RFC 9112 §4).
    """
    if reason.translate(None, CONTROLS) != reason:
        raise ResponseError(f"invalid reason phrase: {reason!r}")
    replaced = exchange.replaced
    parts[0] = exchange.connection.group.clock.prefix_without(status, replaced, reason)
    if b"upgrade" in replaced:
        parts.append(b"\r\nconnection: upgrade")  # they only go together (RFC 9110 §7.8)


def persistence_field(exchange: Exchange, *, whole: bool = False) -> bytes:
    """The Connection header that the response needs (RFC 9112 §9.3, §9.6).

    whole: all of the response is there, so what has not been read of the request never will be.
    """
    connection = exchange.connection
    if connection.persistence is Persistence.CLOSE and not connection.queue:
        exchange.closing = True
    if not exchange.persistent:
        exchange.closing = True
    elif not exchange.received:
        unread = whole or exchange.buffered >= connection.group.options.body_buffer
        if exchange.continue_due or (unread and not 0 <= exchange.length <= MAX_UNREAD):
            exchange.closing = True
    if exchange.closing:
        return b"\r\nconnection: close"
    return b"\r\nconnection: keep-alive" if exchange.http_version == "1.0" else b""


def bodiless_end(exchange: Exchange, size: int) -> bytes:
    """The end of a head without a body, which otherwise would be of `size` bytes."""
    status = exchange.status
    if status == 205:
        return b"\r\ncontent-length: 0\r\n\r\n"
    if size and exchange.remaining == NO_LENGTH and exchange.method == "HEAD" and status not in WITHOUT_BODY:
        return b"\r\ncontent-length: %d\r\n\r\n" % size
    return b"\r\n\r\n"  # the length that a GET would have is the application's to say (RFC 9110 §8.6)


def explain(headers: Iterable[tuple[Any, Any]]) -> ResponseError:
    """What is wrong with headers that cannot be sent."""
    try:
        for name, value in headers:
            if not isinstance(value, bytes):
                return ResponseError(f"the value of response header {name!r} is not bytes: {value!r}")
            if value.translate(None, CONTROLS) != value:
                return ResponseError(f"the value of response header {name!r} has a control character")
    except (TypeError, ValueError):
        pass
    return ResponseError("response headers are pairs of names and values, both bytes")


def switching_lines(fields: Iterable[tuple[Any, Any]]) -> bytes:
    """The application's field lines of a 101 to a WebSocket (RFC 6455 §4.2.2); raises `ResponseError`."""
    return _lines(fields, _HANDSHAKE_FIELDS, "the response to a WebSocket handshake")


def interim_lines(fields: Iterable[tuple[Any, Any]]) -> bytes:
    """The field lines of an interim response (RFC 9110 §15.2); raises `ResponseError`."""
    return _lines(fields, _CONNECTION_FIELDS, "an interim response")


def trailer_lines(fields: Iterable[tuple[Any, Any]]) -> bytes:
    """Trailer fields as lines (RFC 9112 §7.1.2); raises `ResponseError` for those that are no such.

    RFC 9110 §6.5.1 wants only fields whose definition allows it; what is refused is what would
    do harm: framing, routing, authentication, request modifiers, response control and format.
    """
    return _lines(fields, _NOT_IN_TRAILERS, "a trailer")


def _lines(fields: Iterable[tuple[Any, Any]], refused: frozenset[bytes], where: str) -> bytes:
    fields = list(fields)
    lines = []
    for name, value in fields:
        if not isinstance(name, bytes) or not is_token(name):
            raise ResponseError(f"invalid field name in {where}: {name!r}")
        lower = name.lower()
        of_content = lower.startswith(b"content-") and lower not in _CONTENT_IN_TRAILERS
        if lower in refused or (of_content and refused is _NOT_IN_TRAILERS):
            raise ResponseError(f"{name!r} is not allowed in {where}")
        if not isinstance(value, bytes) or value.translate(None, CONTROLS) != value:
            raise explain(fields)
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)
