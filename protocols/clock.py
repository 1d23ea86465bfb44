"""The coarse clock of an event loop: what is the same for every response of one second."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aserve.protocols.wording import REASONS, http_date


class Clock:
    """Time and status lines, renewed by `tick` about once a second.

    server: the Server header, None for none. date: whether to send Date. headers: more of them for
    every response; Server and Date among them take the place of those.

    now: the loop's time in seconds at the last tick. prefixes: status -> status line with the
    default headers, without the last line end; ask `prefix` for one that may be missing.
    """

    __slots__ = ("_date", "_defaults", "_fixed", "_loop", "now", "prefixes")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        server: bytes | None,
        date: bool = True,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        self._loop = loop
        # Lower-cased name, and the line with CRLF in front.
        self._fixed = [(name.lower(), b"\r\n%b: %b" % (name, value)) for name, value in headers]
        given = {name for name, _ in self._fixed}
        if server is not None and b"server" not in given:
            self._fixed.insert(0, (b"server", b"\r\nserver: " + server))
        self._date = date and b"date" not in given
        self.prefixes: dict[int, bytes] = {}
        self._defaults = b""
        self.now = 0.0
        self.tick()

    def tick(self) -> None:
        """Take the time; to be called about once a second."""
        self.now = self._loop.time()
        self._defaults = self.defaults()
        self.prefixes = {}

    def defaults(self, *, without: frozenset[bytes] = frozenset()) -> bytes:
        """The default header lines (RFC 9110 §6.6.1, §10.2.4), but for the names in `without`."""
        lines = [line for name, line in self._fixed if name not in without]
        if self._date and b"date" not in without:
            lines.append(b"\r\ndate: " + http_date())
        return b"".join(lines)

    def prefix(self, status: int) -> bytes:
        """The status line (RFC 9112 §4) and default headers of `status`."""
        line = self.prefixes.get(status)
        if line is None:
            line = self.prefixes[status] = status_line(status) + self._defaults
        return line

    def prefix_without(self, status: int, replaced: frozenset[bytes], reason: bytes) -> bytes:
        """A prefix of one's own.

        replaced: the names of the default headers that it leaves out. reason: the reason phrase,
        b"" for the standard one.
        """
        return status_line(status, reason) + self.defaults(without=replaced)


def status_line(status: int, reason: bytes = b"") -> bytes:
    """`HTTP/1.1 200 OK` (RFC 9112 §4), without the line end; the standard reason phrase if none is given."""
    return b"HTTP/1.1 %d %b" % (status, reason or REASONS.get(status, b""))
