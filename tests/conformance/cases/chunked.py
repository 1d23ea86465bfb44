"""The chunked coding: sizes, data, extensions (RFC 9112 §7.1, §7.1.1)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, get, post, posted, refused, seen, taken

_CHUNKED = "RFC 9112 7.1"
_EXTENSIONS = "RFC 9112 7.1.1"
_FIELD = b"Transfer-Encoding: chunked"
_LAST = b"0\r\n\r\n"


def _post(body: bytes) -> bytes:
    return post(_FIELD, body=body)


def _taken(section: str, what: str, data: bytes, body: bytes) -> Case:
    return taken(section, what, _post(data), posted((b"transfer-encoding", b"chunked"), body=body))


def _refused(section: str, what: str, data: bytes, body: bytes = b"") -> Case:
    """body: what of the body had come before."""
    return refused(section, what, 400, _post(data), body=body)


_TAKEN = (
    ("a chunk", b"3\r\nabc\r\n" + _LAST, b"abc"),
    ("no chunk", _LAST, b""),
    ("several chunks", b"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n" + _LAST, b"abcdef"),
    ("a size in lower case", b"a\r\n0123456789\r\n" + _LAST, b"0123456789"),
    ("a size in capitals", b"A\r\n0123456789\r\n" + _LAST, b"0123456789"),
    ("two digits", b"1f\r\n" + b"x" * 31 + b"\r\n" + _LAST, b"x" * 31),
    ("leading zeros", b"0003\r\nabc\r\n" + _LAST, b"abc"),
    ("sixteen digits", b"0000000000000003\r\nabc\r\n" + _LAST, b"abc"),
    ("a last chunk of several zeros", b"3\r\nabc\r\n000\r\n\r\n", b"abc"),
    ("a last chunk of sixteen zeros", b"0" * 16 + b"\r\n\r\n", b""),
    ("line ends in the data", b"4\r\n\r\n\r\n\r\n" + _LAST, b"\r\n\r\n"),
    ("a last chunk in the data", b"5\r\n0\r\n\r\n\r\n" + _LAST, b"0\r\n\r\n"),
    ("a request in the data", b"12\r\nGET / HTTP/1.1\r\n\r\n\r\n" + _LAST, b"GET / HTTP/1.1\r\n\r\n"),
    ("NUL in the data", b"2\r\n\0\0\r\n" + _LAST, b"\0\0"),
)

_SIZES = (
    ("an empty line for a size", b"\r\n"),
    ("a space before the size", b" 3\r\n"),
    ("a space behind the size", b"3 \r\n"),
    ("HTAB before the size", b"\t3\r\n"),
    ("HTAB behind the size", b"3\t\r\n"),
    ("a plus sign", b"+3\r\n"),
    ("a minus sign", b"-3\r\n"),
    ("minus zero", b"-0\r\n"),
    ("0x", b"0x3\r\n"),
    ("0X", b"0X3\r\n"),
    ("an underscore", b"0_3\r\n"),
    ("no hexadecimal digit", b"g\r\n"),
    ("a letter behind the size", b"3h\r\n"),
    ("a decimal point", b"3.0\r\n"),
    ("a comma", b"3,3\r\n"),
    ("two sizes", b"3 3\r\n"),
    ("a size in quotes", b'"3"\r\n'),
    ("digits that are not ASCII", "\uff13\r\n".encode()),
    ("NUL behind the size", b"3\0\r\n"),
    ("VT behind the size", b"3\x0b\r\n"),
    ("seventeen digits", b"00000000000000003\r\n"),
    ("2 ** 64", b"10000000000000000\r\n"),
    ("2 ** 64 + 3", b"10000000000000003\r\n"),
    ("LF ends the size", b"3\n"),
    ("CR ends the size", b"3\r"),
    ("CR CR LF ends the size", b"3\r\r\n"),
)

_DATA = (
    ("data longer than its size", b"3\r\nabcd\r\n", b"abc"),
    ("data shorter than its size", b"3\r\nab\r\n", b"ab\r"),
    ("no line end behind the data", b"3\r\nabc0\r\n\r\n", b"abc"),
    ("LF behind the data", b"3\r\nabc\n0\r\n\r\n", b"abc"),
    ("CR behind the data", b"3\r\nabc\r0\r\n\r\n", b"abc"),
    ("CR CR LF behind the data", b"3\r\nabc\r\r\n0\r\n\r\n", b"abc"),
    ("two line ends behind the data", b"3\r\nabc\r\n\r\n0\r\n\r\n", b"abc"),
    ("two letters for the line end behind the data", b"3\r\nabcxx0\r\n\r\n", b"abc"),
    ("LF CR behind the data", b"3\r\nabc\n\r0\r\n\r\n", b"abc"),
    ("LF LF behind the data", b"3\r\nabc\n\n0\r\n\r\n", b"abc"),
    ("CR and a letter behind the data", b"3\r\nabc\rx0\r\n\r\n", b"abc"),
    ("a letter and LF behind the data", b"3\r\nabcx\n0\r\n\r\n", b"abc"),
    ("a space behind the data", b"3\r\nabc \r\n0\r\n\r\n", b"abc"),
    ("a bad size behind a chunk", b"3\r\nabc\r\nzz\r\n", b"abc"),
)

_EXTENSIONS_TAKEN = (
    ("a name", b";a"),
    ("a name and a token", b";a=b"),
    ("a name and a string", b';a="b c"'),
    ("an empty string", b';a=""'),
    ("a string with delimiters", b';a="b;c=,d"'),
    ("a string with escapes", b';a="\\"\\\\"'),
    ("a string with HTAB and obs-text", b';a="\t\xe9"'),
    ("several", b';a;b=c;d="e"'),
    ("white space behind the semicolon", b"; a=b"),
    ("white space around the equals sign", b";a = b"),
    ("white space between two of them", b";a ; b"),
    ("a name of all that tokens allow", b";!#$%&'*+-.^_`|~0aZ"),
)

_EXTENSIONS_REFUSED = (
    ("a semicolon alone", b"3;\r\n"),
    ("a space before the semicolon", b"3 ;a\r\n"),
    ("two semicolons", b"3;;a\r\n"),
    ("no name", b"3;=b\r\n"),
    ("no value", b"3;a=\r\n"),
    ("two equals signs", b"3;a==b\r\n"),
    ("two words", b"3;a b\r\n"),
    ("two values", b"3;a=b c\r\n"),
    ("an unclosed string", b'3;a="b\r\n'),
    ("a line end in a string", b'3;a="\r\nabc"\r\n'),
    ("letters behind a string", b'3;a="b"c\r\n'),
    ("a string for a name", b'3;"a"\r\n'),
    ("NUL", b"3;a\0\r\n"),
    ("CR", b"3;a\rb\r\n"),
    ("LF", b"3;a\nb\r\n"),
    ("LF at its end", b"3;a\n"),
    ("CR at its end", b"3;a\rabc\r\n"),
    ("CR in a string", b'3;a="\r"\r\n'),
    ("LF in a string", b'3;a="\n"\r\n'),
    ("an escaped LF", b'3;a="\\\n"\r\n'),
    ("NUL in a string", b'3;a="\0"\r\n'),
    ("DEL in a string", b'3;a="\x7f"\r\n'),
    ("a control character", b"3;a\x01\r\n"),
    ("a byte above ASCII", b"3;\xe9\r\n"),
    ("a comma for the semicolon", b"3,a\r\n"),
    ("a bracket", b"3;a[b]\r\n"),
)

CASES: Final[tuple[Case, ...]] = (
    *(_taken(_CHUNKED, what, data, body) for what, data, body in _TAKEN),
    taken(
        _CHUNKED,
        "a body ends with its last chunk: what is behind it is a request",
        _post(b"1\r\na\r\n" + _LAST) + get(target=b"/next"),
        posted((b"transfer-encoding", b"chunked"), body=b"a"),
        seen(target=b"/next"),
    ),
    *(_refused(_CHUNKED, what, data + b"abc\r\n" + _LAST) for what, data in _SIZES),
    *(_refused(_CHUNKED, what, data, body) for what, data, body in _DATA),
    refused(_CHUNKED, "no chunks at all", 400, _post(b"hello"), body=b""),
    *(
        _taken(_EXTENSIONS, f"an extension with {what}", b"3" + line + b"\r\nabc\r\n" + _LAST, b"abc")
        for what, line in _EXTENSIONS_TAKEN
    ),
    _taken(_EXTENSIONS, "an extension of the last chunk", b"0;a=b\r\n\r\n", b""),
    *(
        _refused(_EXTENSIONS, f"an extension with {what}", data + b"abc\r\n" + _LAST)
        for what, data in _EXTENSIONS_REFUSED
    ),
    _refused(_EXTENSIONS, "an extension with LF, of the last chunk", b"0;a\n\r\n"),
)
