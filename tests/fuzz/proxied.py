"""Strategies for what proxies add: headers of the PROXY protocol, and fields that tell of the client."""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from hypothesis import strategies as st

from aserve.protocols.options import ConnectionOptions
from aserve.protocols.trust import Trust
from tests.fuzz import grammar, samples
from tests.fuzz.stream import Stream

Ends = tuple[tuple[str, int], tuple[str, int]]

v4: Final = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)
# Mapped addresses are IPv4 addresses.
v6: Final = st.integers(2**64, 2**128 - 1).map(ipaddress.IPv6Address)
ports: Final = st.integers(0, 65535)
pairs: Final = st.one_of(st.tuples(v4, v4), st.tuples(v6, v6))


@st.composite
def proxy_headers(draw: st.DrawFn) -> tuple[bytes, Ends | None]:
    """A valid header of the PROXY protocol, and what it says of both ends of the connection, if anything."""
    client, server = draw(pairs)
    client_port, server_port = draw(ports), draw(ports)
    known = draw(st.booleans())
    ends = ((str(client), client_port), (str(server), server_port)) if known else None
    if draw(st.booleans()):
        line = b"UNKNOWN" + draw(st.sampled_from([b"", b" ", b" x y"]))
        if known:
            numbers = (str(client), str(server), str(client_port), str(server_port))
            line = b"TCP%d %b" % (client.version, " ".join(numbers).encode())
        return b"PROXY %b\r\n" % line, ends
    addresses = client.packed + server.packed + struct.pack("!HH", client_port, server_port)
    kind = {4: 0x11, 6: 0x21}[client.version] if known else 0
    vectors = draw(st.sampled_from([b"", b"\4\0\0", b"\x05\0\2ab\x04\0\1\0"]))
    rest = (addresses if known else b"") + vectors
    return b"\r\n\r\n\0\r\nQUIT\n\x21" + bytes([kind]) + struct.pack("!H", len(rest)) + rest, ends


odd_headers: Final = st.one_of(
    st.sampled_from(samples.PROXY_HEADERS),
    proxy_headers().flatmap(lambda header: grammar.mutated(header[0])),
)


@st.composite
def headed_streams(draw: st.DrawFn) -> Stream:
    """A header that may be odd, and requests."""
    header = draw(st.one_of(odd_headers, proxy_headers().map(lambda each: each[0])))
    return draw(grammar.cut(header + draw(st.sampled_from([samples.SMALL, b"", b"\r\n", b"X\r\n\r\n"]))))


proxy_options: Final = st.builds(
    ConnectionOptions,
    proxy_protocol=st.sampled_from(["v1", "v2", "auto"]),
    proxy_trust=st.sampled_from([Trust(["*"]), Trust(["192.0.2.0/24"]), Trust(["unix"])]),
    forwarded_trust=st.sampled_from([None, Trust(["*"])]),
)

good_hops: Final = st.one_of(
    v4.map(lambda address: str(address).encode()),
    v6.map(lambda address: b"[%b]" % str(address).encode()),
    st.sampled_from([b"10.0.0.1", b"192.0.2.1", b"198.51.100.7:80", b"unknown", b"_x"]),
)
good_fields: Final = st.one_of(
    st.lists(good_hops, min_size=1, max_size=4).map(lambda hops: b"X-Forwarded-For: " + b", ".join(hops)),
    st.lists(st.sampled_from(samples.FORWARDED), max_size=3).map(
        lambda elements: b"Forwarded: " + b", ".join(elements)
    ),
    st.sampled_from(samples.FORWARDED_LINES),
)
hops: Final = st.one_of(good_hops, st.sampled_from(samples.HOPS))
elements: Final = st.lists(
    st.tuples(
        st.sampled_from([b"for=", b"For=", b"proto=", b"host=", b"by=", b"x="]),
        st.one_of(hops, hops.map(lambda hop: b'"%b"' % hop), st.sampled_from(samples.FORWARDED_WORDS)),
    ).map(b"".join),
    max_size=3,
).map(b";".join)
odd_fields: Final = st.one_of(
    st.lists(hops, min_size=1, max_size=4).map(lambda hops: b"X-Forwarded-For: " + b", ".join(hops)),
    st.lists(elements, max_size=3).map(lambda elements: b"Forwarded: " + b", ".join(elements)),
    st.tuples(st.sampled_from(samples.FORWARDED_NAMES), st.sampled_from(samples.FORWARDED_WORDS)).map(
        b"".join
    ),
    good_fields.flatmap(grammar.mutated),
)


@st.composite
def forwarded_requests(draw: st.DrawFn) -> bytes:
    """A request with what proxies say."""
    lines = draw(st.lists(good_fields, min_size=1, max_size=3))
    if draw(st.integers(0, 3)) == 3:
        lines.append(draw(odd_fields))
    target = draw(st.sampled_from([b"/f", b"/p/f", b"/p", b"/", b"*", b"http://c/p/f", b"/%70/f?q"]))
    method = b"OPTIONS" if target == b"*" else b"GET"
    return b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (method, target, b"\r\n".join(lines))


forwarded_streams: Final = (
    st.lists(forwarded_requests(), min_size=1, max_size=3).map(b"".join).flatmap(grammar.cut)
)


forwarded_options: Final = st.builds(
    ConnectionOptions,
    forwarded_trust=st.sampled_from([Trust(["*"]), Trust(["192.0.2.1", "10.0.0.0/8", "unix"]), Trust([])]),
    header_map=st.sampled_from(["drop", "refuse", "dangerous"]),
)
