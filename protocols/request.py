"""Requests out of a stream of bytes: a complete head at a time for the parser, bodies by our own hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from aserve.protocols import policy
from aserve.protocols.chunked import ChunkedBody
from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.head import BAD, END, is_clean, judge, skip_empty_lines
from aserve.protocols.headbuilder import HeadBuilder
from aserve.protocols.policy import Refusal
from aserve.protocols.requesthead import NO_HEAD, HeadFamily, RequestHead
from aserve.protocols.states import Reading

if TYPE_CHECKING:
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.options import ConnectionOptions

_DISCARD: Final = Reading.DISCARD
_CLOSED: Final = Reading.CLOSED

# Bytes behind a target that are kept for the next one: every connection may have them.
MAX_KEPT: Final = 1024


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


class RequestReader(HeadBuilder):
    """What both parsers' drivers share. A driver has `parse`, and calls `on_header` and `complete_head`.

    It reports to the connection with three events: `on_head`, `on_body`, `on_end`.
    pending: bytes that wait, for the rest of their head or for room in the connection's queue.
    left, chunks: the current body, as bytes that are left (RFC 9112 §6.2) or as its decoder.
    body_begun: it has begun with the bytes that are being looked at.
    skipped: bytes of empty lines in front of a head that is still to come.
    known_bytes, known_head: the last head that other bytes came with, and what it means, if that is plain or
    `simple`; None before there is one. family: that of the last heads that came each alone and plain.
    """

    __slots__ = (
        "body_begun",
        "chunks",
        "family",
        "known_bytes",
        "known_head",
        "left",
        "line_seen",
        "pending",
        "scanned",
        "skipped",
        "surely_small",
    )

    def __init__(self, connection: Http1Connection, options: ConnectionOptions) -> None:
        super().__init__(connection, options)
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
        self.family: HeadFamily | None = None

    # The stream

    def feed(self, data: bytes) -> None:
        """Take what the client has sent; raises `RequestRefusedError`."""
        if self.pending or self.left or self.chunks is not None or self.skipped:
            self._feed_on(data)
            return
        size = len(data)
        if data.find(END) == size - 4 and 3 < size <= self.surely_small:
            # One whole head, as nearly always.
            family = self.family
            request = family.member(data) if family is not None else None
            if request is not None:
                self.connection.last_bytes = data
                self.connection.on_head(request)
                return
            try:
                self.parse(data)
            except RequestRefusedError as refused:
                self._not_taken(data, refused)
            else:
                self._remember(data)
            if self.body_begun:
                self._body_awaited()
        else:
            self._feed_on(data)

    def _remember(self, head: bytes) -> None:
        """Keep what came, for the next read may bring the same again, or the same with another target."""
        connection = self.connection
        request = connection.last_head
        if request.framing is not None:
            connection.last_bytes = None
            return
        before = connection.last_bytes
        connection.last_bytes = head
        if before is not None and request.target.startswith(b"/"):  # others stand for Host as well
            rest = head[len(request.method) + 1 + len(request.target) :]
            if len(rest) <= MAX_KEPT and before.endswith(rest):
                self.family = HeadFamily(request, rest)

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

    def take(self, request: RequestHead) -> None:
        """Hand a head to the connection, and expect its body; raises `RequestRefusedError`."""
        connection = self.connection
        framing = request.framing
        connection.on_head(request)
        if framing is not None and framing.length:
            self.body_begun = True
            if framing.length > 0:
                self.left = framing.length
            else:
                self.chunks = ChunkedBody(self.options, connection.on_body)
