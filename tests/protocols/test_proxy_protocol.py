"""The PROXY protocol's header: the parser by itself, and on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aserve.protocols.forwarded import Trust
from aserve.protocols.proxy_protocol import ProxyHeader, ProxyHeaderError, Relay, Versions, crc32c
from tests.protocols.conftest import Serving
from tests.support.client import TIMEOUT, AsyncRawClient, request

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")
LINE = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"
TOLD = Relay(True, False, ("203.0.113.7", 56324), ("192.0.2.1", 443))
ALL = Trust(["*"])


def binary(
    addresses: bytes = b"",
    kind: int = 0x11,
    *,
    command: int = 0x21,
    vectors: bytes = b"",
    size: int | None = None,
) -> bytes:
    rest = addresses + vectors
    return SIGNATURE + struct.pack("!BBH", command, kind, len(rest) if size is None else size) + rest


def inet(
    source: str = "203.0.113.7", destination: str = "192.0.2.1", ports: tuple[int, int] = (56324, 443)
) -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    packed = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    return packed + struct.pack("!HH", *ports)


def vector(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def summed(addresses: bytes, *others: bytes, kind: int = 0x11, change: int = 0) -> bytes:
    """A header with a checksum between other vectors."""
    zero = binary(addresses, kind, vectors=b"".join(others) + vector(3, bytes(4)) + vector(4, b"\0" * 5))
    return zero.replace(vector(3, bytes(4)), vector(3, struct.pack("!I", crc32c(zero) ^ change)))


UNIX = b"/run/client.sock".ljust(108, b"\0") + b"/run/server.sock".ljust(108, b"\0")
SIX = inet("2001:db8::7", "2001:db8::1", (56324, 443))

HEADERS = [
    (LINE, TOLD),
    (
        b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
        Relay(True, False, ("0.0.0.0", 0), ("255.255.255.255", 65535)),
    ),
    (
        b"PROXY TCP6 2001:DB8::7 2001:db8:0:0:0:0:0:1 56324 443\r\n",
        Relay(True, False, ("2001:db8::7", 56324), ("2001:db8::1", 443)),
    ),
    (
        b"PROXY TCP6 " + b" ".join([b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] * 2) + b" 65535 65535\r\n",
        Relay(True, False, *[("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535)] * 2),
    ),
    (b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 56324 443\r\n", TOLD),
    (b"PROXY UNKNOWN\r\n", Relay(False)),
    (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", Relay(False)),
    (b"PROXY UNKNOWN \0\xff garbage\r\n", Relay(False)),
    (binary(inet()), TOLD),
    (binary(inet(), vectors=vector(1, b"h2") + vector(0xE0, b"") + vector(0x20, bytes(300))), TOLD),
    (binary(SIX, 0x21), Relay(True, False, ("2001:db8::7", 56324), ("2001:db8::1", 443))),
    (binary(inet("::ffff:203.0.113.7", "::ffff:192.0.2.1"), 0x21), TOLD),
    (binary(UNIX, 0x31), Relay(True, False, None, ("/run/server.sock", None))),
    (binary(kind=0x00), Relay(False)),
    (binary(b"whatever", 0x00), Relay(False)),
    (binary(inet(), 0x12), Relay(False)),  # UDP: over TCP it says nothing
    (binary(inet(), 0x10), Relay(False)),
    (binary(b"", 0x01), Relay(False)),
    (binary(b"", 0x00, command=0x20), Relay(False, local=True)),
    (binary(b"whatever", 0xEE, command=0x20), Relay(False, local=True)),
    (binary(inet(), 0x11, command=0x20), Relay(False, local=True)),
    (summed(inet()), TOLD),
    (summed(inet(), vector(1, b"http/1.1")), TOLD),
    (summed(UNIX, kind=0x31), Relay(True, False, None, ("/run/server.sock", None))),
    (binary(inet(), vectors=vector(4, bytes(65520))), TOLD),
]

BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"\r\n\r\nGET",
    b"proxy TCP4 203.0.113.7 192.0.2.1 56324 443\r\n",
    b"PROXY\r\n",
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP5 203.0.113.7 192.0.2.1 56324 443\r\n",
    b"PROXY UDP4 203.0.113.7 192.0.2.1 56324 443\r\n",
    b"PROXY UNKNOWN2\r\n",
    b"PROXY UNKNOWN\n",
    b"PROXY UNKNOWN \r \r\n",
    b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    b"PROXY UNKNOWN " + b"f" * 200,
    b"PROXY  TCP4 203.0.113.7 192.0.2.1 56324 443\r\n",
    b"PROXY TCP4 203.0.113.7  192.0.2.1 56324 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443 \r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 56324\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443 1\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\r\n",
    b"PROXY TCP4 203.0.113.07 192.0.2.1 56324 443\r\n",
    b"PROXY TCP4 203.0.113 192.0.2.1 56324 443\r\n",
    b"PROXY TCP4 203.0.113.256 192.0.2.1 56324 443\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 56324 443\r\n",
    b"PROXY TCP6 203.0.113.7 192.0.2.1 56324 443\r\n",
    b"PROXY TCP6 2001:db8::7 2001:db8:::1 56324 443\r\n",
    b"PROXY TCP6 2001:db8::7 [2001:db8::1] 56324 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 056324 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 +5 443\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 -5 443\r\n",
    SIGNATURE[:-1] + b"\r",
    binary(inet(), command=0x11),
    binary(inet(), command=0x31),
    binary(inet(), command=0x22),
    binary(inet(), command=0x2F),
    binary(inet(), 0x41),
    binary(inet(), 0x13),
    binary(inet(), 0xFF),
    binary(inet()[:-1]),
    binary(b""),
    binary(SIX[:-1], 0x21),
    binary(UNIX[:-1], 0x31),
    binary(inet(), vectors=b"\x04"),
    binary(inet(), vectors=b"\x04\0"),
    binary(inet(), vectors=b"\x04\0\x01"),
    binary(inet(), vectors=vector(4, b"x")[:-1]),
    binary(inet(), vectors=vector(3, b"\0\0\0")),
    binary(inet(), vectors=vector(3, bytes(4))),
    summed(inet(), change=1),
    summed(inet(), vector(3, bytes(4))),
]


def feed(data: bytes, versions: Versions = "auto", *, step: int = 0) -> tuple[Relay | None, bytes]:
    """What comes of the header, and of the bytes behind it; `step` bytes at a time."""
    header = ProxyHeader(versions)
    for position in range(0, len(data), step or len(data)):
        relay = header.feed(data[position : position + (step or len(data))])
        if relay is not None:
            return relay, header.rest + data[position + (step or len(data)) :]
    return None, b""


# The parser


@pytest.mark.parametrize(("header", "relay"), HEADERS)
def test_headers(header: bytes, relay: Relay) -> None:
    assert feed(header) == (relay, b"")
    assert feed(header + b"GET /\r\n") == (relay, b"GET /\r\n")
    assert feed(header + header) == (relay, header)
    assert feed(header[:-1]) == (None, b"")
    for step in (1, 7, len(header) - 1) if len(header) < 1000 else (997,):
        assert feed(header + b"GET", step=step) == (relay, b"GET")


@pytest.mark.parametrize("header", BAD)
def test_what_is_no_header(header: bytes) -> None:
    for step in (0, 1):
        with pytest.raises(ProxyHeaderError):
            feed(header + b"GET / HTTP/1.1\r\n\r\n", step=step)


@pytest.mark.parametrize(
    "start", [b"G", b"PROXx", b"PROXY\r", b"\r\n\r\n\0\r\nQUIT\r", SIGNATURE + b"\x11\x11"]
)
def test_it_is_said_as_soon_as_it_is_clear(start: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        feed(start.ljust(16, b"\0") if start.startswith(SIGNATURE) else start)


def test_versions() -> None:
    assert feed(LINE, "v1")[0] == TOLD
    assert feed(binary(inet()), "v2")[0] == TOLD
    for header, versions in ((binary(inet()), "v1"), (LINE, "v2")):
        with pytest.raises(ProxyHeaderError, match="no PROXY protocol header"):
            feed(header[:1], versions)  # type: ignore[arg-type]


def test_there_is_one_checksum_at_most() -> None:
    """Each of them costs time."""
    zero = binary(inet(), vectors=vector(3, bytes(4)) + vector(3, b"1234"))
    first = zero.replace(vector(3, bytes(4)), vector(3, struct.pack("!I", crc32c(zero))))
    with pytest.raises(ProxyHeaderError, match="more than one checksum"):
        feed(first)


def test_a_line_without_an_end_is_not_waited_for() -> None:
    header = ProxyHeader("v1")
    assert header.feed(b"PROXY UNKNOWN ".ljust(106, b"x")) is None
    with pytest.raises(ProxyHeaderError, match="too long"):
        header.feed(b"x")


def test_the_checksum_is_the_one_of_the_rfc() -> None:
    """RFC 3720 appendix B.4 has these."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E


_BYTES = st.sampled_from([header for header, _ in HEADERS] + BAD).filter(lambda data: len(data) < 1000)


@given(data=_BYTES, place=st.integers(0, 1000), byte=st.integers(0, 255), step=st.integers(1, 60))
def test_what_comes_of_bytes_does_not_depend_on_how_they_arrive(
    data: bytes, place: int, byte: int, step: int
) -> None:
    changed = bytearray(data)
    changed[place % len(data)] = byte
    assert outcome(bytes(changed), step) == outcome(bytes(changed), 0)


def outcome(data: bytes, step: int) -> object:
    try:
        return feed(data, step=step)
    except ProxyHeaderError:
        return "refused"


# On the wire


@pytest.mark.parametrize(
    ("header", "client", "server"),
    [
        (LINE, ("203.0.113.7", 56324), ("192.0.2.1", 443)),
        (summed(SIX, kind=0x21), ("2001:db8::7", 56324), ("2001:db8::1", 443)),
        (binary(UNIX, 0x31), None, ("/run/server.sock", None)),
        (b"PROXY UNKNOWN\r\n", "own", "own"),
        (binary(b"", 0, command=0x20), "own", "own"),
    ],
)
@pytest.mark.parametrize("arrival", ["at once", "apart", "byte by byte"])
async def test_the_connection_has_the_addresses_of_the_header(
    serving: Serving, header: bytes, client: Any, server: Any, arrival: str
) -> None:
    async with (
        serving(proxy_protocol="auto", proxy_trust=Trust(["127.0.0.1"])) as host,
        host.client() as proxy,
    ):
        connection = await host.accepted(proxy)
        own = connection.client, connection.server
        requests = request("GET", "/1") + request("GET", "/2")
        pieces = {
            "at once": [header + requests],
            "apart": [header, requests],
            "byte by byte": [bytes([byte]) for byte in header + requests],
        }[arrival]
        await host.deliver(proxy, pieces)
        for target in ("/1", "/2"):
            assert (await proxy.read()).text == f"GET {target}"
        assert (await proxy.ask(request("GET", "/3"))).text == "GET /3"
        assert (connection.client, connection.server) == (own if client == "own" else (client, server))


@pytest.mark.parametrize("versions", ["v1", "v2"])
async def test_one_version_only(serving: Serving, versions: str) -> None:
    headers = {"v1": LINE, "v2": binary(inet())}
    async with serving(proxy_protocol=versions, proxy_trust=ALL) as host:
        for version, header in headers.items():
            async with host.client() as proxy:
                await proxy.send(header + request())
                if version == versions:
                    assert (await proxy.read()).status == 200
                else:
                    await ended(proxy)


async def ended(client: AsyncRawClient) -> None:
    """The server has ended the connection without a byte; a reset will do, since it has not read all."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(loop.sock_recv(client.socket, 100), TIMEOUT) == b""


@pytest.mark.parametrize(
    ("data", "trust", "text"),
    [
        (LINE + request(), Trust(["10.0.0.0/8", "unix"]), "PROXY protocol from a peer that is not trusted"),
        (request(), Trust([]), "PROXY protocol from a peer that is not trusted"),
        (request(), None, "PROXY protocol from a peer that is not trusted"),
        (request(), ALL, "no PROXY protocol header"),
        (b"\x16\x03\x01", ALL, "no PROXY protocol header"),
        (LINE.replace(b"443", b"x") + request(), ALL, "malformed PROXY protocol line"),
        (summed(inet(), change=1) + request(), ALL, "wrong checksum in a PROXY protocol header"),
    ],
)
async def test_the_connection_is_closed_with_one_line_in_the_log(
    serving: Serving, caplog: pytest.LogCaptureFixture, data: bytes, trust: Trust | None, text: str
) -> None:
    caplog.set_level(logging.DEBUG, "aserve")
    async with serving(proxy_protocol="auto", proxy_trust=trust) as host:
        async with host.client() as client:
            port = client.socket.getsockname()[1]
            await client.send(data)
            await ended(client)
        assert host.begun == []
        [line] = [record.getMessage() for record in caplog.records if record.name == "aserve"]
        assert line.startswith(f"refused: {text}")
        assert line.endswith(f" client=127.0.0.1:{port}")


async def test_without_the_option_it_is_a_bad_request(serving: Serving) -> None:
    for header in (LINE, binary(inet())):
        async with serving(proxy_trust=ALL) as host, host.client() as client:
            assert (await client.ask(header + request())).status == 400
            await ended(client)


@pytest.mark.parametrize("begin", [b"", b"PROXY TCP4 ", SIGNATURE, LINE])
async def test_the_header_has_to_come_in_time(serving: Serving, begin: bytes) -> None:
    """What there is to say cannot be said in HTTP before it is complete."""
    async with serving(proxy_protocol="auto", proxy_trust=ALL, header_timeout=0.3) as host:
        async with host.client() as client:
            await client.send(begin)
            assert await client.read_until_closed() == b""
        assert host.begun == []


async def test_header_and_head_share_their_time(serving: Serving) -> None:
    options = {"proxy_protocol": "auto", "proxy_trust": ALL, "header_timeout": 0.3}
    async with serving(**options) as host, host.client() as client:
        await client.send(LINE + b"GET / HTTP/1.1\r\n")
        assert (await client.read()).status == 408
        assert await client.read_until_closed() == b""


@pytest.mark.parametrize(
    ("header", "believed"),
    [
        (b"PROXY TCP4 10.0.0.5 192.0.2.1 1 80\r\n", True),  # another proxy, through the first one
        (LINE, False),  # a client of a proxy that looks at no requests
        (b"PROXY TCP4 127.0.0.1 192.0.2.1 1 80\r\n", True),
        (b"PROXY UNKNOWN\r\n", False),
        (binary(kind=0), False),
        (binary(UNIX, 0x31), False),
        (binary(b"", 0, command=0x20), True),  # the proxy itself
    ],
)
async def test_whose_x_forwarded_for_is_believed(serving: Serving, header: bytes, believed: bool) -> None:
    """It is that of the client whom the header names: who only relays bytes has looked at no headers."""
    forwarded = Trust(["127.0.0.1", "10.0.0.5"])
    options = {"proxy_protocol": "auto", "proxy_trust": ALL, "forwarded_trust": forwarded}
    async with serving(**options) as host, host.client() as proxy:
        await proxy.ask(header + request("GET", "/", [("X-Forwarded-For", "198.51.100.1")]))
        origin = host.begun[0].origin
        assert (origin is not None and origin.client == ("198.51.100.1", 0)) is believed


async def test_what_comes_behind_is_judged_as_ever(serving: Serving) -> None:
    async with serving(proxy_protocol="v1", proxy_trust=ALL) as host, host.client() as proxy:
        assert (await proxy.ask(LINE + b"GET / HTTP/1.1\r\n\r\n")).status == 400
        assert await proxy.read_until_closed() == b""
        assert host.begun == []


async def test_it_stands_at_the_beginning_only(serving: Serving) -> None:
    async with serving(proxy_protocol="v1", proxy_trust=ALL) as host, host.client() as proxy:
        assert (await proxy.ask(LINE + request())).status == 200
        assert (await proxy.ask(LINE + request())).status == 400
        assert await proxy.read_until_closed() == b""
