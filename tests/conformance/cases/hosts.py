"""Host: exactly one on HTTP/1.1, and a valid one (RFC 9112 §3.2, RFC 9110 §7.2, RFC 3986 §3.2)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, closing, refused, seen, taken

_HOST = "RFC 9112 3.2"
_VALUE = "RFC 9110 7.2"
_EMPTY = "RFC 9110 4.2.1"
_USER = "RFC 9110 4.2.4"
_LITERAL = "RFC 3986 3.2.2"
_PORT = "RFC 3986 3.2.3"


def _with(*lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join((b"GET / HTTP/" + version, *lines, b"", b""))


def _taken(section: str, what: str, value: bytes) -> Case:
    return taken(section, f"Host with {what}", _with(b"Host: " + value), seen(host=value))


def _refused(section: str, what: str, value: bytes) -> Case:
    return refused(section, f"Host with {what}", 400, _with(b"Host: " + value))


_NAMES = (
    ("a name", b"a.example"),
    ("capitals", b"A.EXAMPLE"),
    ("a name in the DNS's own code", b"xn--bcher-kva.example"),
    ("a root dot", b"a.example."),
    ("two dots", b"a..b"),
    ("an underscore", b"a_b"),
    ("a tilde", b"~a"),
    ("a percent encoding", b"a%C3%BCb"),
    ("sub-delimiters", b"!$&'()*+;="),
    ("an address", b"127.0.0.1"),
    ("a name that is nearly an address", b"999.1.1.1"),
    ("a number", b"1"),
)

_NO_NAMES = (
    ("two hosts", b"a,b"),
    ("two hosts and a space", b"a, b"),
    ("a space", b"a b"),
    ("HTAB", b"a\tb"),
    ("a path", b"a/"),
    ("a query", b"a?b"),
    ("a fragment", b"a#b"),
    ("a backslash", b"a\\b"),
    ("a scheme", b"http://a"),
    ("a scheme and a slash", b"http://a/"),
    ("half a percent encoding", b"a%2"),
    ("a percent sign at the end", b"a%"),
    ("a percent encoding of letters", b"a%zz"),
    ("a byte above ASCII", b"a\x80"),
    ("UTF-8", "bücher.example".encode()),
    ("quotes", b'"a"'),
    ("angle brackets", b"<a>"),
    ("braces", b"{a}"),
    ("a circumflex", b"a^b"),
    ("a bar", b"a|b"),
    ("a backtick", b"`a`"),
    ("an asterisk-form's asterisk and a slash", b"*/"),
)

_LITERALS = (
    ("the unspecified address", b"[::]"),
    ("an IPv6 address", b"[2001:db8::1]"),
    ("an IPv6 address in full", b"[2001:db8:0:0:0:0:0:1]"),
    ("an IPv4 address in an IPv6 one", b"[::ffff:192.0.2.1]"),
    ("an IPv6 address and a port", b"[::1]:8080"),
    ("a later address format", b"[v1.a:b]"),
)

_NO_LITERALS = (
    ("an IPv6 address without brackets", b"::1"),
    ("an unclosed bracket", b"[::1"),
    ("an unopened bracket", b"::1]"),
    ("an empty literal", b"[]"),
    ("a name in brackets", b"[a.example]"),
    ("an IPv4 address in brackets", b"[127.0.0.1]"),
    ("two gaps in an address", b"[1::2::3]"),
    ("nine groups", b"[1:2:3:4:5:6:7:8:9]"),
    ("a group too large", b"[12345::]"),
    ("no hexadecimal digits", b"[::g]"),
    ("a bad IPv4 part", b"[::256.0.0.1]"),
    ("a scope", b"[fe80::1%eth0]"),
    ("a later address format without an address", b"[v1.]"),
    ("a later address format without a dot", b"[v1]"),
    ("letters behind the bracket", b"[::1]a"),
    ("two brackets", b"[[::1]]"),
)

_PORTS = (
    ("a port", b"a:80"),
    ("an empty port", b"a:"),
    ("the largest port", b"a:65535"),
    ("a port with a leading zero", b"a:080"),
    ("a port with more zeros than digits", b"a:0000000080"),
    ("a port of zeros", b"a:" + b"0" * 5000),
)

_NO_PORTS = (
    ("a port too large", b"a:65536"),
    ("zeros before a port too large", b"a:00065536"),
    ("a port far too large", b"a:99999999999999999999"),
    ("a negative port", b"a:-1"),
    ("a port with a sign", b"a:+80"),
    ("a port of letters", b"a:http"),
    ("a hexadecimal port", b"a:0x50"),
    ("a space before the port", b"a: 80"),
    ("a space in the port", b"a:8 0"),
    ("two ports", b"a:80:80"),
    ("two colons", b"a::80"),
    ("a port and a path", b"a:80/"),
    ("an underscore in the port", b"a:8_0"),
    ("digits that are not ASCII", "a:\uff18\uff10".encode()),
)

_SPELLINGS = (
    ("no space before it", b"Host:a"),
    ("spaces around it", b"Host:   a   "),
    ("HTAB around it", b"Host:\ta\t"),
    ("its name in capitals", b"HOST: a"),
    ("its name in lower case", b"host: a"),
    ("its name in mixed case", b"hOsT: a"),
)

CASES: Final[tuple[Case, ...]] = (
    *(taken(_HOST, f"Host with {what}", _with(line), seen()) for what, line in _SPELLINGS),
    refused(_HOST, "no Host", 400, _with()),
    refused(_HOST, "no Host, but others", 400, _with(b"X-Forwarded-Host: a", b"Accept: */*")),
    refused(_HOST, "two different Hosts", 400, _with(b"Host: a", b"Host: b")),
    refused(_HOST, "two equal Hosts", 400, _with(b"Host: a", b"Host: a")),
    refused(_HOST, "two Hosts apart", 400, _with(b"Host: a", b"A: b", b"C: d", b"host: a")),
    refused(_HOST, "a second Host that is empty", 400, _with(b"Host: a", b"HOST:")),
    refused(_HOST, "a first Host that is empty", 400, _with(b"Host:", b"Host: a")),
    refused(_HOST, "no Host with asterisk-form", 400, b"OPTIONS * HTTP/1.1\r\n\r\n"),
    closing(_HOST, "no Host in HTTP/1.0", _with(version=b"1.0"), seen(host=None, version="1.0")),
    closing(
        _HOST, "an empty Host in HTTP/1.0", _with(b"Host:", version=b"1.0"), seen(host=b"", version="1.0")
    ),
    refused(_HOST, "two Hosts in HTTP/1.0", 400, _with(b"Host: a", b"Host: b", version=b"1.0")),
    refused(_HOST, "an invalid Host in HTTP/1.0", 400, _with(b"Host: a/b", version=b"1.0")),
    refused(_EMPTY, "an empty Host", 400, _with(b"Host:")),
    refused(_EMPTY, "a Host of spaces", 400, _with(b"Host:   ")),
    refused(_EMPTY, "an empty Host with asterisk-form", 400, b"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n"),
    _refused(_EMPTY, "a port alone", b":80"),
    _refused(_EMPTY, "a colon alone", b":"),
    _refused(_USER, "a user", b"u@a"),
    _refused(_USER, "a user and a password", b"u:p@a"),
    _refused(_USER, "an empty user", b"@a"),
    *(_taken(_VALUE, what, value) for what, value in _NAMES),
    *(_refused(_VALUE, what, value) for what, value in _NO_NAMES),
    *(_taken(_LITERAL, what, value) for what, value in _LITERALS),
    *(_refused(_LITERAL, what, value) for what, value in _NO_LITERALS),
    *(_taken(_PORT, what, value) for what, value in _PORTS),
    *(_refused(_PORT, what, value) for what, value in _NO_PORTS),
)
