"""Transfer-Encoding: chunked, and nothing else (RFC 9112 §6.1)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, post, posted, refused, taken

_CODING = "RFC 9112 6.1"
_BODY = b"2\r\nhi\r\n0\r\n\r\n"


def _taken(what: str, line: bytes, value: bytes) -> Case:
    return taken(_CODING, what, post(line, body=_BODY), posted((b"transfer-encoding", value), body=b"hi"))


# What is not understood is not implemented.
_UNKNOWN = (
    ("gzip", b"gzip"),
    ("deflate", b"deflate"),
    ("identity", b"identity"),
    ("nothing", b""),
    ("gzip before chunked", b"gzip, chunked"),
    ("chunked before gzip", b"chunked, gzip"),
    ("identity before chunked", b"identity, chunked"),
    ("chunked before identity", b"chunked, identity"),
    ("chunked twice", b"chunked, chunked"),
    # A list with empty members; other recipients disagree about what it says.
    ("chunked and a comma", b"chunked,"),
    ("a comma and chunked", b",chunked"),
    ("nothing before chunked", b", chunked"),
    ("a word that ends in chunked", b"xchunked"),
    ("a word that begins with chunked", b"chunkedx"),
    ("half the word", b"chunk"),
    ("chunked with a parameter", b"chunked;a=b"),
    ("chunked with a semicolon", b"chunked;"),
    ("chunked in quotes", b'"chunked"'),
    ("chunked in single quotes", b"'chunked'"),
    ("chunked twice without a comma", b"chunked chunked"),
    ("chunked and a word without a comma", b"chunked\tx"),
    ("a semicolon for the comma", b"identity; chunked"),
    ("a no-break space before chunked", b"\xa0chunked"),
    ("chunked with a letter that only looks like k", "chun\N{KELVIN SIGN}ed".encode()),
    ("chunked as a comment", b"(chunked)"),
)

_CONTROLS = (
    ("VT before chunked", b"\x0bchunked"),
    ("VT behind chunked", b"chunked\x0b"),
    ("FF before chunked", b"\x0cchunked"),
    ("NUL behind chunked", b"chunked\0"),
    ("CR behind chunked", b"chunked\r"),
    ("CR before chunked", b"\rchunked"),
    ("LF before chunked", b"\nchunked"),
    ("DEL behind chunked", b"chunked\x7f"),
)

CASES: Final[tuple[Case, ...]] = (
    _taken("chunked", b"Transfer-Encoding: chunked", b"chunked"),
    _taken("chunked in capitals", b"TRANSFER-ENCODING: CHUNKED", b"CHUNKED"),
    _taken("chunked in mixed case", b"transfer-encoding: cHuNkEd", b"cHuNkEd"),
    _taken("white space around chunked", b"Transfer-Encoding:\t chunked \t", b"chunked"),
    *(
        refused(_CODING, what, 501, post(b"Transfer-Encoding: " + value, body=_BODY))
        for what, value in _UNKNOWN
    ),
    *(
        refused(_CODING, what, 400, post(b"Transfer-Encoding: " + value, body=_BODY))
        for what, value in _CONTROLS
    ),
    refused(
        _CODING,
        "chunked in two lines",
        501,
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=_BODY),
    ),
    refused(
        _CODING,
        "chunked and another coding in two lines",
        501,
        post(b"Transfer-Encoding: chunked", b"transfer-encoding: x", body=_BODY),
    ),
    refused(_CODING, "chunked behind a fold", 400, post(b"Transfer-Encoding:", b" chunked", body=_BODY)),
    refused(
        _CODING,
        "chunked in HTTP/1.0",
        400,
        post(b"Transfer-Encoding: chunked", body=_BODY, version=b"HTTP/1.0"),
    ),
    refused(
        _CODING,
        "chunked in HTTP/1.0 that would persist",
        400,
        post(b"Connection: keep-alive", b"Transfer-Encoding: chunked", body=_BODY, version=b"HTTP/1.0"),
    ),
    refused(
        _CODING,
        "chunked with a Content-Length in HTTP/1.0",
        400,
        post(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=_BODY, version=b"HTTP/1.0"),
    ),
    taken(
        _CODING,
        "Content-Encoding is no transfer coding",
        post(b"Content-Encoding: chunked", b"Content-Length: 2", body=b"hi"),
        posted((b"content-encoding", b"chunked"), (b"content-length", b"2"), body=b"hi"),
    ),
    taken(
        _CODING,
        "TE is no transfer coding",
        post(b"TE: chunked, trailers", b"Content-Length: 2", body=b"hi"),
        posted((b"te", b"chunked, trailers"), (b"content-length", b"2"), body=b"hi"),
    ),
    taken(
        _CODING,
        "Transfer_Encoding is no transfer coding",
        post(b"Transfer_Encoding: chunked", b"Content-Length: 2", body=b"hi"),
        posted((b"transfer_encoding", b"chunked"), (b"content-length", b"2"), body=b"hi"),
        header_map="dangerous",
    ),
)
