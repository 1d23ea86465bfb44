"""Trailer fields: checked like all fields, and never headers (RFC 9112 §7.1.2, RFC 9110 §6.5)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, post, posted, refused, taken

_SECTION = "RFC 9112 7.1.2"
_MEANING = "RFC 9110 6.5.1"


def _post(*lines: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=b"\r\n".join((b"1\r\na\r\n0", *lines, b"", b"")))


def _taken(section: str, what: str, *lines: bytes) -> Case:
    return taken(section, what, _post(*lines), posted((b"transfer-encoding", b"chunked"), body=b"a"))


_TAKEN = (
    ("a trailer field", (b"A: b",)),
    ("several trailer fields", (b"A: b", b"C: d", b"a: e")),
    ("a trailer field without a space", (b"A:b",)),
    ("an empty trailer field", (b"A:",)),
    ("a trailer field with obs-text", (b"A: \xe9",)),
)

# They would change what has been decided (RFC 9110 §6.5.1).
_MEANINGLESS = (
    ("Content-Length in the trailer", b"Content-Length: 100"),
    ("Transfer-Encoding in the trailer", b"Transfer-Encoding: chunked"),
    ("Host in the trailer", b"Host: b"),
    ("Connection in the trailer", b"Connection: close"),
    ("Expect in the trailer", b"Expect: gold"),
    ("Upgrade in the trailer", b"Upgrade: h2c"),
)

_REFUSED = (
    ("a trailer line without a colon", (b"A",)),
    ("a space before a trailer's colon", (b"A : b",)),
    ("an empty trailer name", (b": b",)),
    ("a trailer name that is no token", (b"A(): b",)),
    ("a folded trailer", (b"A: b", b" c")),
    ("a trailer that begins with a space", (b" A: b",)),
    ("a blank line of spaces for the empty one", (b" ",)),
    ("NUL in a trailer", (b"A: b\0",)),
    ("a control character in a trailer", (b"A: b\x01c",)),
    ("CR in a trailer", (b"A: b\rc",)),
    ("LF in a trailer", (b"A: b\nC: d",)),
    ("CR CR LF behind a trailer", (b"A: b\r",)),
    ("a request for a trailer", (b"GET /x HTTP/1.1", b"Host: a")),
    ("another chunk behind the last one", (b"1", b"b")),
)

CASES: Final[tuple[Case, ...]] = (
    *(_taken(_SECTION, what, *lines) for what, lines in _TAKEN),
    *(refused(_SECTION, what, 400, _post(*lines), body=b"a") for what, lines in _REFUSED),
    *(
        refused(
            _SECTION,
            f"the body ends with {what}",
            400,
            post(b"Transfer-Encoding: chunked", body=b"1\r\na\r\n0" + end),
            body=b"a",
        )
        for what, end in (
            ("CRLF LF", b"\r\n\n"),
            ("LF LF", b"\n\n"),
            ("LF CRLF", b"\n\r\n"),
            ("CRLF CR", b"\r\n\r"),
            ("CRLF CR CRLF", b"\r\n\r\r\n"),
        )
    ),
    *(_taken(_MEANING, what, line) for what, line in _MEANINGLESS),
)
