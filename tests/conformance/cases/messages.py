"""Message format: what ends a line, what may stand in front of a request (RFC 9112 §2)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, get, post, posted, refused, seen, taken

_PARSING = "RFC 9112 2.2"

_CLIENT_HELLO = bytes.fromhex(
    "16030100c8010000c403030123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef000002130100"
)

CASES: Final[tuple[Case, ...]] = (
    taken(_PARSING, "an empty line in front", b"\r\n" + get(), seen()),
    *(
        taken(_PARSING, f"{count} empty lines in front", b"\r\n" * count + get(), seen())
        for count in (2, 3, 4, 5)
    ),
    *(
        taken(_PARSING, f"{count} between requests", get() + b"\r\n" * count + get(), seen(), seen())
        for count in (1, 2, 3, 4)
    ),
    taken(
        _PARSING,
        "empty lines are counted for each request",
        (b"\r\n" * 10 + get()) * 4,
        *[seen()] * 4,
        limit_line=20,
    ),
    refused(_PARSING, "too many empty lines", 400, b"\r\n" * 11 + get(), limit_line=20),
    refused(_PARSING, "nothing but empty lines", 400, b"\r\n" * 5000),
    taken(
        _PARSING,
        "the extra CRLF of old clients behind a body",
        post(b"Content-Length: 2", body=b"hi") + b"\r\n" + get(),
        posted((b"content-length", b"2"), body=b"hi"),
        seen(),
    ),
    refused(_PARSING, "LF alone in front", 400, b"\n" + get()),
    refused(_PARSING, "CR alone in front", 400, b"\r" + get()),
    refused(_PARSING, "CR CR LF in front", 400, b"\r\r\n" + get()),
    refused(_PARSING, "LF behind the empty line in front", 400, b"\r\n\n" + get()),
    refused(_PARSING, "LF between requests", 400, get() + b"\n" + get(), seen()),
    refused(_PARSING, "a space in front", 400, b" " + get()),
    refused(_PARSING, "HTAB in front", 400, b"\t" + get()),
    refused(_PARSING, "a byte order mark in front", 400, b"\xef\xbb\xbf" + get()),
    refused(_PARSING, "NUL in front", 400, b"\0" + get()),
    refused(_PARSING, "LF ends the request line", 400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    refused(_PARSING, "LF ends a field line", 400, b"GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n"),
    refused(_PARSING, "LF ends the last field line", 400, b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
    refused(_PARSING, "LF ends the head", 400, b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    refused(_PARSING, "LF alone throughout", 400, b"GET / HTTP/1.1\nHost: a\n\n"),
    refused(_PARSING, "CR alone throughout", 400, b"GET / HTTP/1.1\rHost: a\r\r"),
    refused(_PARSING, "LF CR for CRLF", 400, b"GET / HTTP/1.1\n\rHost: a\n\r\n\r"),
    refused(_PARSING, "CR CR LF ends the request line", 400, b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    refused(_PARSING, "CR CR LF ends a field line", 400, b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    refused(_PARSING, "CR CR LF ends the head", 400, b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"),
    refused(_PARSING, "CR in the request line", 400, b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused(_PARSING, "CR for a space", 400, b"GET\r/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused(_PARSING, "CR in a field value", 400, get(b"A: b\rc")),
    refused(_PARSING, "CR at the start of a field value", 400, get(b"A:\rb")),
    refused(_PARSING, "CR in a field name", 400, get(b"A\rB: c")),
    refused(_PARSING, "CR at the start of a field line", 400, get(b"\rA: b")),
    refused(_PARSING, "space before the first field line", 400, b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    refused(
        _PARSING, "HTAB before the first field line", 400, b"GET / HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n"
    ),
    refused(_PARSING, "a blank line of spaces first", 400, b"GET / HTTP/1.1\r\n  \r\nHost: a\r\n\r\n"),
    refused(_PARSING, "a blank line of spaces last", 400, get(b" ")),
    refused(_PARSING, "NUL in the method", 400, b"GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused(_PARSING, "NUL in the target", 400, b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused(_PARSING, "NUL in the version", 400, b"GET / HTTP/1.1\0\r\nHost: a\r\n\r\n"),
    refused(_PARSING, "NUL in a field name", 400, get(b"A\0: b")),
    refused(_PARSING, "a TLS handshake", 400, _CLIENT_HELLO),
    refused(_PARSING, "a response", 400, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    refused(_PARSING, "a mail server's greeting", 400, b"EHLO a.example\r\n\r\n"),
    refused(_PARSING, "zeros", 400, bytes(64)),
    refused(_PARSING, "noise", 400, bytes(range(255, 127, -1)) + b"\r\n\r\n"),
)
