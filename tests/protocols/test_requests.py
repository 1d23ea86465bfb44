"""Requests, where one look at the bytes does not say it all; the rest is in tests/conformance."""

from __future__ import annotations

from aserve.protocols.exchange import Exchange
from aserve.protocols.http1 import Http1Connection
from tests.protocols.conftest import Serving, echo
from tests.support.client import AsyncRawClient, request
from tests.support.inprocess_wsgi import until


async def test_pipelined_in_order(serving: Serving) -> None:
    """RFC 9112 section 9.3.2."""
    count = 3000
    data = b"".join(request("GET", f"/{number}") for number in range(count))
    async with serving() as host, host.client() as client:
        sending = client.send(data)
        await sending
        for number in range(count):
            assert (await client.read()).body == b"GET /%d" % number
        assert len(host.begun) == count


async def test_pipelined_requests_are_bounded(serving: Serving) -> None:
    """Requests that nobody has got to are not parsed, however many are sent."""
    async with serving(lambda exchange: None) as host, host.client() as client:
        await client.send_until_blocked(request("GET", "/") * 400_000)
        (connection,) = host.group.connections
        assert connection.paused
        assert len(connection.queue) < 700
        assert len(host.begun) == 1


async def test_pipelined_requests_that_come_one_by_one_are_bounded(serving: Serving) -> None:
    """Also if each read brings one whole head, which is looked at on a shorter way."""
    exchanges: list[Exchange] = []
    async with serving(exchanges.append) as host, host.client() as client:
        await client.send(request("GET", "/first"))
        await until(lambda: bool(exchanges))
        (connection,) = host.group.connections
        for number in range(16):
            assert not connection.paused
            await one_more(client, connection, number)
        assert connection.paused
        await client.send(request("GET", "/last"))
        for number in range(18):
            await has(exchanges, number + 1)
            exchanges[number].respond(200, b"%d" % number)
            assert (await client.read()).body == b"%d" % number


async def one_more(client: AsyncRawClient, connection: Http1Connection, waiting: int) -> None:
    """Send another request behind those that wait, and return when it is among them."""
    await client.send(request("GET", f"/{waiting}"))
    await until(lambda: len(connection.queue or ()) == waiting + 1)


async def has(exchanges: list[Exchange], count: int) -> None:
    await until(lambda: len(exchanges) >= count)


async def test_expect_100_continue(serving: Serving) -> None:
    """RFC 9110 section 10.1.1."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with serving(echo) as host, host.client() as client:
        await client.send(head)
        assert (await client.read_head()).status == 100
        assert (await client.ask(b"abc")).body == b"abc"
        # Who sends the body at once needs no 100.
        response = await client.ask(head + b"def")
        assert response.body == b"def"
        assert not response.interim


async def test_refused_expectation_closes(serving: Serving) -> None:
    """The client may or may not send the body, so the connection cannot go on (RFC 9110 10.1.1)."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"

    def refuse(exchange: Exchange) -> None:
        exchange.respond(413, b"no")

    async with serving(refuse, early=True) as host, host.client() as client:
        response = await client.ask(head)
        assert response.status == 413
        assert not response.interim
        assert response.connection == {"close"}
        await client.read_until_closed()


async def test_connect_is_the_applications_matter(serving: Serving) -> None:
    """RFC 9110 section 9.3.6: and what follows is never taken for a request, or for a body."""
    async with serving() as host, host.client() as client:
        head = b"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n"
        response = await client.ask(head + request("GET", "/tunnelled"), "CONNECT")
        assert (response.status, response.framing) == (200, "none")
        assert response.connection == {"close"}
        assert await client.read_until_closed() == b""
        assert host.begun[0].target == b"b.example:443"
        assert len(host.begun) == 1
