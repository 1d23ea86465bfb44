"""The request line: a method, a target and a version, with one space between them (RFC 9112 §3)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, get, refused, seen, taken

_LINE = "RFC 9112 3"
_METHOD = "RFC 9112 3.1"
_END = b"\r\nHost: a\r\n\r\n"

_MALFORMED = (
    ("two spaces before the target", b"GET  / HTTP/1.1"),
    ("two spaces behind the target", b"GET /  HTTP/1.1"),
    ("a space at the end", b"GET / HTTP/1.1 "),
    ("HTAB at the end", b"GET / HTTP/1.1\t"),
    ("HTAB before the target", b"GET\t/ HTTP/1.1"),
    ("HTAB behind the target", b"GET /\tHTTP/1.1"),
    ("VT for a space", b"GET\x0b/ HTTP/1.1"),
    ("FF for a space", b"GET /\x0cHTTP/1.1"),
    ("a space in the target", b"GET /a b HTTP/1.1"),
    ("two targets", b"GET / / HTTP/1.1"),
    ("two versions", b"GET / HTTP/1.1 HTTP/1.1"),
    ("no target", b"GET HTTP/1.1"),
    ("an empty target", b"GET  HTTP/1.1"),
    ("nothing but a method", b"GET"),
    ("nothing but a method and a space", b"GET "),
    ("no method", b"/ HTTP/1.1"),
    ("an empty method", b" / HTTP/1.1"),
    ("one letter", b"G"),
    ("a request line in a request line", b"GET / HTTP/1.1 GET / HTTP/1.1"),
)

_NO_TOKENS = (
    ("an at sign", b"G@T"),
    ("a slash", b"G/T"),
    ("a colon", b"GET:"),
    ("a comma", b"GET,POST"),
    ("parentheses", b"GET()"),
    ("brackets", b"[GET]"),
    ("braces", b"{GET}"),
    ("angle brackets", b"<GET>"),
    ("quotes", b'"GET"'),
    ("a semicolon", b"GET;"),
    ("an equals sign", b"GET="),
    ("a question mark", b"GET?"),
    ("a backslash", b"G\\T"),
    ("a byte above ASCII", b"G\xcbT"),
    ("DEL", b"GET\x7f"),
    ("a control character", b"GET\x01"),
)

CASES: Final[tuple[Case, ...]] = (
    *(refused(_LINE, what, 400, line + _END) for what, line in _MALFORMED),
    taken(_METHOD, "a method with a hyphen", get(method=b"M-SEARCH"), seen(method="M-SEARCH")),
    *(refused(_METHOD, f"a method with {what}", 400, get(method=method)) for what, method in _NO_TOKENS),
)
