"""Chunked request bodies, decoded (RFC 9112 §7.1).

Neither parser is asked: they differ in what they let through, and only one place may say where a
body ends and the next request begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aserve.protocols import policy
from aserve.protocols.errors import RequestRefusedError

if TYPE_CHECKING:
    from aserve.protocols.options import ConnectionOptions

Sink = Callable[[bytes], None]

# Bytes of the line in front of a chunk; of all that is no data in a chunked body, beyond what its
# chunks need: one-byte chunks are bad manners, kilobytes of extensions for each of them an attack.
LINE_LIMIT: Final = 4096
EXCESS_LIMIT: Final = 16 * 1024
_CHUNK_ALLOWANCE: Final = 16

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
# Blanks are for the places between the parts of extensions alone, never behind the size.
_CHUNK_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"(?:;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?(?:[ \t]+(?=;))?)*"
)
# Also a CR or LF that is no part of a line end.
_CONTROL: Final = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")
_CHUNK_LINE_BEGUN: Final = re.compile(rb"[0-9A-Fa-f]{0,16}|[0-9A-Fa-f]{1,16}(?:;[^\r\n]*)?\r?")


class ChunkedBody:
    """A chunked body (RFC 9112 §7.1) and the trailer fields behind it, which are checked and dropped.

    options: the limits. sink: takes the data of all chunks that one `feed` brings at once: a
    chunk of one byte must not cost an object.
    """

    __slots__ = (
        "_excess",
        "_fields",
        "_left",
        "_options",
        "_partial",
        "_sink",
        "_total",
        "_trailer",
        "complete",
    )

    def __init__(self, options: ConnectionOptions, sink: Sink) -> None:
        self._options = options
        self._sink = sink
        self._partial = b""
        self._left = 0  # of the chunk's data, and 2 for its CRLF
        self._total = 0
        self._excess = 0
        self._trailer = 0  # bytes, once the last chunk has come
        self._fields = -1
        self.complete = False

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to the body; returns what is behind it. Raises `RequestRefusedError`."""
        pieces: list[bytes] = []
        if self._partial:
            data = self._partial + data
            self._partial = b""
        offset = 0
        while offset < len(data) and not self.complete:
            if self._left > 2:
                piece = data[offset : offset + self._left - 2]
                pieces.append(piece)
                self._left -= len(piece)
                offset += len(piece)
            elif self._left:
                offset = self._end_of_chunk(data, offset)
            else:
                offset = self._line(data, offset)
        if pieces:
            self._sink(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return data[offset:]

    def _end_of_chunk(self, data: bytes, offset: int) -> int:
        ending = data[offset : offset + self._left]
        if not b"\r\n"[2 - self._left :].startswith(ending):
            raise RequestRefusedError(policy.BAD_CHUNK)
        self._left -= len(ending)
        return offset + len(ending)

    def _line(self, data: bytes, offset: int) -> int:
        end = data.find(b"\r\n", offset)
        if end < 0:
            self._check_partial(data[offset:])
            self._partial = data[offset:]
            return len(data)
        line = data[offset:end]
        if self._fields < 0:
            self._chunk_line(line)
        else:
            self._trailer_line(line)
        return end + 2

    def _chunk_line(self, line: bytes) -> None:
        match = _CHUNK_LINE.fullmatch(line) if len(line) <= LINE_LIMIT else None
        if match is None:
            raise RequestRefusedError(policy.BAD_CHUNK)
        size = int(match[1], 16)
        self._excess = max(0, self._excess + len(line) - _CHUNK_ALLOWANCE - size)
        if self._excess > EXCESS_LIMIT:
            raise RequestRefusedError(policy.BAD_CHUNK)
        self._total += size
        policy.check_length(self._total, self._options.limit_body)
        if size:
            self._left = size + 2
        else:
            self._fields = 0

    def _trailer_line(self, line: bytes) -> None:
        if not line:
            self.complete = True
            return
        self._check_trailer(line)
        self._fields += 1
        self._trailer += len(line) + 2
        if self._fields > self._options.limit_fields:
            raise RequestRefusedError(policy.TRAILER_TOO_LARGE)
        name, colon, _ = line.partition(b":")
        if not colon or not policy.is_token(name):
            raise RequestRefusedError(policy.BAD_TRAILER)

    def _check_trailer(self, line: bytes) -> None:
        """Check characters and length, of what may be a part of the line: what comes first counts."""
        options = self._options
        limit = min(options.limit_field_size, options.limit_head - self._trailer)
        bad = _CONTROL.search(line)
        if bad is not None and bad.start() < limit:
            raise RequestRefusedError(policy.BAD_TRAILER)
        if len(line) > limit:
            raise RequestRefusedError(policy.TRAILER_TOO_LARGE)

    def _check_partial(self, line: bytes) -> None:
        """Refuse what can become no line any more."""
        if self._fields >= 0:
            self._check_trailer(line.removesuffix(b"\r"))
        elif len(line) > LINE_LIMIT + 1 or _CHUNK_LINE_BEGUN.fullmatch(line) is None:
            raise RequestRefusedError(policy.BAD_CHUNK)
