"""What leaves together at the end of a turn (protocols/outbox.py): in order, in time, and never lost."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from aserve.adapters import asgi
from aserve.protocols import outbox
from aserve.protocols.exchange import Exchange
from aserve.protocols.http1 import Http1Connection
from aserve.protocols.outbox import SPAN, Outbox
from tests.protocols.conftest import Host, Serving
from tests.support.client import AsyncRawClient, request
from tests.support.inprocess import Receive, Scope, Send
from tests.support.inprocess import serving as asgi_serving
from tests.support.inprocess_wsgi import until


class Sent:
    """Notes the number of times that it was asked to send what it holds."""

    def __init__(self) -> None:
        self.times = 0

    def flush(self) -> None:
        self.times += 1


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Also for who does not set it: on a busy machine a millisecond may be over at any time."""
    clock = Clock()
    monkeypatch.setattr(outbox, "monotonic", clock)
    monkeypatch.setattr(asgi, "monotonic", clock)
    return clock


def opened() -> Outbox:
    """One in which a turn's second request has begun."""
    box = Outbox(asyncio.get_running_loop())
    box.begin()
    assert not box.open, "there may be no other response in this turn"
    box.begin()
    assert box.open
    return box


async def test_what_is_held_leaves_at_the_end_of_the_turn(clock: Clock) -> None:
    box = Outbox(asyncio.get_running_loop())
    sent = Sent()
    for turn in range(1, 4):
        box.begin()
        assert not box.open
        box.begin()
        box.hold(sent)
        box.begin()
        assert box.open and sent.times == turn - 1
        await asyncio.sleep(0)
        assert not box.open and sent.times == turn


async def test_who_holds_has_it_sent_though_nobody_has_begun(clock: Clock) -> None:
    box = Outbox(asyncio.get_running_loop())
    sent = Sent()
    box.hold(sent)
    assert not box.open
    await asyncio.sleep(0)
    assert sent.times == 1


async def test_a_turn_that_takes_long_sends_in_between(clock: Clock) -> None:
    box = opened()
    sent = Sent()
    box.hold(sent)
    clock.now += 1.5 * SPAN
    box.begin()
    assert sent.times == 1 and box.open
    box.hold(sent)
    clock.now += SPAN / 2
    box.begin()
    assert sent.times == 1
    await asyncio.sleep(0)
    assert sent.times == 2


@pytest.mark.parametrize("requests", [1, 2])
@pytest.mark.parametrize("seen", ["at the next request", "at the end"])
async def test_nothing_is_held_behind_a_slow_application(clock: Clock, seen: str, requests: int) -> None:
    """Also if it was alone, and no response had to wait for it."""
    box = Outbox(asyncio.get_running_loop())
    sent = Sent()
    for _ in range(requests):
        box.begin()
    if box.open:
        box.hold(sent)
    clock.now += 0.01 + SPAN  # 10 ms too many
    if seen == "at the end":
        await asyncio.sleep(0)
    box.begin()
    assert sent.times == requests - 1 and not box.open
    await asyncio.sleep(0)
    for later, expected in ((0, False), (0.45, False), (0.06, True)):
        clock.now += later
        box.begin()
        box.begin()
        assert box.open is expected
        await asyncio.sleep(0)


async def test_who_blocks_again_meanwhile_is_waited_for_again(clock: Clock) -> None:
    box = Outbox(asyncio.get_running_loop())
    for later in (0, 0.45, 0.45, 0.45):
        clock.now += later
        box.begin()
        box.begin()
        assert box.open is (later == 0)
        clock.now += 0.01 + SPAN
        await asyncio.sleep(0)


async def test_many_quick_requests_are_not_a_slow_one(clock: Clock) -> None:
    box = opened()
    sent = Sent()
    for _ in range(20):
        box.hold(sent)
        clock.now += SPAN / 4
        if clock.now > box.until:
            box.begin()
        assert box.open
    assert sent.times >= 12


@pytest.mark.parametrize("size", [1, 2])
async def test_a_batch_ends_when_its_owner_says_so(clock: Clock, size: int) -> None:
    box = Outbox(asyncio.get_running_loop())
    box.begin_batch(size)
    assert box.open is (size == 2)
    sent = Sent()
    box.hold(sent)
    assert sent.times == 0
    box.flush()
    assert sent.times == 1 and not box.open
    box.begin_batch(size)
    clock.now += 0.01 + SPAN
    box.flush()
    box.begin_batch(2)
    assert not box.open


# With connections


def script(exchange: Exchange) -> None:
    exchange.start(200, [])
    if exchange.target == b"/stream":
        exchange.write(b"/str", more=True)
        exchange.write(b"eam", more=True)
        exchange.write(b"")
    else:
        exchange.write(exchange.target)


async def holding(host: Host, *clients: AsyncRawClient) -> list[Http1Connection]:
    """The server's sides of `clients`: each holds a response, to a request for /held."""
    connections: list[Http1Connection] = [await host.accepted(client) for client in clients]
    host.group.outbox.begin()
    host.group.outbox.begin()
    for connection in connections:
        connection.data_received(request(target="/held"))
    assert all(connection.outgoing for connection in connections)
    return connections


async def test_responses_of_a_turn_leave_together(serving: Serving) -> None:
    async with serving(script) as host, host.client() as one, host.client() as other:
        connections = await holding(host, one, other)
        for client in (one, other):
            assert (await client.read()).body == b"/held"
        assert not any(connection.outgoing for connection in connections)


@pytest.mark.parametrize("second", ["/b", "/stream"])
async def test_the_next_response_of_the_connection_is_the_next(serving: Serving, second: str) -> None:
    async with serving(script) as host, host.client() as client:
        [connection] = await holding(host, client)
        connection.data_received(request(target=second))
        connection.data_received(request(target="/c") * 2)
        bodies = [(await client.read()).body for _ in range(4)]
        assert bodies == [b"/held", second.encode(), b"/c", b"/c"]


def half_closed(connection: Http1Connection) -> None:
    if not connection.eof_received():
        connection.transport.close()


def ended(connection: Http1Connection) -> None:
    connection.end(unread=False)


def expired(connection: Http1Connection) -> None:
    connection.expire()


def refused(connection: Http1Connection) -> None:
    connection.data_received(b"not HTTP\r\n\r\n")


def aborted(connection: Http1Connection) -> None:
    connection.group.abort()


@pytest.mark.parametrize("end", [half_closed, ended, expired, refused, aborted])
async def test_a_response_that_is_held_arrives_before_the_end(
    serving: Serving, end: Callable[[Http1Connection], None]
) -> None:
    async with serving(script) as host, host.client() as client:
        [connection] = await holding(host, client)
        end(connection)
        assert (await client.read()).body == b"/held"
        if end is refused:
            assert (await client.read()).status == 400
        await client.read_until_closed()


async def test_a_response_whose_client_has_gone_meanwhile(serving: Serving) -> None:
    async with serving(script) as host, host.client() as client:
        [connection] = await holding(host, client)
        connection.transport.abort()
        assert connection.outgoing
        await until(lambda: not host.group.connections)
        assert not connection.outgoing


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks do not begin at once")
async def test_asgi_applications_answer_together() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answer"})

    async with asgi_serving(app) as served, served.client() as one, served.client() as other:
        for client in (one, other):
            await client.ask(request())
        connections = [each for each in served.group.connections if isinstance(each, Http1Connection)]
        for connection in connections:
            connection.data_received(request())
        assert [bool(connection.outgoing) for connection in connections] == [False, True]
        for client in (one, other):
            assert (await client.read()).body == b"answer"
