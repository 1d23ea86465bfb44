"""Connections: deadlines, flow control, disconnects, lingering close, draining."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from aserve.protocols.exchange import Exchange
from tests.protocols.conftest import Host, Serving, answer, echo
from tests.support.client import AsyncRawClient, request


async def soon(condition: Callable[[], object], host: Host) -> None:
    """Wait until `condition()` holds; a failure says what is left."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def refuse(exchange: Exchange) -> None:
    """Answer without looking at the body."""
    exchange.respond(413, b"no")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_ipv4_on_an_ipv6_socket(serving: Serving) -> None:
    """Both ends have addresses of IPv4, as the application sees them and as trust is decided."""
    async with serving() as host:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
            loop = asyncio.get_running_loop()
            async with await loop.create_server(host.group.connection, sock=listening):
                port = listening.getsockname()[1]
                async with AsyncRawClient(("127.0.0.1", port)) as client:
                    await client.ask(request())
                    connection = host.begun[0].connection
                    assert connection.client == client.socket.getsockname()
                    assert connection.server == ("127.0.0.1", port)


async def test_idle_connection_ends_after_keep_alive(serving: Serving) -> None:
    async with serving(keep_alive=0.4) as host, host.client() as client:
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await client.ask(request())
            await asyncio.sleep(0.2)
        await client.ask(request())
        begun = loop.time()
        assert await client.read_until_closed() == b""
        assert loop.time() - begun >= 0.39


async def test_no_time_is_limited(serving: Serving) -> None:
    unlimited = {"keep_alive": 0, "header_timeout": 0, "body_timeout": 0, "write_timeout": 0}
    async with serving(**unlimited) as host, host.client() as client:
        assert (await client.ask(request())).connection == {"close"}
        assert await client.read_until_closed() == b""


async def test_silent_connection_ends(serving: Serving) -> None:
    async with serving(keep_alive=0.2, header_timeout=0.4) as host, host.client() as client:
        assert await client.read_until_closed() == b""


@pytest.mark.parametrize("asked", [False, True])
async def test_no_reset_for_empty_lines(serving: Serving, asked: bool) -> None:
    """RFC 9112 section 9.6: who sends empty lines may be sending one while the connection is closed."""
    async with serving(keep_alive=0.2, header_timeout=0.3) as host, host.client() as client:
        if asked:
            await client.ask(request())
        await client.send(b"\r\n")
        assert await client.read_until_closed() == b""
        await client.send(b"\r\n")
        # Over loopback, a reset would be here before the next call
        assert client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


async def test_slow_head_is_refused(serving: Serving) -> None:
    """RFC 9110 section 15.5.9: bytes that trickle in do not extend the time."""
    async with serving(header_timeout=0.4) as host, host.client() as client:
        reading = asyncio.ensure_future(client.read())
        for byte in request("GET", "/" + "a" * 1000):
            if reading.done():
                break
            await client.send(bytes([byte]))
            await asyncio.sleep(0.02)
        response = await reading
        assert response.status == 408
        await client.read_until_closed()
        assert not host.begun


async def sweeps(host: Host, count: int) -> None:
    """Return when the group has looked at its deadlines `count` times more."""
    passed = 0
    done = asyncio.Event()

    def note() -> None:
        nonlocal passed
        passed += 1
        if passed == count:
            done.set()

    host.group.on_sweep = note
    await asyncio.wait_for(done.wait(), 10)


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"


@pytest.mark.parametrize("before", [0, 1])
async def test_a_body_has_its_own_time(serving: Serving, before: int) -> None:
    """Not what was left of the head's, nor that of the idle connection, although nothing has come of it."""
    times = {"keep_alive": 0.1, "header_timeout": 0.1, "body_timeout": 60}
    async with serving(echo, **times) as host, host.client() as client:
        for _ in range(before):
            await client.ask(request())
        await client.send(HEAD)
        await soon(lambda: len(host.begun) > before, host)
        await sweeps(host, 10)
        await client.send(b"abc")
        assert (await client.read()).body == b"abc"


@pytest.mark.parametrize("before", [0, 1])
async def test_a_body_of_which_nothing_comes(serving: Serving, before: int) -> None:
    """RFC 9110 section 15.5.9. The other limits do not extend its time."""
    times = {"keep_alive": 60, "header_timeout": 0, "body_timeout": 0.1}
    async with serving(echo, **times) as host, host.client() as client:
        for _ in range(before):
            await client.ask(request())
        await client.send(HEAD)
        assert (await client.read()).status == 408


async def test_keep_alive_zero_means_one_request(serving: Serving) -> None:
    async with serving(keep_alive=0) as host, host.client() as client:
        assert (await client.ask(request())).connection == {"close"}
        await client.read_until_closed()


async def test_unread_body_pauses_the_client(serving: Serving) -> None:
    """What an application does not read stays with the client, and is dropped at the end."""
    size = 64 * 1024 * 1024
    head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()

    async with serving(lambda exchange: None, early=True) as host, host.client() as client:
        await client.send(head)
        await soon(lambda: host.begun, host)
        exchange = host.begun[0]
        type(exchange).on_body = lambda self: None
        sent = await client.send_until_blocked(b"x" * size)
        assert sent < size
        assert exchange.buffered < 1024 * 1024
        answer(exchange)
        response = await client.read()
        assert response.body == b"POST /"


async def test_slow_reader_pauses_writing(serving: Serving) -> None:
    async def pump(exchange: Exchange, counts: list[int]) -> None:
        exchange.start(200, [])
        for _ in range(1000):
            exchange.write(b"x" * 65536, more=True)
            await exchange.drained()
            counts.append(1)
        exchange.write(b"")

    counts: list[int] = []
    tasks: list[asyncio.Task[None]] = []
    async with serving(lambda exchange: tasks.append(asyncio.ensure_future(pump(exchange, counts)))) as host:
        async with host.client(receive_buffer=65536) as client:
            await client.send(request())
            await soon(lambda: counts, host)
            before = -1
            while before != len(counts):
                before = len(counts)
                await asyncio.sleep(0.2)
            assert 0 < len(counts) < 200
            response = await client.read()
            assert len(response.body) == 65536 * 1000
        await asyncio.gather(*tasks)


async def test_disconnect_is_seen(serving: Serving) -> None:
    async with serving(lambda exchange: None) as host:
        async with host.client() as client:
            await client.send(request())
            await soon(lambda: host.begun, host)
            client.reset()
        await soon(lambda: host.disconnected == host.begun, host)


async def test_half_closed_client_gets_its_response(serving: Serving) -> None:
    """RFC 9112 section 9.6: who sends no more may still read."""
    async with serving(lambda exchange: None) as host, host.client() as client:
        await client.send(request())
        client.half_close()
        await soon(lambda: host.disconnected, host)
        answer(host.begun[0])
        response = await client.read()
        assert response.body == b"GET /"
        await client.read_until_closed()


@pytest.mark.parametrize(
    "sent", [b"POST / HTT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"]
)
async def test_request_that_breaks_off(serving: Serving, sent: bytes) -> None:
    """RFC 9112 section 8: an incomplete request is no request."""
    async with serving(echo) as host, host.client() as client:
        await client.send(sent)
        client.half_close()
        rest = await client.read_until_closed()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")
        assert all(exchange.disconnected for exchange in host.begun)


async def test_early_answer_is_seen_by_a_client_that_still_sends(serving: Serving) -> None:
    """RFC 9112 section 9.6: no reset that takes the response away."""
    size = 3 * 1024 * 1024
    head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
    async with serving(refuse, early=True) as host, host.client() as client:
        await client.send(head + b"x" * size)
        assert (await client.read()).status == 413
        assert await client.read_until_closed() == b""


async def test_short_unread_body_keeps_the_connection(serving: Serving) -> None:
    async with serving(answer, early=True) as host, host.client() as client:
        await client.send(request("POST", "/1", body=b"x" * 5000)[:-10])
        assert (await client.read()).body == b"POST /1"
        await client.send(b"x" * 10 + request("GET", "/2"))
        assert (await client.read()).body == b"GET /2"


async def test_drain_answers_what_is_on_its_way(serving: Serving) -> None:
    """An idle connection stays until its keep-alive time is over; a request until then is answered."""
    async with serving() as host, host.client() as client, host.client() as idle:
        await client.ask(request())
        await idle.ask(request())
        host.group.drain()
        response = await client.ask(request())
        assert response.status == 200
        assert response.connection == {"close"}
        await client.read_until_closed()
        assert len(host.group.connections) == 1
        host.group.close_idle()
        await idle.read_until_closed()
        await asyncio.wait_for(host.group.wait_closed(), 10)


async def test_abort_tells_applications(serving: Serving) -> None:
    async with serving(lambda exchange: None) as host, host.client() as client:
        await client.send(request())
        await soon(lambda: host.begun, host)
        host.group.abort()
        await soon(lambda: host.disconnected, host)
        with pytest.raises(AssertionError):
            await client.read()
