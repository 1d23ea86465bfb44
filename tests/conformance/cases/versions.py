"""HTTP version (RFC 9112 §2.3, RFC 9110 §2.5)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, closing, get, refused, seen, taken

_VERSION = "RFC 9112 2.3"

# Of another major version (RFC 9110 §15.6.6).
_UNSUPPORTED = (b"HTTP/0.9", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9")

_MALFORMED = (
    (b"http/1.1", "is case-sensitive"),
    (b"Http/1.1", "has one spelling"),
    (b"HTTP/1", "without a minor version"),
    (b"HTTP/1.", "without the minor digit"),
    (b"HTTP/.1", "without the major digit"),
    (b"HTTP/1.10", "with two minor digits"),
    (b"HTTP/1.01", "with a leading zero"),
    (b"HTTP/11.1", "with two major digits"),
    (b"HTTP/01.1", "with a leading zero in front"),
    (b"HTTP/1,1", "with a comma"),
    (b"HTTP/1.1.1", "of three parts"),
    (b"HTTP/1.1a", "with a letter behind"),
    (b"HTTP/a.b", "of letters"),
    (b"HTTP/-1.1", "with a sign"),
    (b"HTTP/1.-1", "with a sign inside"),
    (b"HTTP/1.x", "with a letter for the minor digit"),
    (b"HTTP/1.\xb2", "with a digit that is not ASCII"),
    (b"HTTP1.1", "without the slash"),
    (b"HTTP//1.1", "with two slashes"),
    (b"HTTP\\1.1", "with a backslash"),
    (b"HTTP", "without a number"),
    (b"1.1", "without the name"),
    (b"HTTPS/1.1", "of another protocol's name"),
    (b"HTTX/1.1", "with a slip in the name"),
    (b"RTSP/1.0", "of RTSP"),
    (b"ICE/1.0", "of Icecast"),
    (b"SIP/2.0", "of SIP"),
)

CASES: Final[tuple[Case, ...]] = (
    closing(_VERSION, "HTTP/1.0", get(version=b"HTTP/1.0"), seen(version="1.0")),
    *(
        taken(_VERSION, f"a later minor version, 1.{minor}", get(version=b"HTTP/1.%d" % minor), seen())
        for minor in (2, 9)
    ),
    refused(_VERSION, "a later minor version needs Host as well", 400, b"GET / HTTP/1.2\r\n\r\n"),
    *(
        refused(_VERSION, f"another major version, {version.decode()}", 505, get(version=version))
        for version in _UNSUPPORTED
    ),
    refused(_VERSION, "the preface of HTTP/2", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    *(refused(_VERSION, f"a version {what}", 400, get(version=version)) for version, what in _MALFORMED),
    refused(_VERSION, "no version, as in HTTP/0.9", 400, b"GET /\r\n"),
    refused(_VERSION, "no version, but fields", 400, b"GET /\r\nHost: a\r\n\r\n"),
    refused(_VERSION, "a space and no version", 400, b"GET / \r\nHost: a\r\n\r\n"),
)
