"""Which peers are proxies that are believed."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import ipaddress

    from aserve.protocols.forwarded import Origin

    _Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_USUAL: Final[Mapping[bytes, str]] = MappingProxyType({})

# ::ffff:192.0.2.1 is 192.0.2.1 (RFC 4291 §2.5.5.2).
_MAPPED: Final = bytes(10) + b"\xff\xff"


def pack(address: str) -> bytes | None:
    """The bytes of an IP address, 4 or 16; None if it is none.

    An IPv4-mapped IPv6 address is an IPv4 address; the zone of a link-local one is left out.
    """
    try:
        if ":" not in address:
            return socket.inet_pton(socket.AF_INET, address)
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return None
    return packed[12:] if packed.startswith(_MAPPED) else packed


def unpack(packed: bytes) -> str:
    """The canonical text of an IP address of 4 or 16 bytes, IPv4 for an IPv4-mapped one."""
    if len(packed) == 16 and packed.startswith(_MAPPED):
        packed = packed[12:]
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


class Trust:
    """The peers that are believed.

    addresses: IP addresses, networks in CIDR notation, "unix" for peers of Unix sockets, "*" for
    everybody (whatever stands beside it). Raises ValueError for anything else, with one line that
    says what to write.

    secure: the only fields that tell whether the client's connection is a secure one, in lower case, each
    with the value that says so; none for the usual ones.

    everybody, unix: whether those words are among them. origins: for `forwarded.resolve`, what the
    fields of recent requests have come to.
    """

    __slots__ = ("_addresses", "_networks", "everybody", "origins", "secure", "unix")

    def __init__(self, addresses: Iterable[str], secure: Mapping[bytes, str] = _USUAL) -> None:
        self.secure = secure
        self.everybody = False
        self.unix = False
        self.origins: dict[tuple[tuple[bytes, bytes], ...], Origin] = {}
        self._addresses: set[bytes] = set()
        # Length in bytes, mask and network as numbers.
        self._networks: list[tuple[int, int, int]] = []
        for text in addresses:
            word = text.strip()
            if word == "*":
                self.everybody = True
            elif word == "unix":
                self.unix = True
            elif "%" not in word and (address := pack(word)) is not None:
                self._addresses.add(address)
            else:
                self._add(_network(word))

    def _add(self, network: _Network) -> None:
        size = network.max_prefixlen // 8
        number = int(network.network_address)
        if network.prefixlen == network.max_prefixlen:
            self._addresses.add(number.to_bytes(size, "big"))
        else:
            self._networks.append((size, int(network.netmask), number))

    def allows(self, client: tuple[str, int] | None) -> bool:
        """Whether a peer is believed; client: its address and port, None for one on a Unix socket."""
        if client is None:
            return self.unix or self.everybody
        packed = pack(client[0])
        return self.everybody or (packed is not None and self.has(packed))

    def has(self, packed: bytes) -> bool:
        """Whether an address, as `pack` returns it, is that of a believed peer."""
        if self.everybody or packed in self._addresses:
            return True
        if self._networks:
            number = int.from_bytes(packed, "big")
            for size, mask, network in self._networks:
                if number & mask == network and size == len(packed):
                    return True
        return False


def _network(text: str) -> _Network:
    """The network that `text` names, a single address is one as well; raises ValueError."""
    import ipaddress  # most servers trust single addresses only

    try:
        network: _Network = ipaddress.ip_network(text, strict=False)
        bare = ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        raise ValueError(
            f"{text!r} is no address: write an IP address such as 10.0.0.1, a network such as 10.0.0.0/8, "
            "unix or *"
        ) from None
    if bare != network.network_address:
        raise ValueError(f"{text!r} is an address in a network: write {network} for the whole of it")
    if network.version == 6 and network.subnet_of(ipaddress.IPv6Network("::ffff:0:0/96")):
        packed = network.network_address.packed[12:]
        return ipaddress.IPv4Network((packed, network.prefixlen - 96))
    return network
