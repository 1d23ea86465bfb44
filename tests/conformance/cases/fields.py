"""Field lines: names, white space, values (RFC 9112 §5, RFC 9110 §5)."""

from __future__ import annotations

from typing import Final

from tests.conformance.cases.case import Case, get, refused, seen, taken

_SYNTAX = "RFC 9112 5"
_PARSING = "RFC 9112 5.1"
_FOLDING = "RFC 9112 5.2"
_NAMES = "RFC 9110 5.1"
_ORDER = "RFC 9110 5.3"
_VALUES = "RFC 9110 5.5"
_TOKENS = "RFC 9110 5.6.2"


def _taken(section: str, what: str, line: bytes, name: bytes, value: bytes) -> Case:
    return taken(section, what, get(line), seen((name, value)))


_WHITE_SPACE = (
    ("no space before a value", b"A:b", b"b"),
    ("a space before a value", b"A: b", b"b"),
    ("HTAB before a value", b"A:\tb", b"b"),
    ("much white space around a value", b"A: \t \t b \t ", b"b"),
    ("white space in a value", b"A: b \t c", b"b \t c"),
    ("an empty value", b"A:", b""),
    ("a value of white space", b"A: \t ", b""),
)

_LINES = (
    ("a line without a colon", b"A"),
    ("a line without a colon, but with a space", b"A b"),
    ("an equals sign for the colon", b"A=b"),
    ("an empty name", b": b"),
    ("a colon alone", b":"),
    ("a pseudo-header of HTTP/2", b":authority: b"),
)

_BEFORE_COLON = (
    ("a space before the colon", b"A : b"),
    ("HTAB before the colon", b"A\t: b"),
    ("several spaces before the colon", b"A   : b"),
    ("a space before Content-Length's colon", b"Content-Length : 5"),
    ("a space before Transfer-Encoding's colon", b"Transfer-Encoding : chunked"),
    ("a space in a name", b"A b: c"),
    ("VT before the colon", b"A\x0b: b"),
    ("a no-break space before the colon", b"A\xa0: b"),
)

_FOLDS = (
    ("a line folded by a space", (b"A: b", b" c")),
    ("a line folded by HTAB", (b"A: b", b"\tc")),
    ("a line folded by a colon's line", (b"A: b", b" C: d")),
    ("a line folded by a blank line", (b"A: b", b"  ", b"C: d")),
    ("a value in the folded line only", (b"A:", b" b")),
    ("the last line folded", (b"A: b", b"C: d", b" e")),
)

_NO_TOKENS = (
    ("parentheses", b"A(b)"),
    ("a comma", b"A,B"),
    ("a slash", b"A/B"),
    ("a semicolon", b"A;B"),
    ("an angle bracket", b"A<"),
    ("a closing angle bracket", b"A>"),
    ("an equals sign", b"A=B"),
    ("a question mark", b"A?"),
    ("an at sign", b"A@"),
    ("a bracket", b"[A]"),
    ("a backslash", b"A\\"),
    ("braces", b"{A}"),
    ("quotes", b'"A"'),
    ("a byte above ASCII", b"A\x80"),
    ("UTF-8", "Ä".encode()),
    ("a control character", b"A\x01"),
    ("DEL", b"A\x7f"),
)

_CONTROLS = (
    ("NUL", 0x00),
    ("SOH", 0x01),
    ("BEL", 0x07),
    ("BS", 0x08),
    ("VT", 0x0B),
    ("FF", 0x0C),
    ("SO", 0x0E),
    ("ESC", 0x1B),
    ("US", 0x1F),
    ("DEL", 0x7F),
)

_TCHARS = b"!#$%&'*+-.^_`|~0123456789abcxyzABCXYZ"

CASES: Final[tuple[Case, ...]] = (
    *(refused(_SYNTAX, what, 400, get(line)) for what, line in _LINES),
    *(_taken(_PARSING, what, line, b"a", value) for what, line, value in _WHITE_SPACE),
    *(refused(_PARSING, what, 400, get(line)) for what, line in _BEFORE_COLON),
    refused(_PARSING, "a space before Host's colon", 400, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    *(refused(_FOLDING, what, 400, get(*lines)) for what, lines in _FOLDS),
    refused(_FOLDING, "Host folded", 400, b"GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n"),
    _taken(_NAMES, "a name in any case", b"x-AbC: d", b"x-abc", b"d"),
    _taken(_NAMES, "an unknown name", b"Frobnicate: 1", b"frobnicate", b"1"),
    _taken(_NAMES, "a long name", b"A" * 200 + b": b", b"a" * 200, b"b"),
    taken(
        _ORDER,
        "order and repetitions are kept",
        get(b"B: 1", b"A: 2", b"b: 3", b"A: 4"),
        seen((b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"a", b"4")),
    ),
    _taken(_VALUES, "a value with colons", b"A: b: c:", b"a", b"b: c:"),
    _taken(_VALUES, "a value with quotes and commas", b'A: "b, c", d', b"a", b'"b, c", d'),
    _taken(_VALUES, "all visible characters", b"A: " + bytes(range(33, 127)), b"a", bytes(range(33, 127))),
    _taken(_VALUES, "obs-text", b"A: " + bytes(range(128, 256)), b"a", bytes(range(128, 256))),
    _taken(_VALUES, "obs-text at the end", b"A: b\xa0\x85 ", b"a", b"b\xa0\x85"),
    *(refused(_VALUES, f"{what} in a value", 400, get(b"A: b%cc" % code)) for what, code in _CONTROLS),
    refused(_VALUES, "NUL at the end of a value", 400, get(b"A: b\0")),
    refused(_VALUES, "VT before a value", 400, get(b"A: \x0bb")),
    refused(_VALUES, "a control character in Host", 400, b"GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n"),
    taken(
        _TOKENS,
        "a name of all that tokens allow",
        get(_TCHARS + b": b"),
        seen((_TCHARS.lower(), b"b")),
        header_map="dangerous",
    ),
    *(refused(_TOKENS, f"a name with {what}", 400, get(name + b": b")) for what, name in _NO_TOKENS),
    taken(
        "RFC 9110 5.1",
        "a name with an underscore is not one with a hyphen",
        get(b"X_Forwarded_For: b", b"X-Forwarded-For: c"),
        seen((b"x_forwarded_for", b"b"), (b"x-forwarded-for", b"c")),
        header_map="dangerous",
    ),
    taken(
        "RFC 9110 5.1",
        "a name with an underscore is left out",
        get(b"X_Forwarded_For: b", b"X-Forwarded-For: c", b"Content_Length: 5", b"_: d"),
        seen((b"x-forwarded-for", b"c")),
    ),
    refused(
        "RFC 9110 5.4",
        "a field that is left out, but counts",
        431,
        get(b"A: b", b"c_d: e"),
        limit_fields=2,
    ),
    refused(
        "RFC 9110 5.1",
        "a name with an underscore, if they are unwanted",
        400,
        get(b"X_Forwarded_For: b"),
        header_map="refuse",
    ),
)
