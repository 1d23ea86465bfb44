"""Clients that send no more, and still read (RFC 9112 §9.6)."""

from __future__ import annotations

import asyncio
import socket

import pytest

from aserve.protocols.exchange import Exchange
from tests.protocols.conftest import Serving, answer
from tests.support.client import request


@pytest.mark.parametrize("count", [1, 2, 17, 40])
async def test_all_that_was_sent_before_is_answered(serving: Serving, count: int) -> None:
    """Also requests that stood unread behind a full queue; the last response says that it is the last."""
    async with serving() as host, host.client() as client:
        await client.send(b"".join(request("GET", f"/{number}") for number in range(count)))
        client.socket.shutdown(socket.SHUT_WR)
        for number in range(count):
            response = await client.read()
            assert response.body == b"GET /%d" % number
        assert await client.read_until_closed() == b""


@pytest.mark.parametrize("headers", [[], [("Connection", "close")]])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_response_that_takes_its_time(
    serving: Serving, version: str, headers: list[tuple[str, str]]
) -> None:
    """It arrives even if it is the last one anyway: `printf 'GET ...' | nc -N` is a client."""
    waiting: list[Exchange] = []
    async with serving(waiting.append) as host, host.client() as client:
        await client.send(request("GET", "/", headers, version=version))
        client.socket.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(10):
            while not host.disconnected:
                await asyncio.sleep(0.01)
        answer(waiting[0])
        assert (await client.read(version=version)).body == b"GET /"
        assert await client.read_until_closed() == b""


async def test_the_end_within_a_body(serving: Serving) -> None:
    """What was asked before is answered, then the incomplete request is refused (RFC 9112 §8)."""
    waiting: list[Exchange] = []
    async with serving(waiting.append) as host, host.client() as client:
        await client.send(request("GET", "/1") + request("POST", "/2", body=b"all of it")[:-3])
        client.socket.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(10):
            while not host.disconnected:
                await asyncio.sleep(0.01)
        answer(waiting[0])
        assert (await client.read()).body == b"GET /1"
        assert (await client.read()).status == 400
        assert await client.read_until_closed() == b""
        assert len(host.begun) == 1
