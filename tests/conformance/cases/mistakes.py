"""What an application must not answer: bodies that are no match for their length, and what is no header."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.answer import Answer

_KEEP = frozenset({"keep-alive"})
_LENGTH = (b"content-length", b"3")


def _wrong_length(what: str, *pieces: bytes, comes: bool) -> tuple[Answer, ...]:
    """comes: nothing has left when it is found, so there can be a 500."""
    return tuple(
        Answer(
            "RFC 9110 8.6",
            f"{what} in HTTP/{version}",
            headers=(_LENGTH, (b"x", b"y")),
            pieces=pieces,
            version=version,
            connection=b"keep-alive",
            comes=500 if comes else 200,
            framing=None,
            length=None,
            named=_KEEP if version == "1.0" else frozenset(),
            end="goes on" if comes else "breaks off",
        )
        for version in ("1.1", "1.0")
    )


_WRONG: Final = (
    *_wrong_length("too few bytes", b"ab", comes=True),
    *_wrong_length("too many bytes", b"abcd", comes=True),
    *_wrong_length("no bytes", b"", comes=True),
    *_wrong_length("too few bytes in pieces", b"a", b"b", comes=False),
    *_wrong_length("too many bytes in pieces", b"ab", b"cd", comes=False),
    # What the client has is complete; nothing else may come behind it.
    *(
        Answer(
            "RFC 9110 8.6",
            f"too many bytes behind a full body in HTTP/{version}",
            headers=(_LENGTH,),
            pieces=(b"abc", b"d"),
            version=version,
            connection=b"keep-alive",
            named=named,
            end="closes",
        )
        for version, named in (("1.1", frozenset()), ("1.0", _KEEP))
    ),
    *_wrong_length("no bytes in pieces", b"", b"", comes=False),
)


def _refused(section: str, what: str, *headers: object, status: object = 200) -> Answer:
    """What HTTP does not allow: a 500, nothing of it is sent, and the connection goes on."""
    return Answer(
        section, what, status=status, headers=((b"x", b"y"), *headers), comes=500, framing=None, length=None
    )


_BAD_NAMES = (
    b"",
    *(b"a%cb" % code for code in b' "(),/:;<=>?@[\\]{}\t\r\n\0\x01\x7f\x80'),
    b"a ",
    b" a",
    b"a:",
    b"a\r\nb: c\r\n",
)

_BAD_VALUES = (
    b"\r",
    b"\n",
    b"\0",
    b"a\r",
    b"a\n",
    b"a\0",
    b"\ra",
    b"\na",
    b"a\r\nb",
    b"a\r\n b",
    b"a\r\nb: c",
    b"a\r\n\r\nHTTP/1.1 200 OK",
    b"\n" * 3 + b"\r" * 3,
)

_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\r\n\0")

_BAD_LENGTHS = (b"", b"-1", b"+3", b" 3", b"3 ", b"0x3", b"3,3", b"3.0", b"1_0", b"\xb2", b"9" * 19)

_REFUSED: Final = (
    *(_refused("RFC 9110 5.1", f"a header called {name!r}", (name, b"c")) for name in _BAD_NAMES),
    *(_refused("RFC 9110 5.5", f"a header value {value!r}", (b"a", value)) for value in _BAD_VALUES),
    *(
        _refused("RFC 9110 5.5", f"{code:#04x} in a header value", (b"a", b"b%cc" % code))
        for code in _CONTROLS
    ),
    *(_refused("RFC 9110 5.5", f"a Date of {value!r}", (b"date", value)) for value in (b"\r\n", b"a\nb")),
    *(
        _refused("RFC 9110 5.5", f"a Connection of {value!r}", (b"connection", value))
        for value in (b"a\r\nb: c",)
    ),
    _refused("RFC 9110 5.1", "a header name that is text", ("a", b"b")),
    _refused("RFC 9110 5.5", "a header value that is text", (b"a", "b")),
    _refused("RFC 9110 5.5", "a header value that is a number", (b"a", 1)),
    *(
        _refused("RFC 9110 8.6", f"a length of {value!r}", (b"content-length", value))
        for value in _BAD_LENGTHS
    ),
    _refused("RFC 9110 8.6", "two lengths", _LENGTH, (b"content-length", b"4")),
    *(
        _refused("RFC 9110 15", f"a status of {status!r}", status=status)
        for status in (0, -200, 1, 99, 100, 101, 103, 199, 1000, 20000, "200", b"200", 200.0, None, True)
    ),
)

MISTAKES: Final[tuple[Answer, ...]] = (*_WRONG, *_REFUSED)
