"""What trusted proxies say of a request's origin: X-Forwarded-* and Forwarded (RFC 7239).

Only fields from trusted peers come here. Every proxy adds whom it has the request from, so a list of
hops is read from its right end: what stands there was written by the peer, and what stands left of a
trusted proxy's address by that proxy. The first hop that is no trusted proxy is the client; what is
left of it, the client may have made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from aserve.protocols import policy
from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.hops import MAX_HOPS, Element, client_of, element_of
from aserve.protocols.policy import Refusal
from aserve.protocols.trust import Trust

__all__ = ["Origin", "Trust", "resolve"]

T = TypeVar("T")
Fields = list[tuple[bytes, bytes]]

# Origins that a `Trust` keeps, and up to how many bytes of values.
_CACHE_SIZE: Final = 1024
_CACHED_LENGTH: Final = 512

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_SCHEME_FIELDS: Final = {
    b"x-forwarded-proto": _SCHEMES,
    b"x-forwarded-protocol": {**_SCHEMES, "ssl": "https"},
    b"x-forwarded-ssl": {"on": "https", "off": "http"},
}
_PORTS: Final = {"http": 80, "https": 443}

_PREFIX: Final = re.compile(rb"(?:/(?:[-A-Za-z0-9._~!$&'()*+;=:@]|%[0-9A-Fa-f]{2})+)*+/?")
_UNSAFE: Final = re.compile(rb"[\0-\x1f\x7f\\]|/\.{1,2}(?:/|\Z)")


class Origin(NamedTuple):
    """Where a request comes from, as a trusted proxy has it; None (and b"") for what it does not say.

    client: address and port (0 if it is not told), None if the client is not known; the connection's
    own if no proxy names one. scheme: "http" or "https". host: what the Host header is to be,
    with the port if it is not the scheme's own. name: the same, without port and brackets. port: the
    server's port. prefix: the path in front of the application's root, percent-encoded, without a
    slash at its end.
    """

    client: tuple[str, int] | None = None
    scheme: str | None = None
    host: bytes | None = None
    name: str | None = None
    port: int | None = None
    prefix: bytes = b""


# In place of a client that no proxy names.
_PEER: Final = ("", 0)


def resolve(fields: Fields, peer: tuple[str, int] | None, trust: Trust) -> Origin:
    """The origin of a request.

    fields: those of `policy.PROXY_FIELDS` in its head, in order, with lower-case names. peer: the
    connection's client, who is trusted. Raises `RequestRefusedError` for fields that make no sense,
    or contradict each other.
    """
    key = tuple(fields)
    origin = trust.origins.get(key)
    if origin is None:
        origin = _add_client(fields, _common(fields, trust), trust)
        _keep(trust, key, origin)
    return origin._replace(client=peer) if origin.client is _PEER else origin


def _common(fields: Fields, trust: Trust) -> Origin:
    """What all fields say but X-Forwarded-For, which is another one for every client."""
    key = tuple([field for field in fields if field[0] != b"x-forwarded-for"])
    origin = trust.origins.get(key)
    if origin is None:
        origin = _read(key, trust)
        _keep(trust, key, origin)
    return origin


def _keep(trust: Trust, key: tuple[tuple[bytes, bytes], ...], origin: Origin) -> None:
    if len(b"".join([value for _, value in key])) <= _CACHED_LENGTH:
        if len(trust.origins) >= _CACHE_SIZE:
            trust.origins.clear()
        trust.origins[key] = origin


def _add_client(fields: Fields, origin: Origin, trust: Trust) -> Origin:
    """The origin, with what X-Forwarded-For says."""
    lines = [value for name, value in fields if name == b"x-forwarded-for"]
    try:
        hop = client_of(b",".join(lines).decode("latin-1"), trust)
    except ValueError:
        raise RequestRefusedError(policy.BAD_FORWARDED_FOR) from None
    if hop is None:
        return origin
    client, other = hop.client, origin.client
    if other is not _PEER:
        if (client and client[0]) != (other and other[0]):
            raise RequestRefusedError(policy.FORWARDED_CONTRADICTION)
        client = client if client and client[1] else other
    _, scheme, host, name, port, prefix = origin
    return Origin(client, scheme, host, name, port, prefix)


def _read(fields: Iterable[tuple[bytes, bytes]], trust: Trust) -> Origin:
    values: dict[bytes, str] = {}
    for name, value in fields:
        text = value.decode("latin-1")
        values[name] = f"{values[name]},{text}" if name in values else text
    try:
        element = element_of(values.get(b"forwarded", ""), trust)
    except ValueError:
        raise RequestRefusedError(policy.BAD_FORWARDED) from None
    client = _PEER if element.hop is None else element.hop.client
    scheme = _stated_scheme(values, trust.secure) if trust.secure else _scheme(values, element)
    host, server, port = _server(values, element, scheme)
    return Origin(client, scheme, host, server, port, _prefix(values))


def _scheme(values: Mapping[bytes, str], element: Element) -> str | None:
    found = []
    for name, words in _SCHEME_FIELDS.items():
        for member in _members(values, name):
            found.append(_known(words, member, policy.BAD_FORWARDED_PROTO))
    if "proto" in element.pairs:
        found.append(_known(_SCHEMES, element.pairs["proto"], policy.BAD_FORWARDED))
    return _agreed(found)


def _stated_scheme(values: Mapping[bytes, str], secure: Mapping[bytes, str]) -> str | None:
    """The scheme, if it is the user's own choice which fields tell it, as gunicorn's
    secure_scheme_headers have it: the value that is named means https, any other http.
    """
    found = []
    for name, word in secure.items():
        words = _SCHEME_FIELDS.get(name, {})
        if words.get(word.lower()) == "https":
            found += [_known(words, member, policy.BAD_FORWARDED_PROTO) for member in _members(values, name)]
        elif name in values:
            found.append("https" if values[name] == word else "http")
    return _agreed(found)


def _known(words: Mapping[str, str], word: str, refusal: Refusal) -> str:
    scheme = words.get(word.lower())
    if scheme is None:
        raise RequestRefusedError(refusal)
    return scheme


def _server(
    values: Mapping[bytes, str], element: Element, scheme: str | None
) -> tuple[bytes | None, str | None, int | None]:
    """Host with its port, name and port of the server that the client has asked."""
    port = _agreed(_port(member) for member in _members(values, b"x-forwarded-port"))
    members = _members(values, b"x-forwarded-host")
    hosts = [_valid_host(member, policy.BAD_FORWARDED_HOST) for member in members]
    if "host" in element.pairs:
        hosts.append(_valid_host(element.pairs["host"], policy.BAD_FORWARDED))
    host = _agreed(hosts)
    if host is None:
        return None, None, port
    default = _PORTS[scheme or "http"]
    name, colon, own = host.rpartition(b":")
    if not colon or host.endswith(b"]"):
        name, own = host, b""
    if not own:
        host = name if port in (None, default) else b"%b:%d" % (name, port)
    return host, name.strip(b"[]").decode("ascii"), port or int(own or default)


def _valid_host(text: str, refusal: Refusal) -> bytes:
    host = text.encode("latin-1").lower()
    if not host or not policy.is_host(host):
        raise RequestRefusedError(refusal)
    return host


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise RequestRefusedError(policy.BAD_FORWARDED_PORT)
    return int(text)


def _prefix(values: Mapping[bytes, str]) -> bytes:
    prefix = (_agreed(_members(values, b"x-forwarded-prefix")) or "").encode("latin-1")
    if _PREFIX.fullmatch(prefix) is None or _UNSAFE.search(path := unquote_to_bytes(prefix)) is not None:
        raise RequestRefusedError(policy.BAD_FORWARDED_PREFIX)
    if path.count(b"/") != prefix.count(b"/"):
        raise RequestRefusedError(policy.BAD_FORWARDED_PREFIX)
    return prefix.rstrip(b"/")


def _members(values: Mapping[bytes, str], name: bytes) -> list[str]:
    """The members of the list that all fields of this name are together, without the empty ones.

    If there are too many of them, the last one still has commas.
    """
    return [part for piece in values.get(name, "").split(",", MAX_HOPS) if (part := piece.strip(" \t"))]


def _agreed(stated: Iterable[T]) -> T | None:
    """What is stated, if it is the same everywhere; None if nothing is."""
    different = set(stated)
    if len(different) > 1:
        raise RequestRefusedError(policy.FORWARDED_CONTRADICTION)
    return different.pop() if different else None
