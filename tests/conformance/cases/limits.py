"""Limits: what is as large as they say is taken, one more is refused.

RFC 9110 §15.5.14 and §15.5.15, RFC 6585 §5.
"""

from __future__ import annotations

from typing import Any, Final

from tests.conformance.cases.case import Case, get, post, posted, refused, seen, taken

_LINE = "RFC 9112 3"
_BODY = "RFC 9110 15.5.14"
_TARGET = "RFC 9110 15.5.15"
_FIELDS = "RFC 6585 5"
_CHUNKS = "RFC 9112 7.1"
_EXTENSIONS = "RFC 9112 7.1.1"
_TRAILERS = "RFC 9112 7.1.2"
_CHUNKED = b"Transfer-Encoding: chunked"
_CODED = (b"transfer-encoding", b"chunked")
_LAST = b"0\r\n\r\n"


def _line(length: int) -> bytes:
    """A target that makes a request line of `length` bytes."""
    return b"/" + b"x" * (length - len(b"GET / HTTP/1.1"))


def _fields(count: int) -> bytes:
    """A request with `count` fields."""
    return get(*[b"A: b"] * (count - 1))


def _seen_fields(count: int, **options: Any) -> Case:
    return taken(_FIELDS, f"{count} fields", _fields(count), seen(*[(b"a", b"b")] * (count - 1)), **options)


def _field(what: str, length: int, **options: Any) -> Case:
    value = b"x" * (length - 3)
    return taken(_FIELDS, what, get(b"A: " + value), seen((b"a", value)), **options)


def _field_refused(what: str, length: int, **options: Any) -> Case:
    return refused(_FIELDS, what, 431, get(b"A: " + b"x" * (length - 3)), **options)


def _chunks(*sizes: int) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (size, b"x" * size) for size in sizes) + _LAST


_LONG = b"B: " + b"c" * 40
_HEAD = get(b"A: " + b"x" * 40, b"B: " + b"y" * 40)

CASES: Final[tuple[Case, ...]] = (
    taken(_LINE, "a target of 8000 bytes", get(target=_line(8014)), seen(target=_line(8014))),
    taken(_TARGET, "a request line of 8190 bytes", get(target=_line(8190)), seen(target=_line(8190))),
    refused(_TARGET, "a request line of 8191 bytes", 414, get(target=_line(8191))),
    taken(_TARGET, "a line of the limit", get(target=_line(40)), seen(target=_line(40)), limit_line=40),
    refused(_TARGET, "a line above the limit", 414, get(target=_line(41)), limit_line=40),
    refused(_TARGET, "a line above the limit without an end", 414, b"GET /" + b"x" * 60, limit_line=40),
    refused(_TARGET, "a method above the limit", 414, get(method=b"A" * 41), limit_line=40),
    refused(
        _TARGET,
        "a line above the limit that is bad behind it",
        414,
        get(target=b"/" + b"x" * 40 + b"\0"),
        limit_line=40,
    ),
    refused(
        _TARGET,
        "a line above the limit that is bad before",
        400,
        get(target=b"/\0" + _line(41)),
        limit_line=40,
    ),
    refused(
        _TARGET,
        "a line above the limit behind a good request",
        414,
        get() + get(target=_line(41)),
        seen(),
        limit_line=40,
    ),
    taken(
        _TARGET,
        "empty lines in front do not count",
        b"\r\n" * 20 + get(target=_line(40)),
        seen(target=_line(40)),
        limit_line=40,
    ),
    _seen_fields(100),
    refused(_FIELDS, "101 fields", 431, _fields(101)),
    _seen_fields(4, limit_fields=4),
    refused(_FIELDS, "5 fields where 4 are allowed", 431, _fields(5), limit_fields=4),
    refused(_FIELDS, "a bad field before one too many", 400, get(b"A", *[b"B: c"] * 5), limit_fields=4),
    refused(_FIELDS, "a bad field behind one too many", 431, get(*[b"B: c"] * 5, b"A"), limit_fields=4),
    _field("a field of 8190 bytes", 8190),
    _field_refused("a field of 8191 bytes", 8191),
    _field("a field of the limit", 30, limit_field_size=30),
    _field_refused("a field above the limit", 31, limit_field_size=30),
    refused(_FIELDS, "white space counts", 431, get(b"A:" + b" " * 30), limit_field_size=30),
    refused(_FIELDS, "a name above the limit", 431, get(b"A" * 31 + b": b"), limit_field_size=30),
    refused(
        _FIELDS, "a name above the limit without an end", 431, get()[:-2] + b"A" * 80, limit_field_size=30
    ),
    refused(_FIELDS, "a bad field above the limit", 431, get(b"A" * 31 + b"\0: b"), limit_field_size=30),
    refused(_FIELDS, "a field bad before the limit", 400, get(b"A\0" + b"b" * 31), limit_field_size=30),
    refused(
        _FIELDS, "a bad name before a field above the limit", 400, get(b"A(: b", _LONG), limit_field_size=30
    ),
    refused(
        _FIELDS, "a bad name behind a field above the limit", 431, get(_LONG, b"A(: b"), limit_field_size=30
    ),
    refused(
        _FIELDS,
        "a second Host before a field above the limit",
        400,
        get(b"Host: a", _LONG),
        limit_field_size=30,
    ),
    refused(
        _FIELDS,
        "what the head as a whole lacks is found behind a field above the limit",
        431,
        b"GET / HTTP/1.1\r\n" + _LONG + b"\r\n\r\n",
        limit_field_size=30,
    ),
    taken(
        _FIELDS,
        "a head of the limit",
        _HEAD,
        seen((b"a", b"x" * 40), (b"b", b"y" * 40)),
        limit_head=len(_HEAD),
    ),
    refused(_FIELDS, "a head above the limit", 431, _HEAD, limit_head=len(_HEAD) - 1),
    refused(
        _FIELDS,
        "a head above the limit behind a good request",
        431,
        get() + _HEAD,
        seen(),
        limit_head=len(_HEAD) - 1,
    ),
    refused(_FIELDS, "a head that never ends", 431, get()[:-2] + b"A: bcd\r\n" * 200, limit_head=1000),
    taken(
        _BODY,
        "a body of the limit",
        post(b"Content-Length: 5", body=b"hello"),
        posted((b"content-length", b"5"), body=b"hello"),
        limit_body=5,
    ),
    refused(_BODY, "a body above the limit", 413, post(b"Content-Length: 6", body=b"hello!"), limit_body=5),
    refused(_BODY, "a body far above the limit", 413, post(b"Content-Length: 999999999999"), limit_body=5),
    refused(
        _BODY,
        "a body above the limit that waits for 100",
        413,
        post(b"Expect: 100-continue", b"Content-Length: 6"),
        limit_body=5,
    ),
    taken(
        _BODY,
        "a chunk of the limit",
        post(_CHUNKED, body=_chunks(5)),
        posted(_CODED, body=b"xxxxx"),
        limit_body=5,
    ),
    refused(_BODY, "a chunk above the limit", 413, post(_CHUNKED, body=_chunks(6)), body=b"", limit_body=5),
    taken(
        _BODY,
        "chunks of the limit",
        post(_CHUNKED, body=_chunks(2, 2, 1)),
        posted(_CODED, body=b"xxxxx"),
        limit_body=5,
    ),
    refused(
        _BODY,
        "chunks above the limit",
        413,
        post(_CHUNKED, body=_chunks(2, 2, 2)),
        body=b"xxxx",
        limit_body=5,
    ),
    refused(
        _BODY,
        "the largest chunk",
        413,
        post(_CHUNKED, body=b"FFFFFFFFFFFFFFFF\r\nhello"),
        body=b"",
        limit_body=5,
    ),
    taken(
        _EXTENSIONS,
        "an extension of 4 kB",
        post(_CHUNKED, body=b"1;" + b"a" * 4094 + b"\r\nx\r\n" + _LAST),
        posted(_CODED, body=b"x"),
    ),
    refused(
        _EXTENSIONS,
        "an extension above 4 kB",
        400,
        post(_CHUNKED, body=b"1;" + b"a" * 4095 + b"\r\nx\r\n" + _LAST),
        body=b"",
    ),
    refused(
        _EXTENSIONS, "an extension without an end", 400, post(_CHUNKED, body=b"1;" + b"a" * 9000), body=b""
    ),
    refused(
        _EXTENSIONS,
        "extensions far larger than their data",
        400,
        post(_CHUNKED, body=(b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 20 + _LAST),
        body=b"x" * 20,
    ),
    taken(
        _CHUNKS,
        "many chunks of a byte",
        post(_CHUNKED, body=b"1\r\nx\r\n" * 500 + _LAST),
        posted(_CODED, body=b"x" * 500),
    ),
    taken(
        _TRAILERS,
        "as many trailers as fields",
        post(_CHUNKED, body=b"0\r\n" + b"A: b\r\n" * 4 + b"\r\n"),
        posted(_CODED),
        limit_fields=4,
    ),
    refused(
        _TRAILERS,
        "one trailer too many",
        431,
        post(_CHUNKED, body=b"0\r\n" + b"A: b\r\n" * 5 + b"\r\n"),
        body=b"",
        limit_fields=4,
    ),
    taken(
        _TRAILERS,
        "a trailer of the limit",
        post(_CHUNKED, body=b"0\r\nA: " + b"b" * 37 + b"\r\n\r\n"),
        posted(_CODED),
        limit_field_size=40,
    ),
    refused(
        _TRAILERS,
        "a trailer above the limit",
        431,
        post(_CHUNKED, body=b"0\r\nA: " + b"b" * 38 + b"\r\n\r\n"),
        body=b"",
        limit_field_size=40,
    ),
    refused(
        _TRAILERS,
        "a trailer without an end",
        431,
        post(_CHUNKED, body=b"0\r\nA: " + b"b" * 200),
        body=b"",
        limit_field_size=40,
    ),
    refused(
        _TRAILERS,
        "trailers above the limit of a head",
        431,
        post(_CHUNKED, body=b"0\r\n" + b"A: bcdefgh\r\n" * 20 + b"\r\n"),
        body=b"",
        limit_head=200,
    ),
)
