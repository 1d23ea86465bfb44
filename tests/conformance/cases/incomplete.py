"""Requests that the client does not finish: it says that it sends no more (RFC 9112 §8, §9.6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.conformance.cases.case import Case, closing, get, post, posted, refused, seen

_INCOMPLETE = "RFC 9112 8"
_CLOSED = "RFC 9112 9.6"
_LENGTH = b"Content-Length: 5"
_CHUNKED = b"Transfer-Encoding: chunked"

# There is nothing yet that an answer could be for.
_HEADS = (
    ("nothing", b""),
    ("an empty line", b"\r\n"),
    ("a method", b"GET"),
    ("a request line", b"GET / HTTP/1.1\r\n"),
    ("half a field", b"GET / HTTP/1.1\r\nHost: a\r\nA: b"),
    ("a head without its last CRLF", b"GET / HTTP/1.1\r\nHost: a\r\n"),
    ("a head without its last LF", b"GET / HTTP/1.1\r\nHost: a\r\n\r"),
)

# head's field, what has come of the body, what of that is data
_BODIES = (
    ("no byte of a body", _LENGTH, b"", b""),
    ("four bytes of five", _LENGTH, b"hell", b"hell"),
    ("no chunk", _CHUNKED, b"", b""),
    ("half a size", _CHUNKED, b"5", b""),
    ("half a line end behind a size", _CHUNKED, b"5\r", b""),
    ("half an extension", _CHUNKED, b"5;a", b""),
    ("a size", _CHUNKED, b"5\r\n", b""),
    ("half a chunk", _CHUNKED, b"5\r\nhe", b"he"),
    ("a chunk without its line end", _CHUNKED, b"5\r\nhello", b"hello"),
    ("a chunk with half its line end", _CHUNKED, b"5\r\nhello\r", b"hello"),
    ("chunks without the last one", _CHUNKED, b"5\r\nhello\r\n", b"hello"),
    ("half a last chunk", _CHUNKED, b"5\r\nhello\r\n0", b"hello"),
    ("a last chunk without its end", _CHUNKED, b"5\r\nhello\r\n0\r\n", b"hello"),
    ("a last chunk with half its end", _CHUNKED, b"5\r\nhello\r\n0\r\n\r", b"hello"),
    ("half a trailer", _CHUNKED, b"5\r\nhello\r\n0\r\nA: b", b"hello"),
    ("a trailer without the end", _CHUNKED, b"5\r\nhello\r\n0\r\nA: b\r\n", b"hello"),
    ("as much as there could ever be", b"Content-Length: 999999999999999999", b"hello", b"hello"),
    ("of the largest chunk", _CHUNKED, b"FFFFFFFFFFFFFFFF\r\nhello", b"hello"),
)


def _half_closed(case: Case) -> Case:
    return replace(case, half_closed=True)


CASES: Final[tuple[Case, ...]] = (
    *(_half_closed(closing(_INCOMPLETE, f"{what} and no more", data)) for what, data in _HEADS),
    _half_closed(closing(_INCOMPLETE, "a request and half of another", get() + b"GET /x HT", seen())),
    *(
        _half_closed(refused(_INCOMPLETE, f"{what} and no more", 400, post(line, body=data), body=body))
        for what, line, data, body in _BODIES
    ),
    _half_closed(
        refused(
            _INCOMPLETE,
            "a request and half the body of another",
            400,
            get() + post(_LENGTH, body=b"hell"),
            seen(),
            body=b"hell",
        )
    ),
    _half_closed(closing(_CLOSED, "a request is answered though no other will come", get(), seen())),
    _half_closed(
        closing(
            _CLOSED,
            "a request with a body is answered though no other will come",
            post(_LENGTH, body=b"hello"),
            posted((b"content-length", b"5"), body=b"hello"),
        )
    ),
    _half_closed(
        closing(
            _CLOSED,
            "several requests are answered though no other will come",
            get(target=b"/1") + get(target=b"/2") + get(target=b"/3"),
            *(seen(target=b"/%d" % number) for number in (1, 2, 3)),
        )
    ),
)
