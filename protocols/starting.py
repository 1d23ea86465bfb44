"""The beginning of an exchange's response: its status and fields, as the application gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aserve.protocols.errors import ClientDisconnectedError, ResponseError
from aserve.protocols.fieldlines import HEADS, LENGTHS, LINES, KnownHead, as_tuples, field_line, remember_head
from aserve.protocols.incoming import Incoming
from aserve.protocols.response import NO_LENGTH, WITHOUT_BODY, replace_prefix, valid_status
from aserve.protocols.states import Response

_WAITING = Response.WAITING
_HELD = Response.HELD
_LOST = Response.LOST
_BROKEN = Response.BROKEN

_NONE: Final[frozenset[bytes]] = frozenset()

# Methods whose responses may have no body, whatever their status (RFC 9110 §9.3.2, §9.3.6).
_BODILESS_METHODS: Final = frozenset({"HEAD", "CONNECT"})


class Starting(Incoming):
    """An exchange as far as its response's head, which is held in `head` until there are body bytes.

    remaining: bytes of the body that are still to come, or `NO_LENGTH` or `TRAILING`. bodiless: it may
    have none. closing: the connection ends behind it. replaced: default fields that it has of its own.
    """

    __slots__ = (
        "bodiless",
        "closing",
        "head",
        "remaining",
        "replaced",
        "response_headers",
        "state",
        "status",
    )

    response_headers: Iterable[tuple[bytes, bytes]]
    replaced: frozenset[bytes]

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]], reason: bytes = b"") -> None:
        """Take the response's head. It is held until there are body bytes, or `flush`.

        status: 200 to 999. headers: names and values as bytes. reason: the reason phrase if it is
        not the standard one. Replaces a head that is still held.
        Raises `ResponseError` for what HTTP does not allow (RFC 9110 §5.1, §5.5), and nothing of
        the response is kept then; `ClientDisconnectedError`.
        """
        if self.state is not _WAITING:
            if self.state is not _HELD:
                raise self._misplaced("the response has already been started")
            self.state = _WAITING
        try:
            if headers.__class__ is not list:
                headers = list(headers)  # an iterator would be of use only once
            known = HEADS.get((status, tuple(headers)))
        except TypeError:
            known = None  # pairs need not be tuples, and there is something to say if these are no pairs
        if known is None or reason or self.request.method == "CONNECT":
            self._start_new(status, headers, reason)
        else:
            self.start_known(status, headers, known)

    def start_known(self, status: int, headers: Iterable[tuple[bytes, bytes]], known: KnownHead) -> None:
        """As `start`, with what `HEADS` has of it, for the first head and but for CONNECT."""
        clock = self.connection.group.clock
        prefix = clock.prefixes.get(status) or clock.prefix(status)
        sent = known.sent
        if sent[0] is not prefix:
            sent = known.sent = (prefix, prefix + known.lines)
        self.head = sent[1]
        self.remaining = known.length
        self.closing = False
        self.status = status
        self.bodiless = known.bodiless or self.request.method == "HEAD"
        self.response_headers = headers
        self.state = _HELD

    def _start_new(self, status: int, headers: Iterable[tuple[bytes, bytes]], reason: bytes) -> None:
        method = self.request.method
        clock = self.connection.group.clock
        self.remaining = NO_LENGTH
        self.replaced = _NONE
        self.closing = False
        parts = [clock.prefixes.get(status) or clock.prefix(valid_status(status))]
        familiar = True
        try:
            for field in headers:
                line = LINES.get(field)
                if line is None:
                    length = LENGTHS.get(field)
                    if length and status == 200 and self.remaining == NO_LENGTH and method != "CONNECT":
                        line, self.remaining = length
                    else:
                        familiar = False
                        if (line := field_line(self, field, status)) is None:
                            continue
                parts.append(line)
        except (TypeError, ValueError, AttributeError):
            self.start(status, as_tuples(headers), reason)  # pairs need not be tuples
            return
        if self.replaced or reason:
            replace_prefix(self, parts, status, reason)
        elif familiar and method != "CONNECT":
            remember_head(status, headers, b"".join(parts[1:]), self.remaining)
        self.head = b"".join(parts)
        self.status = status
        self.bodiless = status in WITHOUT_BODY or (
            method in _BODILESS_METHODS and (method == "HEAD" or status < 300)
        )
        self.response_headers = headers
        self.state = _HELD

    def _misplaced(self, text: str) -> Exception:
        """Why the response cannot go on."""
        if self.state is _LOST or self.state is _BROKEN or self.disconnected:
            return ClientDisconnectedError("the client has disconnected")
        return ResponseError(text)
