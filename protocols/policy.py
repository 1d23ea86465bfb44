"""What is refused, with which status, by which rule: the one place, for both parsers.

A head is taken when the parser and the checks here agree to it; if they do not, `head.judge` says
which of the refusals here it is. Chunked bodies are judged in chunked.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.target import authority

if TYPE_CHECKING:
    from aserve.protocols.forwarded import Origin


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason not to take a request.

    status: the response's status code. text: one line for the client and the log.
    section: where the rule stands. bodiless: the response must not have a body (RFC 9110 §9.3.2).
    head: what has come of a head that is refused, None if it was taken and its body is refused.
    headers: fields that the response has to have.
    """

    status: int
    text: str
    section: str
    bodiless: bool = False
    head: bytes | None = field(default=None, compare=False)
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def content(self) -> bytes:
        """The response's body."""
        return self.text.encode() + b"\n"

    @property
    def size(self) -> int:
        """Bytes of the body that is sent."""
        return 0 if self.bodiless else len(self.content)


MALFORMED: Final = Refusal(400, "malformed request", "RFC 9112 §2.2")
PLAIN_ON_TLS: Final = Refusal(
    400, "plain HTTP was sent to a port that expects TLS: use https:// in the URL", "RFC 9110 §4.2.2"
)
BAD_TARGET: Final = Refusal(400, "invalid request target", "RFC 9112 §3.2")
BAD_VERSION: Final = Refusal(400, "invalid HTTP version", "RFC 9112 §2.3")
VERSION_UNSUPPORTED: Final = Refusal(505, "HTTP version not supported", "RFC 9110 §15.6.6")
METHOD_UNKNOWN: Final = Refusal(501, "method not implemented", "RFC 9110 §9.1")
HOST_MISSING: Final = Refusal(400, "missing Host header", "RFC 9112 §3.2")
HOST_REPEATED: Final = Refusal(400, "more than one Host header", "RFC 9112 §3.2")
BAD_HOST: Final = Refusal(400, "invalid Host header", "RFC 9110 §7.2")
BAD_FORWARDED: Final = Refusal(400, "malformed Forwarded header", "RFC 7239 §4")
BAD_FORWARDED_FOR: Final = Refusal(400, "invalid X-Forwarded-For header", "--forwarded-allow-ips")
BAD_FORWARDED_PROTO: Final = Refusal(400, "invalid X-Forwarded-Proto header", "--forwarded-allow-ips")
BAD_FORWARDED_HOST: Final = Refusal(400, "invalid X-Forwarded-Host header", "--forwarded-allow-ips")
BAD_FORWARDED_PORT: Final = Refusal(400, "invalid X-Forwarded-Port header", "--forwarded-allow-ips")
BAD_FORWARDED_PREFIX: Final = Refusal(400, "invalid X-Forwarded-Prefix header", "--forwarded-allow-ips")
FORWARDED_CONTRADICTION: Final = Refusal(400, "proxy headers contradict each other", "--forwarded-allow-ips")
NAME_UNDERSCORE: Final = Refusal(400, "underscore in a header name", "--header-map refuse")
BAD_LENGTH: Final = Refusal(400, "invalid Content-Length", "RFC 9112 §6.3")
LENGTH_AND_CODING: Final = Refusal(400, "both Content-Length and Transfer-Encoding", "RFC 9112 §6.1")
CODING_UNKNOWN: Final = Refusal(501, "transfer coding not implemented", "RFC 9112 §6.1")
CODING_ON_1_0: Final = Refusal(400, "Transfer-Encoding in an HTTP/1.0 request", "RFC 9112 §6.1")
EXPECTATION_UNKNOWN: Final = Refusal(417, "expectation not supported", "RFC 9110 §10.1.1")
TARGET_TOO_LONG: Final = Refusal(414, "request target too long", "RFC 9110 §15.5.15")
HEAD_TOO_LARGE: Final = Refusal(431, "request header fields too large", "RFC 6585 §5")
BODY_TOO_LARGE: Final = Refusal(413, "request body too large", "RFC 9110 §15.5.14")
BODY_TOO_SLOW: Final = Refusal(408, "request body not received in time", "RFC 9110 §15.5.9")
BAD_CHUNK: Final = Refusal(400, "malformed chunk", "RFC 9112 §7.1")
BAD_TRAILER: Final = Refusal(400, "malformed trailer", "RFC 9112 §7.1.2")
TRAILER_TOO_LARGE: Final = Refusal(431, "trailer fields too large", "RFC 6585 §5")
BODY_INCOMPLETE: Final = Refusal(400, "incomplete request body", "RFC 9112 §8")
HEAD_TOO_SLOW: Final = Refusal(408, "request head not received in time", "RFC 9110 §15.5.9")
REQUEST_TOO_LONG: Final = Refusal(503, "the request took too long", "RFC 9110 §15.6.4")

# The only version there is (RFC 6455 §4.1); whoever has another one is told.
_VERSION_13: Final = ((b"sec-websocket-version", b"13"),)
WEBSOCKET_METHOD: Final = Refusal(400, "a WebSocket begins with a GET request", "RFC 6455 §4.2.1")
WEBSOCKET_BODY: Final = Refusal(400, "a WebSocket's request has no body", "RFC 6455 §4.2.1")
WEBSOCKET_KEY: Final = Refusal(400, "missing or invalid Sec-WebSocket-Key", "RFC 6455 §4.2.1")
WEBSOCKET_VERSION_MISSING: Final = Refusal(
    400, "missing Sec-WebSocket-Version", "RFC 6455 §4.2.1", headers=_VERSION_13
)
WEBSOCKET_VERSION: Final = Refusal(
    426,
    "WebSocket version not supported",
    "RFC 6455 §4.2.2",
    headers=(*_VERSION_13, (b"upgrade", b"websocket")),
)
WEBSOCKET_EXTENSIONS: Final = Refusal(400, "malformed Sec-WebSocket-Extensions", "RFC 6455 §9.1")
WEBSOCKET_TOO_SLOW: Final = Refusal(503, "the WebSocket was not accepted in time", "RFC 9110 §15.6.4")

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Anything visible, as all servers have it; but a fragment is never sent (RFC 9110 §7.1).
_TARGET: Final = re.compile(rb"[!\"$-~]+")
# A registered name may have commas, but two hosts in one value have to be told from one.
_HOST: Final = re.compile(
    rb"(?:(?:\[(?P<literal>[0-9A-Fa-f:.]+|[vV][0-9A-Fa-f]+\.[-\w.~!$&'()*+,;=:]+)\]"
    rb"|(?:[-A-Za-z0-9._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::0*(?P<port>[0-9]{0,5}))?)?"
)
_ABSOLUTE: Final = re.compile(rb"https?://", re.IGNORECASE)

# Values that were found to be valid, and are not empty; bounded, since clients choose them.
KNOWN_HOSTS: Final[set[bytes | None]] = set()

_LENGTH: Final = re.compile(rb"[0-9]{1,18}")

# Headers that decide about framing, persistence or the connection: they never go unseen.
SPECIAL_HEADERS: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"te", b"upgrade"}
)

# Headers that proxies add, and that count if the peer is a trusted one.
PROXY_FIELDS: Final = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-protocol",
        b"x-forwarded-ssl",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
    }
)

# As gunicorn has it: a bounded length, and no small letters, since ASGI's scope has names in capitals, and
# they differ by case (RFC 9110 §9.1).
_METHOD: Final = re.compile(rb"(?!PRI$)[!$%&'*+\-.^_`|~0-9A-Z]{3,20}")  # PRI: RFC 9113 §11.6


# Those that httptools knows. Others are taken by way of `head.judge`: it is the application that knows them.
_METHOD_NAMES: Final = (
    "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY ACL BIND CHECKOUT COPY LINK LOCK "
    "M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY PROPFIND PROPPATCH PURGE REBIND "
    "REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE"
)
METHODS: Final = dict(zip(_METHOD_NAMES.encode().split(), _METHOD_NAMES.split(), strict=True))


@dataclass(slots=True)
class Framing:
    """How a request's body is delimited, and what the head says of the connection.

    length: bytes of the body, 0 for none, -1 for chunked. keep_alive: whether the client can
    take a further response (RFC 9112 §9.3). expect_continue: it waits for a 100.
    websocket: it offers to switch to that protocol (RFC 9110 §7.8). trailers: it takes trailer fields
    behind the response (RFC 9110 §10.1.4). origin: what a trusted proxy says of where the request
    comes from, None for nothing.
    """

    length: int = 0
    keep_alive: bool = True
    expect_continue: bool = False
    websocket: bool = False
    trailers: bool = False
    origin: Origin | None = None

    @property
    def simple(self) -> bool:
        """Does it say how long the body is, and nothing that is dealt with before that has come?"""
        special = self.expect_continue or self.websocket or self.origin is not None
        return self.length > 0 and self.keep_alive and not special


def is_token(text: bytes) -> bool:
    """Whether `text` is a token (RFC 9110 §5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def is_method(token: bytes) -> bool:
    """Whether a token may be the name of a method; of which kind is the application's matter."""
    return token in METHODS or _METHOD.fullmatch(token) is not None


def method_name(token: bytes) -> str:
    """The name as applications get it. Clients choose what the table has not: nothing of that is kept."""
    return METHODS.get(token) or token.decode("ascii")


def members(value: bytes) -> list[bytes]:
    """The lower-cased members of a comma-separated list (RFC 9110 §5.6.1), empty ones left out."""
    return [part for part in (piece.strip(b" \t") for piece in value.lower().split(b",")) if part]


def check_target(method: str, target: bytes) -> None:
    """Refuse a request target whose form does not fit the method (RFC 9112 §3.2)."""
    if _TARGET.fullmatch(target) is None:
        raise RequestRefusedError(BAD_TARGET)
    if method == "CONNECT":
        host, _, port = target.rpartition(b":")
        if not host or not port.isdigit() or not is_host(target):
            raise RequestRefusedError(BAD_TARGET)
        return
    if target[:1] == b"/" or (target == b"*" and method == "OPTIONS"):
        return
    if _ABSOLUTE.match(target) is None or not is_host(authority(target)) or not authority(target):
        raise RequestRefusedError(BAD_TARGET)


def is_host(value: bytes) -> bool:
    """Whether `value` is `uri-host [":" port]` (RFC 9110 §7.2, RFC 3986 §3.2.2); it may be empty."""
    if value in KNOWN_HOSTS:
        return True
    match = _HOST.fullmatch(value)
    if match is None or int(match["port"] or 0) > 65535 or not _is_literal(match["literal"]):
        return False
    if 0 < len(value) < 256:
        if len(KNOWN_HOSTS) >= 256:
            KNOWN_HOSTS.clear()
        KNOWN_HOSTS.add(bytes(value))
    return True


def _is_literal(text: bytes | None) -> bool:
    """Whether `text` may stand in brackets; None is no literal, and fine."""
    if text is None or text[:1] in (b"v", b"V"):
        return True
    import ipaddress  # such a value is found once, see KNOWN_HOSTS

    try:
        ipaddress.IPv6Address(text.decode("ascii"))
    except ValueError:
        return False
    return True


def check_host(version: str, target: bytes, host: bytes | None) -> None:
    """Refuse a missing or an invalid Host value (RFC 9112 §3.2).

    An empty one is good enough only where the target itself names the host, or for HTTP/1.0.
    """
    if host is None:
        if version == "1.1":
            raise RequestRefusedError(HOST_MISSING)
    elif not is_host(host) or (not host and version == "1.1" and target[:1] in (b"/", b"*")):
        raise RequestRefusedError(BAD_HOST)


def check_length(length: int, limit: int) -> None:
    """Refuse a body of `length` bytes (-1: not known yet) if there is a limit, and it is above it."""
    if limit and length > limit:
        raise RequestRefusedError(BODY_TOO_LARGE)


def frame(
    version: str, special: list[tuple[bytes, bytes]] | None, *, keep_alive_named: bool = False
) -> Framing:
    """Read framing and persistence off a head.

    version: "1.0" or "1.1". special: the headers of `SPECIAL_HEADERS` in the head (without
    Host), lower-case names. keep_alive_named: `Connection: keep-alive` stands there too.
    Raises `RequestRefusedError` (RFC 9112 §6, RFC 9110 §10.1.1).
    """
    framing = Framing(keep_alive=version == "1.1")
    coding: list[bytes] = []
    length: bytes | None = None
    connection = [b"keep-alive"] if keep_alive_named else []
    protocols: list[bytes] = []
    for name, value in special or ():
        if name == b"content-length":
            if length is not None:
                raise RequestRefusedError(BAD_LENGTH)
            length = value
        elif name == b"transfer-encoding":
            coding.append(value.lower())  # no list, not even of one: parsers disagree about them
        elif name == b"connection":
            connection += members(value)
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise RequestRefusedError(EXPECTATION_UNKNOWN)
            # A 100 must not go to a client that speaks 1.0 (RFC 9110 §10.1.1).
            framing.expect_continue = version == "1.1"
        elif name == b"te":
            # Also without the Connection option that should come with it: whoever asks takes them.
            framing.trailers = framing.trailers or (version == "1.1" and b"trailers" in members(value))
        else:
            protocols += members(value)
    framing.length = _body_length(version, length, coding)
    if b"close" in connection:
        framing.keep_alive = False
    elif b"keep-alive" in connection:
        framing.keep_alive = True
    framing.websocket = b"websocket" in protocols and b"upgrade" in connection and version == "1.1"
    return framing


def _body_length(version: str, length: bytes | None, coding: list[bytes]) -> int:
    """The body's length in bytes, -1 for chunked (RFC 9112 §6.3)."""
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise RequestRefusedError(BAD_LENGTH)
    if not coding:
        return int(length) if length is not None else 0
    if length is not None:
        raise RequestRefusedError(LENGTH_AND_CODING)
    if version != "1.1":
        raise RequestRefusedError(CODING_ON_1_0)
    if coding != [b"chunked"]:
        raise RequestRefusedError(CODING_UNKNOWN)
    return -1
