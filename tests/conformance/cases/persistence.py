"""Which connections go on, pipelining, and offers to upgrade (RFC 9112 §9.3, §9.6; RFC 9110 §7.6, §7.8)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, closing, get, post, posted, refused, seen, taken

_PERSISTENCE = "RFC 9112 9.3"
_PIPELINING = "RFC 9112 9.3.2"
_TEARDOWN = "RFC 9112 9.6"
_OPTIONS = "RFC 9110 7.6.1"
_UPGRADE = "RFC 9110 7.8"
_1_0 = b"HTTP/1.0"


def _field(what: str, value: bytes, *, version: str = "1.1", persists: bool) -> Case:
    make = taken if persists else closing
    return make(
        _PERSISTENCE,
        f"{what} in HTTP/{version}",
        get(b"Connection: " + value, version=b"HTTP/" + version.encode()),
        seen((b"connection", value), version=version),
    )


_CLOSE = (
    ("close", b"close"),
    ("Close", b"Close"),
    ("CLOSE", b"CLOSE"),
    ("close behind another option", b"foo, Close"),
    ("close before another option", b"close,foo"),
    ("close among empty members", b", ,close ,"),
    ("keep-alive and close", b"keep-alive, close"),
    ("close and keep-alive", b"close, keep-alive"),
    ("close and HTAB", b"foo\t,\tclose"),
)

_NO_CLOSE = (
    ("keep-alive", b"keep-alive"),
    ("nothing", b""),
    ("another option", b"foo"),
    ("a word that begins with close", b"closed"),
    ("a word that ends in close", b"disclose"),
    ("close in quotes", b'"close"'),
    ("close in another option's words", b"foo close"),
    ("a lone comma", b","),
)

_NUMBERS = tuple(range(40))

CASES: Final[tuple[Case, ...]] = (
    *(_field(what, value, persists=False) for what, value in _CLOSE),
    *(_field(what, value, persists=True) for what, value in _NO_CLOSE),
    *(
        _field(what, value, version="1.0", persists=True)
        for what, value in (
            ("keep-alive", b"keep-alive"),
            ("Keep-Alive", b"Keep-Alive"),
            ("keep-alive and others", b"foo, keep-alive"),
        )
    ),
    *(
        _field(what, value, version="1.0", persists=False)
        for what, value in (
            ("close", b"close"),
            ("close and keep-alive", b"close, keep-alive"),
            ("another option", b"foo"),
            ("a word that begins with keep-alive", b"keep-alived"),
        )
    ),
    closing(
        _PERSISTENCE,
        "close in a second line",
        get(b"Connection: keep-alive", b"Connection: close"),
        seen((b"connection", b"keep-alive"), (b"connection", b"close")),
    ),
    closing(
        _PERSISTENCE,
        "close in a first line",
        get(b"Connection: close", b"Connection: keep-alive"),
        seen((b"connection", b"close"), (b"connection", b"keep-alive")),
    ),
    closing(
        _PERSISTENCE,
        "Proxy-Connection is no Connection",
        get(b"Proxy-Connection: keep-alive", version=_1_0),
        seen((b"proxy-connection", b"keep-alive"), version="1.0"),
    ),
    closing(
        _PERSISTENCE,
        "Keep-Alive is no Connection",
        get(b"Keep-Alive: timeout=5", version=_1_0),
        seen((b"keep-alive", b"timeout=5"), version="1.0"),
    ),
    closing(
        _PERSISTENCE,
        "a body in HTTP/1.0 that persists, and one that does not",
        post(b"Connection: keep-alive", b"Content-Length: 2", body=b"hi", version=_1_0) + get(version=_1_0),
        posted((b"connection", b"keep-alive"), (b"content-length", b"2"), body=b"hi", version="1.0"),
        seen(version="1.0"),
    ),
    taken(
        _PIPELINING,
        "many requests in order",
        b"".join(get(target=b"/%d" % number) for number in _NUMBERS),
        *(seen(target=b"/%d" % number) for number in _NUMBERS),
    ),
    taken(
        _PIPELINING,
        "many bodies in order",
        b"".join(post(b"Content-Length: 2", body=b"%02d" % number) for number in _NUMBERS),
        *(posted((b"content-length", b"2"), body=b"%02d" % number) for number in _NUMBERS),
    ),
    taken(
        _PIPELINING,
        "bodies of both kinds and none",
        post(b"Content-Length: 2", body=b"hi")
        + post(b"Transfer-Encoding: chunked", body=b"2\r\nho\r\n0\r\n\r\n")
        + get(method=b"HEAD")
        + get(),
        posted((b"content-length", b"2"), body=b"hi"),
        posted((b"transfer-encoding", b"chunked"), body=b"ho"),
        seen(method="HEAD"),
        seen(),
    ),
    refused(
        _PIPELINING,
        "a bad request behind good ones",
        400,
        get(target=b"/1") + get(target=b"/2") + b"nonsense\r\n\r\n",
        seen(target=b"/1"),
        seen(target=b"/2"),
    ),
    refused(
        _PIPELINING,
        "a bad body behind good ones",
        400,
        get() + post(b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\nx\r\n"),
        seen(),
        body=b"hi",
    ),
    closing(
        _TEARDOWN,
        "nothing behind close is a request",
        get(b"Connection: close") + get(target=b"/next"),
        seen((b"connection", b"close")),
    ),
    closing(
        _TEARDOWN,
        "nothing behind close is even looked at",
        get(b"Connection: close") + b"\0\r\n\r\n nonsense",
        seen((b"connection", b"close")),
    ),
    closing(
        _TEARDOWN,
        "close behind a request that persists",
        get(target=b"/1") + post(b"Connection: close", b"Content-Length: 2", body=b"hi") + get(),
        seen(target=b"/1"),
        posted((b"connection", b"close"), (b"content-length", b"2"), body=b"hi"),
    ),
    closing(
        _TEARDOWN,
        "a body comes whole before the end",
        post(b"Connection: close", b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\nA: b\r\n\r\n"),
        posted((b"connection", b"close"), (b"transfer-encoding", b"chunked"), body=b"hi"),
    ),
    taken(
        _OPTIONS,
        "a field that Connection names stays the application's matter",
        get(b"Connection: Host, A", b"A: b"),
        seen((b"connection", b"Host, A"), (b"a", b"b")),
    ),
    taken(
        _OPTIONS,
        "Connection takes no framing away",
        post(b"Connection: Content-Length", b"Content-Length: 2", body=b"hi"),
        posted((b"connection", b"Content-Length"), (b"content-length", b"2"), body=b"hi"),
    ),
    *(
        taken(
            _UPGRADE,
            f"an offer of {protocol.decode()} that nobody takes",
            get(b"Connection: Upgrade", b"Upgrade: " + protocol) + get(),
            seen((b"connection", b"Upgrade"), (b"upgrade", protocol)),
            seen(),
        )
        for protocol in (b"h2c", b"TLS/1.2", b"foo/2, bar")
    ),
    taken(
        _UPGRADE,
        "an offer with a body",
        post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 2", body=b"hi") + get(),
        posted((b"connection", b"Upgrade"), (b"upgrade", b"h2c"), (b"content-length", b"2"), body=b"hi"),
        seen(),
    ),
    taken(
        _UPGRADE,
        "an offer with a chunked body",
        post(
            b"Connection: Upgrade",
            b"Upgrade: h2c",
            b"Transfer-Encoding: chunked",
            body=b"2\r\nhi\r\n0\r\n\r\n",
        )
        + get(),
        posted(
            (b"connection", b"Upgrade"), (b"upgrade", b"h2c"), (b"transfer-encoding", b"chunked"), body=b"hi"
        ),
        seen(),
    ),
    taken(_UPGRADE, "an offer without Connection", get(b"Upgrade: h2c"), seen((b"upgrade", b"h2c"))),
    closing(
        _UPGRADE,
        "an offer in HTTP/1.0",
        get(b"Connection: Upgrade", b"Upgrade: h2c", version=_1_0),
        seen((b"connection", b"Upgrade"), (b"upgrade", b"h2c"), version="1.0"),
    ),
    closing(
        _UPGRADE,
        "an offer and close",
        get(b"Connection: Upgrade, close", b"Upgrade: h2c"),
        seen((b"connection", b"Upgrade, close"), (b"upgrade", b"h2c")),
    ),
)
