"""Streams of bytes that something went wrong with once: two parsers or two ways to arrive differed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aserve.protocols.options import ConnectionOptions
from tests.fuzz.samples import SMALL


@dataclass(frozen=True)
class Case:
    """reads: what comes at a time. requests: how many are taken. refusal: the status then, 0 for none."""

    reads: tuple[bytes, ...]
    requests: int
    refusal: int = 0
    options: ConnectionOptions | None = None


def _coded(coding: bytes, body: bytes = b"0\r\n\r\n") -> tuple[bytes, ...]:
    return (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:" + coding + b"\r\n\r\n" + body,)


CASES: Final[dict[str, Case]] = {
    "two empty lines are no head": Case((b"\r\n\r\n",), 0),
    "two empty lines, then a request": Case((b"\r\n\r\n", SMALL), 1),
    "an empty line behind each request": Case(
        (b"\r\n", SMALL) * 20, 20, options=ConnectionOptions(limit_line=30)
    ),
    "a refusal behind more requests than may wait": Case((SMALL * 20 + b"X\r\n\r\n",), 20, 400),
    "a refusal in the turn of a response": Case((SMALL * 2, SMALL + b"\nX"), 3, 400),
    "a line of just the limit, cut in its line end": Case(
        (b"GET / HTTP/1.1\r", b"\nHost: a\r\n\r\n"), 1, options=ConnectionOptions(limit_line=14)
    ),
    "a bad field in a head without an end": Case((b"GET / HTTP/1.1\r\n", b"A b: c\r\n"), 0),
    "a bad field behind more bytes than a line may have": Case(
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n",), 0, options=ConnectionOptions(limit_line=24)
    ),
    "the beginning of a head behind a request": Case((SMALL + b"G",), 1),
    "a coding in capitals": Case(_coded(b" CHUNKED"), 1),
    "a tab behind a coding": Case(_coded(b"chunked\t"), 1),
    "a list of codings that ends with a comma": Case(_coded(b" chunked,"), 0, 501),
    "a list of codings that begins with a comma": Case(_coded(b" , chunked"), 0, 501),
    "a control character in a trailer field before its limit": Case(
        _coded(b"chunked", b"0\r\nX: \0%b\r\n\r\n" % (b"y" * 40)),
        0,
        400,
        ConnectionOptions(limit_field_size=30),
    ),
    "a tab in a target": Case((b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",), 0, 400),
}
