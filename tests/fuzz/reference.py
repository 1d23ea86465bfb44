"""A second opinion: what of a stream of bytes is valid HTTP/1.1, straight from the grammar of the RFCs.

Slow, and independent of the package. Where the RFCs leave a choice, it is the server's: request
targets may have any visible ASCII character but `#`; a Host has no comma, no port without a name
and no port above 65535; a Content-Length is one number of at most 18 digits, a chunk size has at most
16; the only transfer coding is chunked, not in a list; limits are not known here.
"""

from __future__ import annotations

import re
from typing import Final

from tests.fuzz.harness import Seen

# RFC 9110 section 5.6
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_OWS: Final = r"[ \t]*"
_QUOTED: Final = r'"(?:[\t \x21\x23-\x5B\x5D-\x7E\x80-\xFF]|\\[\t \x21-\x7E\x80-\xFF])*"'

# RFC 3986 section 3.2.2; the comma is left out of sub-delims
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]|[0-9])"
_IPV4: Final = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_H16: Final = r"[0-9A-Fa-f]{1,4}"
_LS32: Final = rf"(?:{_H16}:{_H16}|{_IPV4})"
_IPV6: Final = "|".join(
    [
        rf"(?:{_H16}:){{6}}{_LS32}",
        rf"::(?:{_H16}:){{5}}{_LS32}",
        rf"(?:{_H16})?::(?:{_H16}:){{4}}{_LS32}",
        rf"(?:(?:{_H16}:){{0,1}}{_H16})?::(?:{_H16}:){{3}}{_LS32}",
        rf"(?:(?:{_H16}:){{0,2}}{_H16})?::(?:{_H16}:){{2}}{_LS32}",
        rf"(?:(?:{_H16}:){{0,3}}{_H16})?::{_H16}:{_LS32}",
        rf"(?:(?:{_H16}:){{0,4}}{_H16})?::{_LS32}",
        rf"(?:(?:{_H16}:){{0,5}}{_H16})?::{_H16}",
        rf"(?:(?:{_H16}:){{0,6}}{_H16})?::",
    ]
)
_UNRESERVED: Final = r"A-Za-z0-9\-._~"
_FUTURE: Final = rf"[vV][0-9A-Fa-f]+\.[{_UNRESERVED}!$&'()*+,;=:]+"
_NAME: Final = rf"(?:[{_UNRESERVED}!$&'()*+;=]|%[0-9A-Fa-f]{{2}})*"
_HOST: Final = rf"(?:\[(?:{_IPV6}|{_FUTURE})\]|{_NAME})"

_REQUEST_LINE: Final = re.compile(rf"({_TOKEN}) ([!-~]+) HTTP/([0-9])\.([0-9])")
_FIELD_LINE: Final = re.compile(
    rf"({_TOKEN}):{_OWS}((?:[\x21-\x7E\x80-\xFF](?:[ \t\x21-\x7E\x80-\xFF]*[\x21-\x7E\x80-\xFF])?)?){_OWS}"
)
_HOST_AND_PORT: Final = re.compile(rf"({_HOST})(:[0-9]{{0,5}})?")
_ABSOLUTE_FORM: Final = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://([^/?]*)(?:[/?].*)?")
_CHUNK_LINE: Final = re.compile(
    rf"([0-9A-Fa-f]{{1,16}})((?:{_OWS};{_OWS}{_TOKEN}(?:{_OWS}={_OWS}(?:{_TOKEN}|{_QUOTED}))?)*)"
)


class Invalid(Exception):
    """There is no valid request at this place."""


class Incomplete(Exception):
    """What there is may be the beginning of one."""


def read_requests(data: bytes) -> tuple[list[Seen], str]:
    """The valid requests at the beginning of `data`, and how it goes on behind them.

    "refused" for bytes that are no request, "incomplete" for bytes that may become one (or not), "ended" if
    nothing counts any more, "idle" if nothing is there.
    """
    requests: list[Seen] = []
    text = data.decode("latin-1")
    while True:
        while text.startswith("\r\n"):
            text = text[2:]
        if not text:
            return requests, "idle"
        try:
            request, text, last = _read_request(text)
        except Incomplete:
            return requests, "incomplete"
        except Invalid:
            return requests, "refused"
        requests.append(request)
        if last:
            return requests, "ended"


def _is_method(name: str) -> bool:
    """As gunicorn has it: the length of a method is bounded, and none has small letters. PRI is HTTP/2's."""
    return 3 <= len(name) <= 20 and name == name.upper() and "#" not in name and name != "PRI"


def _read_request(text: str) -> tuple[Seen, str, bool]:
    """RFC 9112 section 2.1."""
    head, end, rest = text.partition("\r\n\r\n")
    if not end:
        raise Incomplete
    first, *lines = head.split("\r\n")
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None or request_line[3] != "1" or not _is_method(request_line[1]):
        raise Invalid
    method, target, _, minor = request_line.groups()
    fields = [_field(line) for line in lines]
    host = _target_host(method, target)
    _check_host(_all(fields, "host"), minor, target)
    if any(value.lower() != "100-continue" for value in _all(fields, "expect")):
        raise Invalid
    body, rest = _body(fields, minor, rest)
    fields = [field for field in fields if "_" not in field[0]]  # as --header-map has it by default
    if host is not None:
        fields = [("host", host), *(field for field in fields if field[0] != "host")]
    options = _members(_all(fields, "connection"))
    last = "close" in options or (minor == "0" and "keep-alive" not in options) or method == "CONNECT"
    seen = Seen(
        method,
        target.encode("latin-1"),
        "1.0" if minor == "0" else "1.1",
        tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in fields),
        body.encode("latin-1"),
    )
    return seen, rest, last


def _field(line: str) -> tuple[str, str]:
    """RFC 9112 section 5."""
    match = _FIELD_LINE.fullmatch(line)
    if match is None:
        raise Invalid
    return match[1].lower(), match[2]


def _all(fields: list[tuple[str, str]], name: str) -> list[str]:
    return [value for each, value in fields if each == name]


def _members(values: list[str]) -> list[str]:
    """RFC 9110 section 5.6.1.2."""
    parts = [part.strip(" \t") for value in values for part in value.lower().split(",")]
    return [part for part in parts if part]


def _target_host(method: str, target: str) -> str | None:
    """What an absolute-form target has for a Host (RFC 9112 section 3.2)."""
    if "#" in target:
        raise Invalid
    if method == "CONNECT":
        match = _HOST_AND_PORT.fullmatch(target)
        if match is None or not match[1] or len(match[2] or "") < 2 or not _is_port(match[2]):
            raise Invalid
        return None
    if target.startswith("/") or (method == "OPTIONS" and target == "*"):
        return None
    absolute = _ABSOLUTE_FORM.fullmatch(target)
    if absolute is None:
        raise Invalid
    match = _HOST_AND_PORT.fullmatch(absolute[1])
    if match is None or not match[1] or not _is_port(match[2]):
        raise Invalid
    return absolute[1]


def _is_port(text: str | None) -> bool:
    return int((text or "")[1:] or "0") <= 65535


def _check_host(values: list[str], minor: str, target: str) -> None:
    """RFC 9112 section 3.2, RFC 9110 section 7.2."""
    if len(values) > 1 or (not values and minor != "0"):
        raise Invalid
    for value in values:
        match = _HOST_AND_PORT.fullmatch(value)
        if match is None or not _is_port(match[2]) or (match[2] and not match[1]):
            raise Invalid
        if not match[1] and minor != "0" and target[0] in "/*":
            raise Invalid


def _body(fields: list[tuple[str, str]], minor: str, rest: str) -> tuple[str, str]:
    """RFC 9112 section 6.3. Returns the body, and what is behind it."""
    lengths = _all(fields, "content-length")
    codings = [value.lower() for value in _all(fields, "transfer-encoding")]
    if codings:
        if lengths or minor == "0" or codings != ["chunked"]:
            raise Invalid
        return _chunked(rest)
    if not lengths:
        return "", rest
    if len(lengths) > 1 or re.fullmatch(r"[0-9]{1,18}", lengths[0]) is None:
        raise Invalid
    size = int(lengths[0])
    if len(rest) < size:
        raise Incomplete
    return rest[:size], rest[size:]


def _chunked(rest: str) -> tuple[str, str]:
    """RFC 9112 section 7.1."""
    body = ""
    while True:
        line, rest = _line(rest)
        match = _CHUNK_LINE.fullmatch(line)
        # A blank behind the size is bad white space: what it means is not agreed upon.
        if match is None or match[2][:1] in (" ", "\t"):
            raise Invalid
        size = int(match[1], 16)
        if not size:
            break
        if len(rest) < size + 2:
            if not "\r\n".startswith(rest[size:]):
                raise Invalid
            raise Incomplete
        if rest[size : size + 2] != "\r\n":
            raise Invalid
        body += rest[:size]
        rest = rest[size + 2 :]
    while True:
        line, rest = _line(rest)
        if not line:
            return body, rest
        _field(line)


def _line(rest: str) -> tuple[str, str]:
    line, end, rest = rest.partition("\r\n")
    if not end:
        raise Incomplete
    return line, rest
