"""Content-Length, and what it means together with others (RFC 9112 §6.2, §6.3; RFC 9110 §8.6)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, closing, get, post, posted, refused, seen, taken

_LENGTH = "RFC 9112 6.2"
_BODY_LENGTH = "RFC 9112 6.3"
_VALUE = "RFC 9110 8.6"

_INVALID = (
    ("nothing", b""),
    ("a plus sign", b"+5"),
    ("a minus sign", b"-5"),
    ("minus zero", b"-0"),
    ("an underscore", b"1_0"),
    ("a space inside", b"1 0"),
    ("HTAB inside", b"1\t0"),
    ("a decimal point", b"5.0"),
    ("an exponent", b"5e0"),
    ("hexadecimal digits", b"0x5"),
    ("hexadecimal digits without a mark", b"a"),
    ("letters behind digits", b"5x"),
    ("a word", b"five"),
    ("quotes", b'"5"'),
    ("a semicolon", b"5;"),
    ("a comma behind", b"5,"),
    ("a comma in front", b",5"),
    ("two different values", b"5, 6"),
    ("two equal values", b"5, 5"),
    ("two equal values without a space", b"5,5"),
    ("digits that are not ASCII", "\uff15".encode()),
    ("a superscript digit", b"\xb2"),
    ("a no-break space", b"\xa05"),
    ("2 ** 64", b"18446744073709551616"),
    ("2 ** 64 + 5", b"18446744073709551621"),
    ("2 ** 63", b"9223372036854775808"),
    ("forty digits", b"1" * 40),
    ("forty zeros and a digit", b"0" * 40 + b"5"),
)

_TWICE = (
    ("two different lengths", (b"Content-Length: 5", b"Content-Length: 6")),
    ("two equal lengths", (b"Content-Length: 5", b"Content-Length: 5")),
    ("two lengths apart", (b"Content-Length: 5", b"A: b", b"content-length: 0")),
    ("a length and an empty one", (b"Content-Length: 5", b"Content-Length:")),
    ("an empty length and one", (b"Content-Length:", b"Content-Length: 5")),
)


def _taken(what: str, method: str, length: bytes, body: bytes) -> Case:
    return taken(
        _LENGTH,
        what,
        get(b"Content-Length: " + length, method=method.encode()) + body,
        seen((b"content-length", length), method=method, body=body),
    )


CASES: Final[tuple[Case, ...]] = (
    _taken("a body", "POST", b"5", b"hello"),
    _taken("a body of a GET", "GET", b"5", b"hello"),
    _taken("a body of a HEAD", "HEAD", b"5", b"hello"),
    _taken("a body of a DELETE", "DELETE", b"5", b"hello"),
    _taken("a body of an OPTIONS", "OPTIONS", b"5", b"hello"),
    _taken("length zero", "POST", b"0", b""),
    _taken("many zeros", "POST", b"000000000", b""),
    _taken("leading zeros", "POST", b"005", b"hello"),
    _taken("a body that looks like a request", "POST", b"18", b"GET /x HTTP/1.1\r\n\r"),
    _taken("a body of line ends", "POST", b"6", b"\r\n\r\n\r\n"),
    _taken("a body of NUL", "POST", b"4", bytes(4)),
    _taken("a body that looks chunked", "POST", b"5", b"0\r\n\r\n"),
    closing(
        _LENGTH,
        "a body in HTTP/1.0",
        post(b"Content-Length: 2", body=b"hi", version=b"HTTP/1.0"),
        posted((b"content-length", b"2"), body=b"hi", version="1.0"),
    ),
    taken(
        _LENGTH,
        "white space around the length",
        post(b"content-length: \t 2 \t", body=b"hi"),
        posted((b"content-length", b"2"), body=b"hi"),
    ),
    taken(_BODY_LENGTH, "a POST without a length has no body", post(b"A: b"), posted((b"a", b"b"))),
    taken(
        _BODY_LENGTH,
        "a length is exact: what is behind it is a request",
        post(b"Content-Length: 2", body=b"hi") + get(target=b"/next"),
        posted((b"content-length", b"2"), body=b"hi"),
        seen(target=b"/next"),
    ),
    refused(
        _BODY_LENGTH,
        "a length one too small: the last byte begins a request",
        400,
        post(b"Content-Length: 2", body=b"hi?"),
        posted((b"content-length", b"2"), body=b"hi"),
    ),
    refused(
        _BODY_LENGTH,
        "a body and no length",
        501,
        post(body=b"hello"),
        posted(),
    ),
    taken(
        _BODY_LENGTH,
        "Content_Length is no length",
        get(b"Content_Length: 40"),
        seen((b"content_length", b"40")),
        header_map="dangerous",
    ),
    *(refused(_BODY_LENGTH, what, 400, post(*lines, body=b"hello")) for what, lines in _TWICE),
    *(
        refused(_VALUE, f"a Content-Length of {what}", 400, post(b"Content-Length: " + value, body=b"hello"))
        for what, value in _INVALID
    ),
    refused(
        _VALUE,
        "a bad Content-Length in HTTP/1.0",
        400,
        post(b"Content-Length: -1", body=b"hello", version=b"HTTP/1.0"),
    ),
    refused(_VALUE, "a bad Content-Length of a GET", 400, get(b"Content-Length: x")),
)
