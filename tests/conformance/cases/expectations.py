"""Expect: 100-continue, and nothing else (RFC 9110 §10.1.1)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, closing, get, post, posted, refused, seen, taken

_EXPECT = "RFC 9110 10.1.1"
_LENGTH = b"Content-Length: 2"

_UNKNOWN = (
    ("another expectation", b"gold"),
    ("another one behind it", b"100-continue, gold"),
    ("another one in front", b"gold, 100-continue"),
    ("a parameter", b"100-continue;a=b"),
    ("a value", b"100-continue=1"),
    ("a part of the word", b"100"),
    ("a status line's words", b"100 Continue"),
    ("quotes", b'"100-continue"'),
)

CASES: Final[tuple[Case, ...]] = (
    *(
        taken(
            _EXPECT,
            f"{value.decode()} with a body",
            post(b"Expect: " + value, _LENGTH, body=b"hi"),
            posted((b"expect", value), (b"content-length", b"2"), body=b"hi"),
        )
        for value in (b"100-continue", b"100-Continue", b"100-CONTINUE")
    ),
    taken(
        _EXPECT,
        "100-continue with a chunked body",
        post(b"Expect: 100-continue", b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
        posted((b"expect", b"100-continue"), (b"transfer-encoding", b"chunked"), body=b"hi"),
    ),
    taken(
        _EXPECT,
        "100-continue without a body",
        get(b"Expect: 100-continue"),
        seen((b"expect", b"100-continue")),
    ),
    taken(
        _EXPECT,
        "100-continue with an empty body",
        post(b"Expect: 100-continue", b"Content-Length: 0"),
        posted((b"expect", b"100-continue"), (b"content-length", b"0")),
    ),
    taken(
        _EXPECT,
        "100-continue twice",
        post(b"Expect: 100-continue", b"Expect: 100-continue", _LENGTH, body=b"hi"),
        posted(
            (b"expect", b"100-continue"),
            (b"expect", b"100-continue"),
            (b"content-length", b"2"),
            body=b"hi",
        ),
    ),
    closing(
        _EXPECT,
        "100-continue in HTTP/1.0 is not heard",
        post(b"Expect: 100-continue", _LENGTH, body=b"hi", version=b"HTTP/1.0"),
        posted((b"expect", b"100-continue"), (b"content-length", b"2"), body=b"hi", version="1.0"),
    ),
    *(
        refused(_EXPECT, f"an expectation with {what}", 417, post(b"Expect: " + value, _LENGTH, body=b"hi"))
        for what, value in _UNKNOWN
    ),
    refused(
        _EXPECT,
        "two expectations, one of them unknown",
        417,
        post(b"Expect: 100-continue", b"Expect: gold", _LENGTH, body=b"hi"),
    ),
    refused(_EXPECT, "an unknown expectation without a body", 417, get(b"Expect: gold")),
)
