"""A request's head in the raw: found in the stream, and judged byte by byte when it is not taken.

The parsers only ever see complete heads, and say no more than yes or no. What is wrong with a head
that one of them does not take is told here, in the order of its bytes: so neither the parser nor
the way the bytes arrived makes a difference to the answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aserve.protocols import policy
from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.policy import Refusal

if TYPE_CHECKING:
    from aserve.protocols.options import ConnectionOptions

END: Final = b"\r\n\r\n"

# Nothing but CRLF ends a line (RFC 9112 §2.2), and field values have no other control characters
# than HTAB (RFC 9110 §5.5). A CR at the very end may still be half of a CRLF.
BAD: Final = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?=[^\n])|(?<!\r)\n")

_CONTROLS: Final = bytes({*range(32), 127} - {*b"\t\r\n"})
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)*")
_VERSION: Final = re.compile(rb"HTTP/([0-9])\.([0-9])")
_LATER_MINOR: Final = re.compile(rb"(?<= HTTP/1\.)[2-9](?=\r\n)")


def is_clean(data: bytes) -> bool:
    """Whether there is nothing in `data` for `BAD` to find, at a fraction of its cost."""
    ends = data.count(b"\r\n")
    return data.count(b"\r") == ends == data.count(b"\n") and len(data.translate(None, _CONTROLS)) == len(
        data
    )


def skip_empty_lines(data: bytes) -> bytes:
    """`data` without the empty lines in front of a request (RFC 9112 §2.2)."""
    match = _EMPTY_LINES.match(data)
    return data[match.end() :] if match is not None else data


def as_1_1(head: bytes) -> bytes:
    """A head of a later minor version as one of HTTP/1.1, the highest that we speak (RFC 9110 §2.5)."""
    end = head.find(b"\r\n") + 2
    return _LATER_MINOR.sub(b"1", head[:end]) + head[end:]


def judge(head: bytes, options: ConnectionOptions) -> Refusal | None:
    """The first thing that is wrong with `head`, which may be incomplete; None if nothing is.

    head: without empty lines in front; all of it, or as much as has come.
    """
    try:
        _Judge(options).walk(head)
    except RequestRefusedError as refused:
        return refused.refusal
    return None


class _Judge:
    """What has been seen of a head."""

    def __init__(self, options: ConnectionOptions) -> None:
        self.options = options
        self.method = ""
        self.target = b""
        self.version = ""
        self.hosts: list[bytes] = []
        self.special: list[tuple[bytes, bytes]] = []

    def walk(self, head: bytes) -> None:
        """Judge line by line; raises `RequestRefusedError`."""
        options = self.options
        clean = is_clean(head)
        start = 0
        limit = options.limit_line
        for number in range(options.limit_fields + 2):
            end = head.find(b"\r\n", start)
            line = head[start:] if end < 0 else head[start : end + 2]
            bad = None if clean else BAD.search(line)
            self._check_line(line, limit, bad, first=not number, room=options.limit_head - start)
            if end < 0:
                return  # the rest is still to come
            line = line[:-2]
            if not number:
                self._request_line(line)
            elif not line:
                self._whole()
                return
            elif number > options.limit_fields:
                break
            else:
                self._field(line)
            start = end + 2
            limit = options.limit_field_size
        raise RequestRefusedError(policy.HEAD_TOO_LARGE)

    def _check_line(
        self, line: bytes, limit: int, bad: re.Match[bytes] | None, *, first: bool, room: int
    ) -> None:
        """Check characters and length: what comes first counts. `line` has its CRLF if it is complete."""
        complete = line.endswith(b"\r\n")
        length = len(line) - 2 if complete else len(line.removesuffix(b"\r"))
        if bad is not None and bad.start() < min(limit, room):
            raise RequestRefusedError(policy.MALFORMED)
        if length > limit or len(line) > room:
            raise RequestRefusedError(policy.TARGET_TOO_LONG if first else policy.HEAD_TOO_LARGE)

    def _request_line(self, line: bytes) -> None:
        method, _, rest = line.partition(b" ")
        target, _, protocol = rest.partition(b" ")
        if not policy.is_token(method) or not target:
            raise RequestRefusedError(policy.MALFORMED)
        version = _VERSION.fullmatch(protocol)
        if version is None:
            raise RequestRefusedError(policy.BAD_VERSION)
        if version[1] != b"1":
            raise RequestRefusedError(policy.VERSION_UNSUPPORTED)
        if not policy.is_method(method):
            raise RequestRefusedError(policy.METHOD_UNKNOWN)
        self.version = "1.0" if version[2] == b"0" else "1.1"
        self.method = policy.method_name(method)
        self.target = target
        policy.check_target(self.method, target)

    def _field(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if not colon or not policy.is_token(name):
            raise RequestRefusedError(policy.MALFORMED)
        lower = name.lower()
        options = self.options
        # Names that proxies may send are left to the reader, who knows whether this is one.
        if b"_" in lower and options.header_map == "refuse" and not options.forwarder_fields:
            raise RequestRefusedError(policy.NAME_UNDERSCORE)
        value = value.strip(b" \t")
        if lower == b"host":
            if self.hosts:
                raise RequestRefusedError(policy.HOST_REPEATED)
            self.hosts.append(value)
        elif lower in policy.SPECIAL_HEADERS:
            self.special.append((lower, value))

    def _whole(self) -> None:
        """What no line alone shows."""
        policy.check_host(self.version, self.target, self.hosts[0] if self.hosts else None)
        framing = policy.frame(self.version, self.special)
        policy.check_length(framing.length, self.options.limit_body)
