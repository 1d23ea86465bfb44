"""Certificates (X.509), as far as the server has to know what stands in them: RFC 5280.

`ssl` decodes only a peer's that it has verified: none of the server's own, whose names and dates are needed
here, and no names in the notation of RFC 4514, which ASGI's extension `tls` wants. A library for it would
be a compiled dependency of everybody who serves HTTPS, for these few fields. What is read is no hostile
input: a file of the server's own, or what OpenSSL has verified.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_SUBJECT_ALT_NAME: Final = bytes.fromhex("551d11")
_COMMON_NAME: Final = bytes.fromhex("550403")
_DNS_NAME: Final = 0x82
_IP_ADDRESS: Final = 0x87
_UTC_TIME: Final = 0x17
_WIDE: Final = {0x1C: "utf-32-be", 0x1E: "utf-16-be"}  # UniversalString, BMPString
_STRINGS: Final = frozenset({0x0C, 0x12, 0x13, 0x14, 0x16, *_WIDE})

# The short names of RFC 4514 §3.
_KEYWORDS: Final = {
    _COMMON_NAME: "CN",
    bytes.fromhex("550407"): "L",
    bytes.fromhex("550408"): "ST",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
    bytes.fromhex("550406"): "C",
    bytes.fromhex("550409"): "STREET",
    bytes.fromhex("0992268993f22c640119"): "DC",
    bytes.fromhex("0992268993f22c640101"): "UID",
}


class CertificateError(ValueError):
    """What there is cannot be read as a certificate."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What stands in a certificate.

    serial: its number. subject, issuer: as RFC 4514 writes names. common_name: the subject's last one,
    None for none. names: those of the hosts that it is for, in lower case, addresses among them.
    begins, ends: when it is valid.
    """

    serial: int
    subject: str
    issuer: str
    common_name: str | None
    names: tuple[str, ...]
    begins: datetime
    ends: datetime


def read(der: bytes) -> Certificate:
    """What stands in a certificate; raises `CertificateError`."""
    try:
        return _read(der)
    except (IndexError, ValueError, StopIteration, OverflowError) as error:
        raise CertificateError("not a certificate") from error


def pem(der: bytes) -> str:
    """A certificate as text."""
    return ssl.DER_cert_to_PEM_cert(der)


def _read(der: bytes) -> Certificate:
    body = next(_elements(next(_elements(der))[1]))[1]
    fields = list(_elements(body))
    if fields[0][0] == 0xA0:  # the version
        del fields[0]
    serial, _, issuer, validity, subject, *others = fields
    common_names = [text for kind, text in _attributes(subject[1]) if kind == _COMMON_NAME]
    names = _alternatives(others) or [name.lower() for name in common_names[-1:]]
    begins, ends = (_time(*each) for each in _elements(validity[1]))
    return Certificate(
        int.from_bytes(serial[1], "big"),
        _distinguished(subject[1]),
        _distinguished(issuer[1]),
        common_names[-1] if common_names else None,
        tuple(names),
        begins,
        ends,
    )


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents of the elements of a sequence (X.690 §8.1, definite lengths)."""
    position = 0
    while position < len(data):
        tag, size = data[position], data[position + 1]
        position += 2
        if size & 0x80:
            width = size & 0x7F
            size = int.from_bytes(data[position : position + width], "big")
            position += width
        if position + size > len(data):
            raise ValueError("shorter than it says")
        yield tag, data[position : position + size]
        position += size


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # of the years from 1950 to 2049 (RFC 5280 §4.1.2.5.1)
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _alternatives(fields: list[tuple[int, bytes]]) -> list[str]:
    """The names of hosts in the extension that is for them (RFC 5280 §4.2.1.6)."""
    for tag, content in fields:
        if tag != 0xA3:
            continue
        for _, extension in _elements(next(_elements(content))[1]):
            parts = list(_elements(extension))
            if parts[0][1] == _SUBJECT_ALT_NAME:
                return [*_hosts(next(_elements(parts[-1][1]))[1])]
    return []


def _hosts(general_names: bytes) -> Iterator[str]:
    for tag, content in _elements(general_names):
        if tag == _DNS_NAME:
            yield content.decode("ascii").lower()
        elif tag == _IP_ADDRESS:
            from ipaddress import ip_address  # rarely there

            yield str(ip_address(content))


# -- names ------------------------------------------------------------------------------------


def _attributes(name: bytes) -> Iterator[tuple[bytes, str]]:
    for relative in _relative(name):
        for kind, tag, content in relative:
            if tag in _STRINGS:
                yield kind, _text(tag, content)


def _relative(name: bytes) -> Iterator[list[tuple[bytes, int, bytes]]]:
    for _, relative in _elements(name):
        found = []
        for _, attribute in _elements(relative):
            (_, kind), (tag, content) = _elements(attribute)
            found.append((kind, tag, content))
        yield found


def _distinguished(name: bytes) -> str:
    """A name as text, its last part first (RFC 4514 §2)."""
    parts = ["+".join(_attribute(*each) for each in relative) for relative in _relative(name)]
    return ",".join(reversed(parts))


def _attribute(kind: bytes, tag: int, content: bytes) -> str:
    if kind in _KEYWORDS and tag in _STRINGS:
        return f"{_KEYWORDS[kind]}={_escaped(_text(tag, content))}"
    if tag in _STRINGS:
        return f"{_dotted(kind)}={_escaped(_text(tag, content))}"
    return f"{_dotted(kind)}=#{bytes((tag, len(content))).hex()}{content.hex()}"


def _text(tag: int, content: bytes) -> str:
    return content.decode(_WIDE.get(tag, "utf-8"), errors="replace")


def _escaped(value: str) -> str:
    """A value with what would mean something else escaped (RFC 4514 §2.4)."""
    text = "".join(f"\\{each}" if each in '"+,;<>\\' else each for each in value)
    text = "".join(each if each >= " " and each != "\x7f" else f"\\{ord(each):02x}" for each in text)
    if text[:1] in ("#", " "):
        text = "\\" + text
    if value[-1:] == " " and len(value) > 1:
        text = text[:-1] + "\\ "
    return text


def _dotted(kind: bytes) -> str:
    numbers, value = [], 0
    for byte in kind:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
