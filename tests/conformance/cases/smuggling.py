"""Messages that two recipients could read in two ways (RFC 9112 §6.1, §6.3, §11.2).

`/smuggled` stands for the request that must never be seen.
"""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, get, post, posted, refused, taken

_BOTH = "RFC 9112 6.3"
_SMUGGLING = "RFC 9112 11.2"

_SMUGGLED = get(target=b"/smuggled")
_LENGTH = b"Content-Length: %d" % len(_SMUGGLED)
_CHUNKED = b"Transfer-Encoding: chunked"
_LAST = b"0\r\n\r\n"


def _both(what: str, *lines: bytes, body: bytes, status: int = 400) -> Case:
    """Content-Length and Transfer-Encoding: the one that goes by either of them is misled."""
    return refused(_BOTH, what, status, post(*lines, body=body))


# One of the two hops takes these for chunked.
_HIDDEN = (
    ("a space before the colon", b"Transfer-Encoding : chunked"),
    ("HTAB before the colon", b"Transfer-Encoding\t: chunked"),
    ("a fold", b"Transfer-Encoding:\r\n chunked"),
    ("a fold in front", b"A: b\r\n Transfer-Encoding: chunked"),
    ("LF in the line before", b"A: b\nTransfer-Encoding: chunked"),
    ("CR in the line before", b"A: b\rTransfer-Encoding: chunked"),
    ("NUL in front", b"\0Transfer-Encoding: chunked"),
    ("a space in front", b" Transfer-Encoding: chunked"),
    ("VT before the value", b"Transfer-Encoding:\x0bchunked"),
    ("CR before the value", b"Transfer-Encoding:\rchunked"),
    ("LF before the value", b"Transfer-Encoding:\nchunked"),
    ("a byte above ASCII in the name", b"Transfer-Encoding\xa0: chunked"),
    ("CR CR LF", b"Transfer-Encoding: chunked\r"),
)

_PREFIX = (
    # what comes in front of a request, and the body's data before the refusal
    ("LF ends a chunk's size", b"2\nxx", b""),
    ("LF ends an extension", b"2;\nxx", b""),
    ("LF in an extension", b"2;a\nxx\r\n50\r\n", b""),
    ("CR in an extension", b"2;a\rxx\r\n50\r\n", b""),
    ("a quoted line end in an extension", b'2;a="\r\nxx\r\n50\r\n"\r\n', b""),
    ("a size with a sign", b"+0\r\n\r\n", b""),
    ("a size with 0x", b"0x0\r\n\r\n", b""),
    ("a size with a space", b"0 \r\n\r\n", b""),
    ("a size with an underscore", b"0_0\r\n\r\n", b""),
    ("a size that overflows", b"10000000000000000\r\n\r\n", b""),
    ("a chunk longer than its size", b"2\r\nxxyy\r\n" + _LAST, b"xx"),
    ("a chunk shorter than its size", b"3\r\nx\r\n" + _LAST, b"x\r\n"),
    ("a chunk ended by LF", b"2\r\nxx\n" + _LAST, b"xx"),
    ("a chunk ended by two letters", b"2\r\nxx450\r\n\r\n", b"xx"),
    ("the last chunk ended by LF", b"2\r\nxx\r\n0\n\n", b"xx"),
    ("a trailer ended by LF", b"2\r\nxx\r\n0\r\nA: b\n\r\n", b"xx"),
    ("a trailer that is a request", b"2\r\nxx\r\n0\r\n", b"xx"),
)

CASES: Final[tuple[Case, ...]] = (
    _both("CL.TE", b"Content-Length: %d" % (len(_SMUGGLED) + 5), _CHUNKED, body=_LAST + _SMUGGLED),
    _both("TE.CL", _CHUNKED, b"Content-Length: 5", body=_LAST + _SMUGGLED),
    _both("CL.TE with length zero", b"Content-Length: 0", _CHUNKED, body=_LAST + _SMUGGLED),
    _both("TE.CL where both agree", _CHUNKED, b"Content-Length: 5", body=_LAST),
    _both("CL.TE with a bad coding", b"Content-Length: 5", b"Transfer-Encoding: x", body=b"hello"),
    _both("CL.TE with no coding", b"Content-Length: 5", b"Transfer-Encoding:", body=b"hello"),
    _both("CL.TE with identity", b"Content-Length: 5", b"Transfer-Encoding: identity", body=b"hello"),
    _both("CL.TE with a bad length", b"Content-Length: x", _CHUNKED, body=_LAST),
    _both("CL.TE.CL", b"Content-Length: 5", _CHUNKED, b"Content-Length: 5", body=_LAST),
    _both("TE.TE.CL", _CHUNKED, b"Transfer-Encoding: x", b"Content-Length: 5", body=_LAST),
    refused(
        _BOTH,
        "CL.TE with another CL in the body",
        400,
        post(b"Content-Length: 6", _CHUNKED, body=_LAST + b"G"),
    ),
    refused(
        _BOTH,
        "CL.CL",
        400,
        post(b"Content-Length: 0", _LENGTH, body=_SMUGGLED),
    ),
    *(
        refused(_SMUGGLING, f"chunked hidden by {what}", 400, post(_LENGTH, line, body=_LAST + _SMUGGLED))
        for what, line in _HIDDEN
    ),
    *(
        refused(_SMUGGLING, f"{what}, and a request", 400, post(_CHUNKED, body=data + _SMUGGLED), body=body)
        for what, data, body in _PREFIX
    ),
    taken(
        _SMUGGLING,
        "a request in a body with a length",
        post(_LENGTH, body=_SMUGGLED),
        posted((b"content-length", b"%d" % len(_SMUGGLED)), body=_SMUGGLED),
    ),
    taken(
        _SMUGGLING,
        "a request in a chunk",
        post(_CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(_SMUGGLED), _SMUGGLED)),
        posted((b"transfer-encoding", b"chunked"), body=_SMUGGLED),
    ),
    taken(
        _SMUGGLING,
        "a request in a quoted extension would need a line end",
        post(_CHUNKED, body=b'1;a="GET /smuggled HTTP/1.1"\r\nx\r\n0\r\n\r\n'),
        posted((b"transfer-encoding", b"chunked"), body=b"x"),
    ),
    refused(
        _SMUGGLING,
        "a request behind a GET whose length is hidden",
        400,
        get(b"Content-Length : %d" % len(_SMUGGLED)) + _SMUGGLED,
    ),
    refused(
        _SMUGGLING,
        "a request in a target",
        400,
        b"GET / HTTP/1.1\r\n\r\n" + _SMUGGLED,
    ),
    refused(
        _SMUGGLING,
        "a request behind a refused expectation",
        417,
        post(b"Expect: gold", _LENGTH, body=_SMUGGLED),
    ),
    refused(
        _SMUGGLING,
        "a request behind an unknown method",
        501,
        get(_LENGTH, method=b"frobnicate") + _SMUGGLED,
    ),
    refused(
        _SMUGGLING,
        "a request behind another version",
        505,
        post(_LENGTH, body=_SMUGGLED, version=b"HTTP/2.0"),
    ),
    refused(
        _SMUGGLING,
        "a request behind an unknown coding",
        501,
        post(b"Transfer-Encoding: gzip", body=_SMUGGLED),
    ),
    refused(
        _SMUGGLING,
        "a request in a body too large",
        413,
        post(_LENGTH, body=_SMUGGLED),
        limit_body=10,
    ),
)
