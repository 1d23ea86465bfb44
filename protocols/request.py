"""Requests out of a stream of bytes: a complete head at a time for the parser, bodies by our own hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from aserve.protocols import policy
from aserve.protocols.chunked import ChunkedBody
from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.forwarded import resolve
from aserve.protocols.head import BAD, END, as_1_1, is_clean, judge, skip_empty_lines
from aserve.protocols.headers import REQUEST_NAMES, request_name
from aserve.protocols.policy import Refusal
from aserve.protocols.requesthead import NO_HEAD, RequestHead
from aserve.protocols.states import Reading
from aserve.protocols.target import NUMBER_SIGN, authority

if TYPE_CHECKING:
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.options import ConnectionOptions

_DISCARD: Final = Reading.DISCARD
_CLOSED: Final = Reading.CLOSED

# What proxies for WSGI name the prefix by (gunicorn's forwarder_headers).
SCRIPT_NAME: Final = b"script_name"


class Reader(Protocol):
    """What a connection gives its bytes to.

    pending: those that wait, b"" if none do. skipped: how many empty lines' bytes have come in front
    of a head that is still to come.
    """

    pending: bytes
    skipped: int

    def feed(self, data: bytes) -> None:
        """Take what the client has sent; raises `RequestRefusedError`."""

    def resume(self) -> None:
        """Go on with what waits; raises `RequestRefusedError`."""


class RequestReader:
    """What both parsers' drivers share. A driver has `parse`, and calls `on_header` and `complete_head`.

    It reports to the connection with three events: `on_head`, `on_body`, `on_end`.
    pending: bytes that wait, for the rest of their head or for room in the connection's queue.
    left, chunks: the current body, as bytes that are left (RFC 9112 §6.2) or as its decoder.
    body_begun: it has begun with the bytes that are being looked at.
    skipped: bytes of empty lines in front of a head that is still to come.
    trusted: whether the client is a proxy that is believed, None while nobody has asked.
    target, headers, host, special, proxied, keep_alive_named: of the head that is being parsed;
    special has its special headers but for Host and `Connection: keep-alive`, proxied those which a
    trusted proxy has added (then special is not None either).
    known_bytes, known_head: the last head that other bytes came with, and what it means, if that is plain or
    `simple`; None before there is one.
    underscored: there are names with an underscore, which are to be left out (nor is special None then).
    """

    __slots__ = (
        "body_begun",
        "chunks",
        "connection",
        "headers",
        "host",
        "keep_alive_named",
        "known_bytes",
        "known_head",
        "left",
        "line_seen",
        "options",
        "pending",
        "proxied",
        "scanned",
        "skipped",
        "special",
        "surely_small",
        "target",
        "trusted",
        "underscored",
    )

    def __init__(self, connection: Http1Connection, options: ConnectionOptions) -> None:
        self.connection = connection
        self.options = options
        self.surely_small = min(options.limit_line, options.limit_field_size, options.limit_head)
        self.pending = b""
        self.scanned = 0
        self.skipped = 0
        self.line_seen = False
        self.left = 0
        self.chunks: ChunkedBody | None = None
        self.body_begun = False
        self.known_bytes: bytes | None = None
        self.known_head: RequestHead
        self.trusted: bool | None = None
        self.reset()

    def reset(self) -> None:
        """Begin a new head."""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.host: bytes | None = None
        self.special: list[tuple[bytes, bytes]] | None = None
        self.proxied: list[tuple[bytes, bytes]] | None = None
        self.keep_alive_named = False
        self.underscored = False

    # The stream

    def feed(self, data: bytes) -> None:
        """Take what the client has sent; raises `RequestRefusedError`."""
        if self.pending or self.left or self.chunks is not None or self.skipped:
            self._feed_on(data)
            return
        size = len(data)
        if data.find(END) == size - 4 and 3 < size <= self.surely_small:
            try:
                self.parse(data)  # one whole head, as nearly always
            except RequestRefusedError as refused:
                self._not_taken(data, refused)
            else:
                connection = self.connection
                connection.last_bytes = data if connection.last_head.framing is None else None
            if self.body_begun:
                self._body_awaited()
        else:
            self._feed_on(data)

    def resume(self) -> None:
        """There is room in the connection's queue again; raises `RequestRefusedError`."""
        self._feed_on(b"")

    def _feed_on(self, data: bytes) -> None:
        connection = self.connection
        connection.last_bytes = None
        if self.pending:
            data = self.pending + data
            self.pending = b""
        while data:
            if connection.reading is _DISCARD or connection.reading is _CLOSED:
                connection.drop(len(data))
                return
            if self.left or self.chunks is not None:
                data = self._feed_body(data)
            elif connection.full:
                self.pending = data
                connection.update_reading()
                return
            else:
                data = self._feed_head(data)
        if self.body_begun:
            self._body_awaited()

    def _body_awaited(self) -> None:
        """All that has come is read, and there is more of the body to come."""
        self.body_begun = False
        self.connection.watch_body()

    def _feed_body(self, data: bytes) -> bytes:
        """Take what belongs to the current body; returns what is behind it."""
        connection = self.connection
        left = self.left
        if left:
            size = len(data)
            if size < left:
                self.left = left - size
                connection.on_body(data)
                return b""
            self.left = 0
            if size == left:
                connection.on_body(data)
                data = b""
            else:
                connection.on_body(data[:left])
                data = data[left:]
        else:
            chunks = self.chunks
            assert chunks is not None
            data = chunks.feed(data)
            if not chunks.complete:
                return data
            self.chunks = None
        self.body_begun = False
        connection.on_end()
        return data

    def _feed_head(self, data: bytes) -> bytes:
        """Take a head if it is complete; returns what is behind it."""
        if data[0] == 13:
            size = len(data)
            data = skip_empty_lines(data)
            self.skipped += size - len(data)
            if self.skipped > self.options.limit_line:
                raise RequestRefusedError(policy.MALFORMED)
            self.scanned = 0
        end = data.find(END, max(0, self.scanned - 3)) + 4
        if end < 4:
            self._wait(data)
            return b""
        self.scanned = 0
        self.skipped = 0
        self.line_seen = False
        if end > self.surely_small:
            self._judge(data[:end])
        self._take_head(data[:end])
        return data[end:]

    def _wait(self, data: bytes) -> None:
        """Keep an incomplete head, unless it is clear that it will not do."""
        options = self.options
        line_new = not self.line_seen and b"\r\n" in data
        self.line_seen = self.line_seen or line_new
        limit = options.limit_head if self.line_seen else options.limit_line
        new = max(0, self.scanned - 1)
        if len(data) > limit or (not is_clean(data[new:]) and BAD.search(data, new) is not None):
            self._judge(data)
        elif line_new:
            # Fields are judged with the whole head: reads may end anywhere, and must not matter.
            self._judge(data[: data.find(b"\r\n") + 2])
        self.pending = data
        self.scanned = len(data)

    def _take_head(self, head: bytes) -> None:
        connection = self.connection
        if head == self.known_bytes:
            request = self.known_head
            if request.prepared is None:
                request.prepared = {}
            connection.on_head(request)
            if request.framing is not None:
                self.body_begun = True
                self.left = request.framing.length
            return
        try:
            self.parse(head)
        except RequestRefusedError as refused:
            self._not_taken(head, refused)
            return
        request = connection.last_head
        if len(head) > self.surely_small:
            connection.last_head = NO_HEAD  # too much to be kept for an idle connection
            self.known_bytes = None
        elif request.framing is None or request.framing.simple:
            self.known_bytes, self.known_head = head, request

    def _not_taken(self, head: bytes, refused: RequestRefusedError) -> None:
        if not head.startswith(b"\r\n"):
            raise self._refusal(head, judge(head, self.options) or refused.refusal) from None
        self.reset()
        self._feed_on(head)  # `feed` does not look for empty lines

    def _judge(self, head: bytes) -> None:
        refusal = judge(head, self.options)
        if refusal is not None:
            raise self._refusal(head, refusal)

    def _refusal(self, head: bytes, refusal: Refusal) -> RequestRefusedError:
        return RequestRefusedError(replace(refusal, bodiless=head.startswith(b"HEAD "), head=head))

    # A head

    def parse(self, head: bytes) -> None:
        """Parse a complete head; raises `RequestRefusedError`, whose refusal `judge` makes precise."""
        raise NotImplementedError

    def on_url(self, part: bytes) -> None:
        """The request target."""
        self.target = part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A complete header field; `value` may still have white space behind it."""
        if value and value[-1] <= 32:
            value = value.rstrip(b" \t")
        lower = REQUEST_NAMES.get(name)
        if lower is None:
            if name == b"Host" and self.host is None:
                self.host = value
                lower = b"host"
            else:
                lower = self._examine(name, value)
        self.headers.append((lower, value))

    def _examine(self, name: bytes, value: bytes) -> bytes:
        """The lower-cased form of a name that is not in the cache, with note taken of what it means."""
        lower = request_name(name)
        if lower == b"host":
            if self.host is not None:
                raise RequestRefusedError(policy.HOST_REPEATED)
            self.host = value
        elif lower == b"connection" and value.lower() == b"keep-alive":
            self.keep_alive_named = True  # what HTTP/1.1 does anyway: the head may still be plain
        elif lower in policy.SPECIAL_HEADERS:
            if self.special is None:
                self.special = []
            self.special.append((lower, value))
        elif lower in policy.PROXY_FIELDS or lower in self.options.forwarded_fields:
            self._note_proxied(lower, value)
        elif b"_" in lower:
            self._note_underscored(lower, value)
        return lower

    def _note_underscored(self, name: bytes, value: bytes) -> None:
        """Some variables cannot be told from others: an option decides, and which ones proxies may set."""
        if self._forwards(name):
            if name == SCRIPT_NAME:
                self._keep_proxied(b"x-forwarded-prefix", value)
        elif self.options.header_map == "refuse":
            raise RequestRefusedError(policy.NAME_UNDERSCORE)
        elif self.options.header_map == "drop":
            self.underscored = True  # it still counts as a field
            if self.special is None:
                self.special = []

    def _forwards(self, name: bytes) -> bool:
        """Whether the peer is a proxy that may set what has this name."""
        allowed = self.options.forwarder_fields
        return bool(allowed) and (name in allowed or b"*" in allowed) and self._trusts_peer()

    def _trusts_peer(self) -> bool:
        if self.trusted is None:
            trust = self.options.forwarded_trust
            self.trusted = trust is not None and trust.allows(self.connection.client)
        return self.trusted

    def _note_proxied(self, name: bytes, value: bytes) -> None:
        """Keep what a trusted proxy says; from anybody else it is a header like others."""
        if self._trusts_peer() and name in self.options.forwarded_fields:
            self._keep_proxied(name, value)

    def _keep_proxied(self, name: bytes, value: bytes) -> None:
        if self.special is None:
            self.special = []
        if self.proxied is None:
            self.proxied = []
        self.proxied.append((name, value))

    def take_judged(self, head: bytes) -> None:
        """Take a head with which `judge` has found no fault, to the letter."""
        line, *fields = as_1_1(head).split(b"\r\n")[:-2]
        method, self.target, protocol = line.split(b" ")
        for field in fields:
            name, _, value = field.partition(b":")
            self.on_header(name, value.strip(b" \t"))
        self.complete_head(policy.method_name(method), protocol[5:].decode("ascii"))

    def complete_head(self, method: str, version: str) -> None:
        """Judge the head and hand it to the connection; raises `RequestRefusedError`.

        version: "1.0" or "1.1". A request of HTTP/1.1 without any special header, the plain case,
        has no `Framing`.
        """
        target = self.target
        host = self.host
        if host not in policy.KNOWN_HOSTS:
            policy.check_host(version, target, host)
        if len(self.headers) > self.options.limit_fields:
            raise RequestRefusedError(policy.HEAD_TOO_LARGE)
        if self.underscored:
            self.headers = [
                field for field in self.headers if b"_" not in field[0] or self._forwards(field[0])
            ]
        if target[:1] != b"/" or NUMBER_SIGN in target or method == "CONNECT":
            policy.check_target(method, target)
            self._override_host(method, target)
        framing = None
        if self.special is not None or version != "1.1":
            framing = policy.frame(version, self.special, keep_alive_named=self.keep_alive_named)
            policy.check_length(framing.length, self.options.limit_body)
            if self.proxied is not None and self.options.forwarded_trust is not None:
                framing.origin = resolve(self.proxied, self.connection.client, self.options.forwarded_trust)
        if method == "CONNECT":
            # What follows would belong to a tunnel, whatever is answered (RFC 9110 §9.3.6).
            framing = framing or policy.Framing()
            framing.keep_alive = False
        headers = self.headers
        self.reset()
        connection = self.connection
        connection.on_head(RequestHead(method, target, version, headers, framing))
        if framing is not None and framing.length:
            self.body_begun = True
            if framing.length > 0:
                self.left = framing.length
            else:
                self.chunks = ChunkedBody(self.options, connection.on_body)

    def _override_host(self, method: str, target: bytes) -> None:
        """An absolute-form target's authority replaces Host (RFC 9112 §3.2.2)."""
        if method == "CONNECT" or target[:1] in (b"*", b"/"):
            return
        self.headers = [field for field in self.headers if field[0] != b"host"]
        self.headers.insert(0, (b"host", authority(target)))
