"""Methods: which there are is the application's matter, but for what can hardly be one (RFC 9110 §9)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, closing, get, refused, seen, taken

_OVERVIEW = "RFC 9110 9.1"
_HEAD = "RFC 9110 9.3.2"
_CONNECT = "RFC 9110 9.3.6"

_DEFINED = (
    (b"GET", "RFC 9110 9.3.1"),
    (b"HEAD", _HEAD),
    (b"POST", "RFC 9110 9.3.3"),
    (b"PUT", "RFC 9110 9.3.4"),
    (b"DELETE", "RFC 9110 9.3.5"),
    (b"OPTIONS", "RFC 9110 9.3.7"),
    (b"TRACE", "RFC 9110 9.3.8"),
    *(
        (method, _OVERVIEW)
        for method in (
            *(b"PATCH", b"QUERY", b"PROPFIND", b"REPORT", b"PURGE", b"UNSUBSCRIBE"),
            *(b"VERSION-CONTROL", b"BASELINE-CONTROL", b"UPDATEREDIRECTREF"),  # not in llhttp, but registered
            *(b"FROBNICATE", b"GETT", b"GETPOST", b"CUSTOM", b"$|X|", b"000", b"A" * 20),
            *(b"DESCRIBE", b"SETUP", b"PLAY", b"GET_PARAMETER"),  # of RTSP, where llhttp knows them
        )
    ),
)

_UNKNOWN = (
    b"get",  # methods are case-sensitive, and ASGI has them in capitals
    b"Get",
    b"frobnicate",
    b"GE",
    b"PRI",  # of HTTP/2
    b"_",
    b"0",
    b"$|x|",
    b"GET#",
    b"A" * 21,
    b"A" * 200,
)

CASES: Final[tuple[Case, ...]] = (
    *(
        taken(section, f"{method.decode()}", get(method=method), seen(method=method.decode()))
        for method, section in _DEFINED
    ),
    *(refused(_OVERVIEW, f"method {method[:30].decode()}", 501, get(method=method)) for method in _UNKNOWN),
    taken(
        _OVERVIEW,
        "a method of the application's own with a body, and what follows",
        get(b"Content-Length: 3", method=b"FROBNICATE") + b"abc" + get(target=b"/next"),
        seen((b"content-length", b"3"), method="FROBNICATE", body=b"abc"),
        seen(target=b"/next"),
    ),
    refused(_OVERVIEW, "an unknown method with asterisk-form", 501, get(method=b"PRI", target=b"*")),
    refused(_HEAD, "a refused HEAD has no content either", 400, b"HEAD / HTTP/1.1\r\n\r\n", method="HEAD"),
    closing(
        _CONNECT,
        "what is behind a CONNECT is no request",
        get(target=b"b.example:443", method=b"CONNECT") + get(target=b"/tunnelled"),
        seen(target=b"b.example:443", method="CONNECT"),
    ),
    closing(
        _CONNECT,
        "what is behind a CONNECT is not even looked at",
        get(target=b"b.example:443", method=b"CONNECT") + b"\0\0\0\r\n\r\n",
        seen(target=b"b.example:443", method="CONNECT"),
    ),
)
