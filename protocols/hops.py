"""The chain of proxies a request has come through, as X-Forwarded-For or Forwarded lists it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from aserve.protocols.trust import Trust, pack, unpack

# More hops than any chain has, and more parameters than they have.
MAX_HOPS: Final = 64
MAX_PAIRS: Final = 4 * MAX_HOPS

_ADDRESS: Final = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?")
# What hides an address (RFC 7239 §6.2, §6.3), and what hides a port.
_HIDDEN: Final = re.compile(
    r"(?:unknown|_[A-Za-z0-9._-]+)(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?", re.ASCII | re.I
)
_HIDDEN_PORT: Final = re.compile(r":_[A-Za-z0-9._-]+\Z")

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# One forwarded-pair or none (RFC 7239 §4), with what ends it: ";" inside of an element, "," behind it.
# White space around ";" is not in the grammar, but is seen.
_PAIR: Final = re.compile(
    rf"[ \t]*+(?:(?P<name>{_TOKEN})=(?:(?P<token>{_TOKEN})"
    r'|"(?P<quoted>(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+)"))?+'
    r"[ \t]*+(?P<end>[;,]|\Z)"
)
_ESCAPED: Final = re.compile(r"\\(.)")


class Hop(NamedTuple):
    """Who sent the request on.

    address: as `pack` returns it, b"" if it is not told. port: 0 if it is not told. local: somebody on a
    Unix socket.
    """

    address: bytes
    port: int = 0
    local: bool = False

    def is_trusted(self, trust: Trust) -> bool:
        """Whether it is a proxy that is believed."""
        if trust.everybody:
            return True
        return trust.unix if self.local else bool(self.address) and trust.has(self.address)

    @property
    def client(self) -> tuple[str, int] | None:
        """Address and port, None if they are not known."""
        return (unpack(self.address), self.port) if self.address else None


UNKNOWN: Final = Hop(b"")
_LOCAL: Final = Hop(b"", local=True)


def parse_hop(text: str) -> Hop:
    """A hop of X-Forwarded-For: an address, with a port or not, or a word for none; raises ValueError."""
    address = pack(text)
    if address is not None:
        return Hop(address)
    if text == "unix:":  # as nginx names a client on a Unix socket
        return _LOCAL
    return parse_node(text)


def parse_node(text: str) -> Hop:
    """A node of Forwarded (RFC 7239 §6), where IPv6 addresses stand in brackets; raises ValueError."""
    match = _ADDRESS.fullmatch(_HIDDEN_PORT.sub("", text))
    if match is None:
        if _HIDDEN.fullmatch(text) is None:
            raise ValueError(text)
        return UNKNOWN
    v6, v4, port = match.group("v6", "v4", "port")
    address = pack(v4) if v6 is None else pack(v6) if ":" in v6 else None
    if address is None or int(port or 0) > 65535:
        raise ValueError(text)
    return Hop(address, int(port or 0))


def client_of(text: str, trust: Trust) -> Hop | None:
    """The client by an X-Forwarded-For value; None if there is nothing in it.

    Followed from the right, as the proxies have written it. Raises ValueError if the last hop is
    none; further left such a thing is where the list ends: it tells no more.
    """
    found: Hop | None = None
    for _ in range(MAX_HOPS):
        text, comma, piece = text.rpartition(",")
        piece = piece.strip(" \t")
        if piece:
            try:
                hop = parse_hop(piece)
            except ValueError:
                if found is None:
                    raise
                return found
            found = hop
            if not hop.is_trusted(trust):
                return found
        if not comma:
            return found
    raise ValueError("too many hops")


class Element(NamedTuple):
    """An element of Forwarded.

    pairs: its parameters, lower-cased names and plain values. hop: its `for`, None if it has none.
    """

    pairs: dict[str, str]
    hop: Hop | None = None


def element_of(text: str, trust: Trust) -> Element:
    """The element of a Forwarded value which the outermost trusted proxy has written.

    Its `for` is the client, and its `proto` and `host` are what the client has used. The elements
    right of it tell what trusted proxies used among themselves. Raises ValueError for a value with
    anything in it that is not of the grammar (RFC 7239 §4): a quote in the wrong place may turn what
    a proxy has added into a part of what the client has sent.
    """
    element = Element({})
    for pairs in reversed(_elements(text)):
        hop = parse_node(pairs["for"]) if "for" in pairs else None
        element = Element(pairs, hop)
        if not (trust.everybody or (hop is not None and hop.is_trusted(trust))):
            break
    return element


def _elements(text: str) -> list[dict[str, str]]:
    """The parameters of each element; empty elements are left out."""
    elements: list[dict[str, str]] = [{}]
    position = 0
    for _ in range(MAX_PAIRS):
        match = _PAIR.match(text, position)
        if match is None:
            raise ValueError(text)
        name, token, quoted, end = match.group("name", "token", "quoted", "end")
        if name is not None:
            if name.lower() in elements[-1]:
                raise ValueError(text)
            elements[-1][name.lower()] = token if token is not None else _ESCAPED.sub(r"\1", quoted)
        position = match.end()
        if not end:
            return [element for element in elements if element]
        if end == "," and elements[-1]:
            elements.append({})
    raise ValueError("too many parameters")
