"""Framing, persistence and the server's own headers of responses (RFC 9110, RFC 9112 §6, §9)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.answer import Answer

_CLOSE = frozenset({"close"})
_KEEP = frozenset({"keep-alive"})
_LENGTH = (b"content-length", b"3")
_DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"

_LENGTHS: Final = (
    Answer("RFC 9110 8.6", "a whole body"),
    Answer("RFC 9110 8.6", "a whole body and its length", headers=(_LENGTH,)),
    Answer("RFC 9110 8.6", "an empty body", pieces=(b"",), body=b"", length="0"),
    Answer(
        "RFC 9110 8.6",
        "an empty body and its length",
        headers=((b"content-length", b"0"),),
        pieces=(b"",),
        body=b"",
        length="0",
    ),
    Answer("RFC 9110 8.6", "pieces and their length", headers=(_LENGTH,), pieces=(b"a", b"", b"bc")),
    Answer("RFC 9110 8.6", "a length twice", headers=(_LENGTH, (b"Content-Length", b"3"))),
    Answer(
        "RFC 9110 8.6",
        "a length with leading zeros",
        headers=((b"content-length", b"003"),),
        length="003",
    ),
    Answer(
        "RFC 9112 6.1",
        "the coding is the server's matter",
        headers=((b"Transfer-Encoding", b"chunked"), _LENGTH),
    ),
    Answer("RFC 9112 6.1", "a coding that the application names", headers=((b"transfer-encoding", b"gzip"),)),
)

_STREAMS: Final = (
    Answer("RFC 9112 7.1", "pieces", pieces=(b"a", b"bc"), framing="chunked", length=None),
    Answer("RFC 9112 7.1", "empty pieces", pieces=(b"", b"abc", b"", b""), framing="chunked", length=None),
    Answer("RFC 9112 7.1", "nothing in pieces", pieces=(b"", b""), framing="chunked", body=b"", length=None),
    Answer(
        "RFC 9112 7.1",
        "pieces and a coding that the application names",
        headers=((b"transfer-encoding", b"chunked"),),
        pieces=(b"a", b"bc"),
        framing="chunked",
        length=None,
    ),
    Answer(
        "RFC 9112 6.1",
        "no chunks for HTTP/1.0",
        pieces=(b"a", b"bc"),
        version="1.0",
        framing="close",
        length=None,
        named=_CLOSE,
        end="closes",
    ),
    Answer(
        "RFC 9112 6.1",
        "no chunks for HTTP/1.0 that would persist",
        pieces=(b"a", b"bc"),
        version="1.0",
        connection=b"keep-alive",
        framing="close",
        length=None,
        named=_CLOSE,
        end="closes",
    ),
    Answer(
        "RFC 9112 6.1",
        "no chunks for HTTP/1.0 though the application names them",
        headers=((b"transfer-encoding", b"chunked"),),
        pieces=(b"a", b"bc"),
        version="1.0",
        framing="close",
        length=None,
        named=_CLOSE,
        end="closes",
    ),
)


def _bodiless(section: str, what: str, *, status: int = 200, method: str = "GET") -> tuple[Answer, ...]:
    """However an application answers, there is no content: what follows is the next response."""

    def case(how: str, *pieces: bytes, announced: bool = False, length: str | None = None) -> Answer:
        return Answer(
            section,
            f"{what}, {how}",
            status=status,
            headers=(_LENGTH,) if announced else (),
            pieces=pieces,
            method=method,
            comes=status,
            framing="none",
            body=b"",
            length=length,
        )

    known = None if status == 204 else "3"
    return (
        case("nothing", b""),
        case("a body", b"abc", length="3" if method == "HEAD" and status == 200 else None),
        case("pieces", b"a", b"bc"),
        case("a length and nothing", b"", announced=True, length=known),
        case("a length and a body", b"abc", announced=True, length=known),
        case("a length and pieces", b"a", b"bc", announced=True, length=known),
    )


_BODILESS: Final = (
    *_bodiless("RFC 9110 9.3.2", "HEAD", method="HEAD"),
    *_bodiless("RFC 9110 15.3.5", "204", status=204),
    *_bodiless("RFC 9110 15.4.5", "304", status=304),
    *(
        Answer(
            "RFC 9110 15.3.6",
            f"205, {how}",
            status=205,
            headers=headers,
            pieces=pieces,
            comes=205,
            body=b"",
            length="0",
        )
        for how, headers, pieces in (
            ("nothing", (), (b"",)),
            ("a body", (), (b"abc",)),
            ("pieces", (), (b"a", b"bc")),
            ("a length and a body", (_LENGTH,), (b"abc",)),
        )
    ),
    *(
        Answer(
            "RFC 9110 9.3.6",
            f"a tunnel, {how}",
            headers=headers,
            pieces=pieces,
            method="CONNECT",
            framing="none",
            body=b"",
            length=None,
            named=_CLOSE,
            end="closes",
        )
        for how, headers, pieces in (
            ("a body", (), (b"abc",)),
            ("pieces", (), (b"a", b"bc")),
            ("a length and a body", (_LENGTH,), (b"abc",)),
        )
    ),
    Answer(
        "RFC 9110 9.3.6",
        "no tunnel",
        status=405,
        method="CONNECT",
        comes=405,
        named=_CLOSE,
        end="closes",
    ),
    *_bodiless("RFC 9110 9.3.2", "HEAD and 204", status=204, method="HEAD"),
    *_bodiless("RFC 9110 9.3.2", "HEAD and 304", status=304, method="HEAD"),
    Answer(
        "RFC 9110 9.3.2",
        "HEAD in HTTP/1.0 that persists, a body",
        method="HEAD",
        version="1.0",
        connection=b"keep-alive",
        framing="none",
        body=b"",
        named=_KEEP,
    ),
    Answer(
        "RFC 9110 9.3.2",
        "HEAD in HTTP/1.0 that persists, pieces",
        pieces=(b"a", b"bc"),
        method="HEAD",
        version="1.0",
        connection=b"keep-alive",
        framing="none",
        body=b"",
        length=None,
        named=_KEEP,
    ),
    Answer(
        "RFC 9110 9.3.2",
        "HEAD and more than its length",
        headers=(_LENGTH,),
        pieces=(b"abcdef",),
        method="HEAD",
        framing="none",
        body=b"",
    ),
)


def _persistence(
    what: str,
    request: bytes,
    response: bytes,
    version: str,
    named: frozenset[str],
) -> Answer:
    return Answer(
        "RFC 9112 9.6" if b"close" in request + response else "RFC 9112 9.3",
        f"{what} in HTTP/{version}",
        headers=((b"connection", response),) if response else (),
        connection=request,
        version=version,
        named=named,
        end="closes" if "close" in named else "goes on",
    )


_PERSISTENCE: Final = (
    _persistence("no word", b"", b"", "1.1", frozenset()),
    _persistence("no word", b"", b"", "1.0", _CLOSE),
    _persistence("keep-alive of the client", b"keep-alive", b"", "1.1", frozenset()),
    _persistence("keep-alive of the client", b"keep-alive", b"", "1.0", _KEEP),
    _persistence("close of the client", b"close", b"", "1.1", _CLOSE),
    _persistence("close of the client", b"close", b"", "1.0", _CLOSE),
    _persistence("close of the application", b"", b"close", "1.1", _CLOSE),
    _persistence("Close of the application", b"", b"Close", "1.1", _CLOSE),
    _persistence("close of the application against the client", b"keep-alive", b"close", "1.0", _CLOSE),
    _persistence("keep-alive of the application", b"", b"keep-alive", "1.1", frozenset()),
    _persistence("keep-alive of the application against the client", b"close", b"keep-alive", "1.1", _CLOSE),
    _persistence("keep-alive of the application alone", b"", b"keep-alive", "1.0", _CLOSE),
    Answer(
        "RFC 9112 9.6",
        "close and pieces",
        headers=((b"connection", b"close"),),
        pieces=(b"a", b"bc"),
        framing="chunked",
        length=None,
        named=_CLOSE,
        end="closes",
    ),
    Answer(
        "RFC 9112 9.6",
        "close and no content",
        status=204,
        headers=((b"connection", b"close"),),
        pieces=(b"",),
        comes=204,
        framing="none",
        body=b"",
        length=None,
        named=_CLOSE,
        end="closes",
    ),
)

_HOP_BY_HOP: Final = tuple(
    Answer(
        "RFC 9110 7.6.1",
        f"{name.decode()}: {value.decode()} is the server's matter",
        headers=((name, value),),
    )
    for name, value in (
        (b"Keep-Alive", b"timeout=1000"),
        (b"Proxy-Connection", b"keep-alive"),
        (b"Transfer-Encoding", b"identity"),
        (b"Connection", b"content-length"),
        (b"Connection", b"Transfer-Encoding"),
    )
)

_OPTIONS: Final = (
    Answer(
        "RFC 9110 7.6.1",
        "an option of the application's own",
        headers=((b"connection", b"x-a"), (b"x-a", b"b")),
        named=frozenset({"x-a"}),
        fields=((b"x-a", b"b"),),
    ),
    Answer(
        "RFC 9110 7.6.1",
        "an option of the application's own, and close",
        headers=((b"connection", b"x-a, close"), (b"x-a", b"b")),
        named=frozenset({"x-a", "close"}),
        fields=((b"x-a", b"b"),),
        end="closes",
    ),
    Answer(
        "RFC 9110 15.5.22",
        "a protocol that the client is to use",
        status=426,
        headers=((b"upgrade", b"foo/2"), (b"connection", b"Upgrade")),
        comes=426,
        named=frozenset({"upgrade"}),
        fields=((b"upgrade", b"foo/2"),),
    ),
)

_FIELDS: Final = (
    Answer(
        "RFC 9110 5.1",
        "names as they are given",
        headers=((b"X-AbC", b"d"), (b"!#$%&'*+-.^_`|~09", b"e")),
        fields=((b"x-abc", b"d"), (b"!#$%&'*+-.^_`|~09", b"e")),
    ),
    Answer(
        "RFC 9110 5.3",
        "order and repetitions",
        headers=((b"set-cookie", b"a"), (b"b", b"c"), (b"set-cookie", b"d")),
        fields=((b"set-cookie", b"a"), (b"b", b"c"), (b"set-cookie", b"d")),
    ),
    Answer(
        "RFC 9110 5.5",
        "values of all that is allowed",
        headers=((b"a", b"b\tc \x80\xff: ,;"), (b"empty", b"")),
        fields=((b"a", b"b\tc \x80\xff: ,;"), (b"empty", b"")),
    ),
)


_DEFAULTS: Final = (
    Answer(
        "RFC 9110 6.6.1",
        "a Date of the application",
        headers=((b"Date", _DATE),),
        fields=((b"date", _DATE),),
    ),
    Answer(
        "RFC 9110 10.2.4",
        "a Server of the application",
        headers=((b"SERVER", b"mine/1"),),
        fields=((b"server", b"mine/1"),),
    ),
)

ANSWERS: Final[tuple[Answer, ...]] = (
    *_LENGTHS,
    *_STREAMS,
    *_BODILESS,
    *_PERSISTENCE,
    *_HOP_BY_HOP,
    *_OPTIONS,
    *_FIELDS,
    *_DEFAULTS,
)
