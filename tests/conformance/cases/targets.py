"""The four forms of a request target (RFC 9112 §3.2, RFC 9110 §4.2)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, closing, get, refused, seen, taken

_TARGET = "RFC 9112 3.2"
_ORIGIN = "RFC 9112 3.2.1"
_ABSOLUTE = "RFC 9112 3.2.2"
_AUTHORITY = "RFC 9112 3.2.3"
_ASTERISK = "RFC 9112 3.2.4"

# Taken as they are: what they mean is the application's matter.
_PATHS = (
    ("two slashes", b"//"),
    ("what looks like an authority", b"//b.example/c"),
    ("dot segments", b"/a/../b/./c"),
    ("a percent-encoded slash", b"/a%2Fb"),
    ("a percent-encoded NUL", b"/a%00b"),
    ("a percent sign and no digits", b"/a%zz%"),
    ("an empty query", b"/?"),
    ("two question marks", b"/a?b?c=/"),
    ("sub-delimiters", b"/a;b=c,d:e@f!$&'()*+"),
    ("a URI in the path", b"/http://b.example/"),
    ("an asterisk in the path", b"/*"),
    ("characters that ought to be encoded", b'/a"<>[\\]^`{|}~b'),
)

_BAD_CHARACTERS = (
    ("a fragment", b"/a#b"),
    ("an empty fragment", b"/#"),
    ("a fragment in the query", b"/a?b#c"),
    ("a byte above ASCII", b"/\x80"),
    ("UTF-8", "/bücher".encode()),
    ("DEL", b"/a\x7fb"),
    ("a control character", b"/a\x01b"),
    ("HTAB", b"/a\tb"),
    ("ESC", b"/\x1b[2J"),
)

_NO_FORMS = (
    ("a relative path", b"nowhere"),
    ("a host name", b"b.example"),
    ("a host and a path", b"b.example/c"),
    ("a query alone", b"?a=b"),
    ("dots", b"../a"),
    ("a backslash in front", b"\\a"),
    ("a fragment alone", b"#a"),
    ("a percent-encoded slash in front", b"%2Fa"),
)

# target, the authority that replaces Host
_ABSOLUTE_TAKEN = (
    (b"http://b.example/", b"b.example"),
    (b"http://b.example", b"b.example"),
    (b"http://b.example?c", b"b.example"),
    (b"http://b.example:81/c?d", b"b.example:81"),
    (b"http://b.example:/", b"b.example:"),
    (b"http://[::1]:81/c", b"[::1]:81"),
    (b"http://B.Example/", b"B.Example"),
    (b"https://b.example/c", b"b.example"),
    (b"HTTP://b.example/c", b"b.example"),
    (b"http://b.example/c@d:e", b"b.example"),
    (b"http://b.example/http://c.example/", b"b.example"),
)

_ABSOLUTE_REFUSED = (
    ("an empty authority", b"http://"),
    ("an empty authority and a path", b"http:///c"),
    ("an empty authority and a query", b"http://?c"),
    ("a port and no host", b"http://:80/"),
    ("a user", b"http://u@b.example/"),
    ("a user and a password", b"http://u:p@b.example/"),
    ("an empty user", b"http://@b.example/"),
    ("a port too large", b"http://b.example:65536/"),
    ("a port of letters", b"http://b.example:http/"),
    ("an unclosed bracket", b"http://[::1/"),
    ("no address in brackets", b"http://[b]/"),
    ("two hosts", b"http://b.example,c.example/"),
    ("a backslash in the host", b"http://b.example\\c/"),
    ("a bad percent encoding in the host", b"http://b%zz/"),
    ("a fragment", b"http://b.example/#c"),
    ("one slash", b"http:/b.example/"),
    ("no slash", b"http:b.example"),
    ("another scheme", b"ftp://b.example/"),
    ("a scheme without an authority", b"mailto:c@b.example"),
    ("no scheme", b"://b.example/"),
    ("a script", b"javascript:alert(1)"),
)

_CONNECT_REFUSED = (
    ("without a port", b"b.example"),
    ("with an empty port", b"b.example:"),
    ("without a host", b":443"),
    ("to a port too large", b"b.example:65536"),
    ("to a port of letters", b"b.example:https"),
    ("with a user", b"u@b.example:443"),
    ("in origin-form", b"/"),
    ("in asterisk-form", b"*"),
    ("in absolute-form", b"http://b.example:443/"),
    ("with a path", b"b.example:443/"),
    ("to an address without brackets", b"::1:443"),
)


def _absolute(target: bytes, host: bytes) -> Case:
    return taken(
        _ABSOLUTE,
        f"absolute-form {target.decode()} overrides Host",
        get(target=target),
        seen(target=target, host=host),
    )


CASES: Final[tuple[Case, ...]] = (
    *(refused(_TARGET, what, 400, get(target=target)) for what, target in _BAD_CHARACTERS),
    *(refused(_TARGET, what, 400, get(target=target)) for what, target in _NO_FORMS),
    *(taken(_ORIGIN, what, get(target=target), seen(target=target)) for what, target in _PATHS),
    *(_absolute(target, host) for target, host in _ABSOLUTE_TAKEN),
    taken(
        _ABSOLUTE,
        "Host may be empty with absolute-form",
        b"GET http://b/ HTTP/1.1\r\nHost:\r\n\r\n",
        seen(target=b"http://b/", host=b"b"),
    ),
    closing(
        _ABSOLUTE,
        "absolute-form without Host in HTTP/1.0",
        b"GET http://b/ HTTP/1.0\r\n\r\n",
        seen(target=b"http://b/", host=b"b", version="1.0"),
    ),
    refused(_ABSOLUTE, "Host is needed with absolute-form", 400, b"GET http://b/ HTTP/1.1\r\n\r\n"),
    refused(
        _ABSOLUTE,
        "Host has to be valid with absolute-form",
        400,
        b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n",
    ),
    *(
        refused(_ABSOLUTE, f"absolute-form with {what}", 400, get(target=target))
        for what, target in _ABSOLUTE_REFUSED
    ),
    *(
        closing(
            _AUTHORITY,
            f"CONNECT {target.decode()}",
            get(target=target, method=b"CONNECT"),
            seen(target=target, method="CONNECT"),
        )
        for target in (b"b.example:443", b"[::1]:443", b"192.0.2.1:22")
    ),
    *(
        refused(_AUTHORITY, f"CONNECT {what}", 400, get(target=target, method=b"CONNECT"))
        for what, target in _CONNECT_REFUSED
    ),
    refused(_AUTHORITY, "authority-form without CONNECT", 400, get(target=b"b.example:443")),
    taken(
        _ASTERISK,
        "asterisk-form with OPTIONS",
        get(target=b"*", method=b"OPTIONS"),
        seen(target=b"*", method="OPTIONS"),
    ),
    taken(
        _ASTERISK,
        "OPTIONS in absolute-form without a path",
        get(target=b"http://b.example:8001", method=b"OPTIONS"),
        seen(target=b"http://b.example:8001", method="OPTIONS", host=b"b.example:8001"),
    ),
    *(
        refused(_ASTERISK, f"asterisk-form with {method.decode()}", 400, get(target=b"*", method=method))
        for method in (b"GET", b"POST", b"DELETE")
    ),
    refused(_ASTERISK, "more than an asterisk", 400, get(target=b"**", method=b"OPTIONS")),
    refused(_ASTERISK, "a query behind the asterisk", 400, get(target=b"*?a", method=b"OPTIONS")),
)
