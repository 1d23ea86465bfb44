"""The header of the PROXY protocol, with which a proxy opens a connection that it relays.

Versions 1 (a line of text) and 2 (binary), as in HAProxy's doc/proxy-protocol.txt; sections are
those of that document. Nothing here knows of connections.
"""

from __future__ import annotations

import re
import struct
from typing import Final, Literal, NamedTuple

from aserve.protocols.errors import RemoteError
from aserve.protocols.trust import pack, unpack

Versions = Literal["v1", "v2", "auto"]

# Bytes of the longest header of version 1, with its CRLF (§2.1); of version 2 without addresses (§2.2).
MAX_V1: Final = 107
_FIXED_V2: Final = 16

_TEXT: Final = b"PROXY "
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"

_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP(?P<family>[46]) "
    rb"(?P<source>[0-9A-Fa-f.:]+) (?P<destination>[0-9A-Fa-f.:]+) "
    rb"(?P<client_port>0|[1-9][0-9]{0,4}) (?P<server_port>0|[1-9][0-9]{0,4}))"
)

_LOCAL: Final = 0
_PROXY: Final = 1
_STREAM: Final = 1
_UNIX: Final = 3
# Family -> bytes of an address.
_SIZES: Final = {0: 0, 1: 4, 2: 16, _UNIX: 108}
_TRANSPORTS: Final = (0, _STREAM, 2)

_CRC32C: Final = 3
_POLYNOMIAL: Final = 0x82F63B78


class ProxyHeaderError(RemoteError):
    """What has come is no header of the PROXY protocol that is taken; the text says why."""


class Relay(NamedTuple):
    """Both ends of the connection that the proxy relays.

    told: whether they are known; if not, client and server are None. local: the proxy speaks for
    itself, and its own connection is meant. client, server: the addresses; a client on a Unix socket is
    None, a server on one has its path and no port.
    """

    told: bool
    local: bool = False
    client: tuple[str, int] | None = None
    server: tuple[str, int | None] | None = None


class ProxyHeader:
    """Reads the header out of bytes as they come; holds no more of them than the header can have.

    versions: which are taken. rest: what has come behind the header, once it is complete.
    """

    def __init__(self, versions: Versions) -> None:
        self._starts = {"v1": (_TEXT,), "v2": (_SIGNATURE,), "auto": (_TEXT, _SIGNATURE)}[versions]
        self._data = bytearray()
        self.rest = b""

    def feed(self, data: bytes) -> Relay | None:
        """Take more bytes; None while they are not enough. Raises `ProxyHeaderError`."""
        self._data += data
        held = self._data
        start = next((each for each in self._starts if held.startswith(each[: len(held)])), None)
        if start is None:
            raise ProxyHeaderError("no PROXY protocol header")
        if len(held) < len(start):
            return None
        return self._feed_line() if start is _TEXT else self._feed_binary()

    def _take(self, size: int) -> bytes:
        taken, self.rest = bytes(self._data[:size]), bytes(self._data[size:])
        self._data.clear()
        return taken

    def _feed_line(self) -> Relay | None:
        end = self._data.find(b"\n", 0, MAX_V1) + 1
        if end:
            return parse_line(self._take(end))
        if len(self._data) >= MAX_V1:
            raise ProxyHeaderError("PROXY protocol line too long")
        return None

    def _feed_binary(self) -> Relay | None:
        held = self._data
        if len(held) < _FIXED_V2:
            return None
        _check_kind(held[12], held[13])
        size = _FIXED_V2 + int.from_bytes(held[14:_FIXED_V2], "big")
        return parse_binary(self._take(size)) if len(held) >= size else None


def parse_line(line: bytes) -> Relay:
    """A header of version 1 (§2.1), with its CRLF; raises `ProxyHeaderError`."""
    match = _LINE.fullmatch(line.removesuffix(b"\r\n")) if line.endswith(b"\r\n") else None
    if match is None:
        raise ProxyHeaderError("malformed PROXY protocol line")
    family, source, destination, *ports = match.groups()
    if family is None:
        return Relay(told=False)
    client, server = (_end(family, *each) for each in zip((source, destination), ports, strict=True))
    return Relay(told=True, client=client, server=server)


def _end(family: bytes, address: bytes, port: bytes) -> tuple[str, int]:
    packed = pack(address.decode("ascii")) if (b":" in address) is (family == b"6") else None
    if packed is None or int(port) > 65535:
        raise ProxyHeaderError("malformed PROXY protocol line")
    return unpack(packed), int(port)


def _check_kind(version_and_command: int, family_and_transport: int) -> None:
    version, command = divmod(version_and_command, 16)
    if version != 2 or command > _PROXY:
        raise ProxyHeaderError("unknown version or command in a PROXY protocol header")
    family, transport = divmod(family_and_transport, 16)
    # What is not relayed has no family: whatever stands there is to be ignored.
    if command == _PROXY and (family not in _SIZES or transport not in _TRANSPORTS):
        raise ProxyHeaderError("unknown address family or transport in a PROXY protocol header")


def parse_binary(header: bytes) -> Relay:
    """A complete header of version 2 (§2.2); raises `ProxyHeaderError`."""
    _check_kind(header[12], header[13])
    if header[12] % 16 == _LOCAL:
        return Relay(told=False, local=True)
    family, transport = divmod(header[13], 16)
    if not family or not transport:
        return Relay(told=False)
    size = _SIZES[family]
    ports = _FIXED_V2 + 2 * size
    vectors = ports if family == _UNIX else ports + 4
    if len(header) < vectors:
        raise ProxyHeaderError("addresses are missing in a PROXY protocol header")
    _check_vectors(header, vectors)
    if transport != _STREAM:
        return Relay(told=False)
    source, destination = header[_FIXED_V2 : _FIXED_V2 + size], header[_FIXED_V2 + size : ports]
    if family == _UNIX:
        path = destination.partition(b"\0")[0].decode(errors="backslashreplace")
        return Relay(told=True, server=(path, None))
    client_port, server_port = struct.unpack_from("!HH", header, ports)
    return Relay(told=True, client=(unpack(source), client_port), server=(unpack(destination), server_port))


def _check_vectors(header: bytes, position: int) -> None:
    """Walk over the type-length-value vectors (§2.2); the checksum is the only one that is of use here."""
    checked = False
    while position < len(header):
        start = position + 3
        size = int.from_bytes(header[position + 1 : start], "big")
        kind, position = header[position], start + size
        if len(header) < position:
            raise ProxyHeaderError("malformed vector in a PROXY protocol header")
        if kind == _CRC32C:
            if checked:
                raise ProxyHeaderError("more than one checksum in a PROXY protocol header")
            without = header[:start] + bytes(size) + header[position:]
            if size != 4 or crc32c(without) != int.from_bytes(header[start:position], "big"):
                raise ProxyHeaderError("wrong checksum in a PROXY protocol header")
            checked = True


def crc32c(data: bytes) -> int:
    """The checksum of RFC 9260 appendix A, with Castagnoli's polynomial."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE: Final = [_entry(value) for value in range(256)]
