"""Proxy headers on the wire: who is believed, what is refused, and that nobody else is touched by it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from aserve.protocols.forwarded import Origin, Trust
from tests.protocols.conftest import Serving
from tests.support.client import RawClient, request
from tests.support.loops import every_loop
from tests.support.scripted import scripted

FIELDS = [
    ("X-Forwarded-For", "6.6.6.6, 203.0.113.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-FORWARDED-Host", "a.example"),
    ("X-Forwarded-Prefix", "/api"),
]
ORIGIN = Origin(("203.0.113.7", 0), "https", b"a.example", "a.example", 443, b"/api")


async def test_a_trusted_peer_is_believed(serving: Serving) -> None:
    async with serving(forwarded_trust=Trust(["127.0.0.1"])) as host, host.client() as client:
        for _ in range(2):
            assert (await client.ask(request("GET", "/", FIELDS))).status == 200
        assert [exchange.origin for exchange in host.begun] == [ORIGIN, ORIGIN]
        assert [name for name, _ in host.begun[0].headers] == [
            b"host",
            b"x-forwarded-for",
            b"x-forwarded-proto",
            b"x-forwarded-host",
            b"x-forwarded-prefix",
        ]


@pytest.mark.parametrize("trust", [None, Trust([]), Trust(["10.0.0.1", "unix"])])
async def test_others_are_not_believed_and_nothing_of_theirs_is_refused(
    serving: Serving, trust: Trust | None
) -> None:
    fields = [*FIELDS, ("X-Forwarded-Proto", "http"), ("Forwarded", '"'), ("X-Forwarded-For", "!")]
    async with serving(forwarded_trust=trust) as host, host.client() as client:
        assert (await client.ask(request("GET", "/", fields))).status == 200
        (exchange,) = host.begun
        assert exchange.origin is None
        assert exchange.plain
        assert (b"x-forwarded-proto", b"http") in exchange.headers


@every_loop
async def test_who_is_gone_already_is_nobody(parser: str) -> None:
    """A reset before the connection is accepted: the address is lost, the bytes are not.

    It must not be taken for a peer on a Unix socket, which has no address either.
    """
    data = request("GET", "/", FIELDS)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = RawClient(listening.getsockname())
        client.send(data)
        client.reset()
        accepted, _ = listening.accept()
    with accepted:
        assert accepted.recv(len(data), socket.MSG_PEEK) == data
        async with scripted(parser, forwarded_trust=Trust(["unix"])) as host:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(host.group.connection, accepted)
            async with asyncio.timeout(10):
                while host.group.connections:
                    await asyncio.sleep(0.001)
            assert not host.begun


async def test_the_origin_is_that_of_one_request_only(serving: Serving) -> None:
    """Also when requests come in one piece: nothing is left over from the one before."""
    async with serving(forwarded_trust=Trust(["*"])) as host, host.client() as client:
        await client.send(
            request("GET", "/1", [("X-Forwarded-For", "203.0.113.1"), ("Content-Length", "0")])
            + request("GET", "/2")
            + request("GET", "/3", [("X-Forwarded-For", "203.0.113.3")])
        )
        for _ in range(3):
            await client.read()
        found = [exchange.origin and exchange.origin.client for exchange in host.begun]
        assert found == [("203.0.113.1", 0), None, ("203.0.113.3", 0)]
        assert [exchange.plain for exchange in host.begun] == [False, True, False]


async def test_with_a_body_and_over_http_1_0(serving: Serving) -> None:
    async with serving(forwarded_trust=Trust(["*"])) as host, host.client() as client:
        data = b"POST / HTTP/1.0\r\nX-Forwarded-Proto: https\r\nContent-Length: 3\r\n\r\nabc"
        assert (await client.ask(data, "POST", "1.0")).status == 200
        assert host.begun[0].origin.scheme == "https"
        assert host.body() == b"abc"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([("X-Forwarded-For", "nobody")], "invalid X-Forwarded-For header"),
        ([("X-Forwarded-Proto", "gopher")], "invalid X-Forwarded-Proto header"),
        ([("X-Forwarded-Host", "a b")], "invalid X-Forwarded-Host header"),
        ([("X-Forwarded-Port", "0")], "invalid X-Forwarded-Port header"),
        ([("X-Forwarded-Prefix", "//a")], "invalid X-Forwarded-Prefix header"),
        ([("Forwarded", "for=1.2.3.4;")] * 2 + [("Forwarded", "for")], "malformed Forwarded header"),
        ([("X-Forwarded-Proto", "http"), ("x-forwarded-ssl", "on")], "proxy headers contradict each other"),
    ],
)
async def test_refusals(serving: Serving, fields: list[tuple[str, str]], text: str) -> None:
    """For every request anew, since names that have been seen are kept."""
    async with serving(forwarded_trust=Trust(["127.0.0.1"])) as host:
        for _ in range(2):
            async with host.client() as client:
                data = request("POST", "/", fields, b"body") + request("GET", "/next")
                response = await client.ask(data, "POST")
                assert (response.status, response.text) == (400, text + "\n")
                assert await client.read_until_closed() == b""
        assert host.begun == []


async def test_only_the_headers_that_the_proxy_is_known_to_set(serving: Serving) -> None:
    """The others are the client's, and neither believed nor refused."""
    options = {"forwarded_trust": Trust(["*"]), "forwarded_fields": frozenset({b"x-forwarded-for"})}
    async with serving(**options) as host, host.client() as client:
        await client.ask(request("GET", "/", [*FIELDS, ("Forwarded", "!"), ("X-Forwarded-Proto", "?")]))
        await client.ask(request("GET", "/", FIELDS[1:]))
        assert [exchange.origin for exchange in host.begun] == [Origin(("6.6.6.6", 0)), None]


async def test_what_is_wrong_with_the_head_itself_comes_first(serving: Serving) -> None:
    fields = [("X-Forwarded-For", "nobody"), ("Content-Length", "x")]
    async with serving(forwarded_trust=Trust(["127.0.0.1"])) as host, host.client() as client:
        response = await client.ask(request("GET", "/", fields))
        assert response.text == "invalid Content-Length\n"
        assert await client.read_until_closed() == b""


async def test_a_name_with_an_underscore_is_never_believed(serving: Serving) -> None:
    fields = [("X_Forwarded_For", "6.6.6.6"), ("X_Forwarded_Proto", "https")]
    async with serving(forwarded_trust=Trust(["*"]), header_map="dangerous") as host, host.client() as client:
        await client.ask(request("GET", "/", fields))
        assert host.begun[0].origin is None


async def test_a_header_of_the_users_choice_tells_the_scheme(serving: Serving) -> None:
    """Of every request on the connection: its name is not remembered as one without a meaning."""
    secure = {b"x-front-scheme": "https"}
    options = {"forwarded_trust": Trust(["*"], secure), "forwarded_fields": frozenset(secure)}
    async with serving(**options) as host, host.client() as client:
        for value in ("https", "http", "https"):
            fields = [("X-Front-Scheme", value), ("X-Forwarded-Proto", "https")]
            assert (await client.ask(request("GET", "/", fields))).status == 200
        schemes = [exchange.origin and exchange.origin.scheme for exchange in host.begun]
        assert schemes == ["https", "http", "https"]


async def test_another_server_of_the_process_does_not_hide_it(serving: Serving) -> None:
    """What names mean is remembered for all of them."""
    secure = {b"x-own-scheme": "https"}
    fields = [("X-Own-Scheme", "https")]
    async with serving() as other, other.client() as client:
        await client.ask(request("GET", "/", fields))
        options = {"forwarded_trust": Trust(["*"], secure), "forwarded_fields": frozenset(secure)}
        async with serving(**options) as host, host.client() as trusted:
            for _ in range(2):
                assert (await client.ask(request("GET", "/", fields))).status == 200
                assert (await trusted.ask(request("GET", "/", fields))).status == 200
            assert [each.origin and each.origin.scheme for each in host.begun] == ["https", "https"]
        assert not any(each.origin for each in other.begun)
