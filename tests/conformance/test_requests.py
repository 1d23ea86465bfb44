"""Every case of the tables over real sockets: at once, byte by byte, and split at every position."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.conformance.cases import CASES
from tests.conformance.cases.case import Case, Seen, get, seen
from tests.support.client import TIMEOUT, AsyncRawClient
from tests.support.scripted import Host, ScriptedExchange, scripted

# Sent directly behind every case. Who takes one byte too many or too few for a request cannot
# answer it, and nobody may who has refused one.
BEHIND = get(target=b"/behind")
SEEN_BEHIND = seen(target=b"/behind")

# Bytes up to which a case is split at every position.
SHORT = 90


def answer(exchange: ScriptedExchange) -> None:
    """Tell what was asked. A CONNECT is turned down: there is no tunnel here."""
    exchange.start(405 if exchange.method == "CONNECT" else 200, [])
    exchange.write(_text(exchange.method, exchange.target))


def _shown(pieces: tuple[bytes, ...]) -> str:
    if len(pieces) > 2:
        return "single bytes"
    return " | ".join(
        repr(piece if len(piece) < 500 else piece[:250] + b" ... " + piece[-250:]) for piece in pieces
    )


def _text(method: str, target: bytes) -> bytes:
    return method.encode() + b" " + target


def sendings(case: Case) -> Iterator[tuple[bytes, ...]]:
    """The reads in which a case comes to the server; the last one has what comes behind it."""
    data = case.data
    behind = b"" if case.half_closed else BEHIND
    yield (data + behind,)
    singles = [data[i : i + 1] for i in range(len(data) - 1)]
    yield (*singles, data[-1:] + behind)
    if len(data) <= SHORT:
        for i in range(1, len(data)):
            yield data[:i], data[i:] + behind
    if case.persists or case.status:
        yield data, behind


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_verdict(case: Case, parser: str) -> None:
    """The same verdict for the same bytes, however they come."""
    async with scripted(parser, answer, **case.options) as host:
        for pieces in sendings(case):
            try:
                await check(case, host, pieces)
            except AssertionError as error:
                error.add_note(f"sent as {_shown(pieces)}")
                raise


async def check(case: Case, host: Host, pieces: tuple[bytes, ...]) -> None:
    """Send a case in `pieces` on a new connection, and look at both sides of it."""
    host.forget()
    async with host.client() as client:
        await host.deliver(client, pieces)
        if case.half_closed:
            client.half_close()
        await check_answers(case, client)
        check_application(case, host)


async def check_answers(case: Case, client: AsyncRawClient) -> None:
    """Each request taken is answered; then comes the refusal, the end, or the next request."""
    last = len(case.requests) - 1
    for number, request in enumerate(case.requests):
        response = await client.read(request.method, request.version)
        assert response.status == (405 if request.method == "CONNECT" else 200)
        assert request.method == "HEAD" or response.body == _text(request.method, request.target)
        if not case.half_closed:
            ends = not case.persists and not case.status and number == last
            kept = {"keep-alive"} if request.version == "1.0" else set()
            assert response.connection == ({"close"} if ends else kept)
    if case.status:
        refusal = await client.read(case.method)
        assert refusal.status == case.status
        assert refusal.connection == {"close"}
    if case.persists:
        assert (await client.read()).body == b"GET /behind"
    else:
        assert await client.read_until_closed() == b""


def check_application(case: Case, host: Host) -> None:
    """The application has seen what is taken, and of what is not at most the beginning."""
    expected = list(case.requests)
    if case.persists:
        expected.append(SEEN_BEHIND)
    assert [_seen(exchange, host) for exchange in host.begun if exchange.received] == expected
    broken = [exchange for exchange in host.begun if not exchange.received]
    assert len(broken) <= (case.body is not None)
    for exchange in broken:
        assert exchange is host.begun[-1]
        assert exchange in host.disconnected
        assert case.body is not None and case.body.startswith(host.bodies[exchange])


def _seen(exchange: ScriptedExchange, host: Host) -> Seen:
    return Seen(
        exchange.method,
        exchange.target,
        tuple(exchange.headers),
        bytes(host.bodies[exchange]),
        exchange.http_version,
    )


@pytest.mark.parametrize("case", [case for case in CASES if case.body is not None], ids=str)
@pytest.mark.parametrize("singly", [False, True], ids=["at-once", "byte-by-byte"])
async def test_answered_before_the_end(case: Case, singly: bool, parser: str) -> None:
    """Who answers before the body is found to be broken gives an answer, or the refusal comes: not both.

    And nothing behind it is a request.
    """
    behind = b"" if case.half_closed else BEHIND
    pieces = [case.data + behind]
    if singly:
        pieces = [case.data[i : i + 1] for i in range(len(case.data))] + [behind]
    async with scripted(parser, answer, early=True, **case.options) as host, host.client() as client:
        await host.deliver(client, pieces)
        if case.half_closed:
            client.half_close()
        for request in case.requests:
            assert (await client.read(request.method, request.version)).status == 200
        assert (await client.read()).status in (200, case.status)
        assert await client.read_until_closed() == b""
        assert len(host.begun) <= len(case.requests) + 1


@pytest.mark.parametrize(
    "case", [case for case in CASES if len(case.requests) + bool(case.status) > 1], ids=str
)
async def test_answered_late(case: Case, parser: str) -> None:
    """Requests wait for the one before them to be answered, and a refusal waits for all of them."""
    behind = b"" if case.half_closed else BEHIND
    # As many as are held back are not read on.
    pieces = [case.data, behind] if len(case.requests) < 10 else [case.data + behind]
    async with scripted(parser, lambda exchange: None, **case.options) as host, host.client() as client:
        await host.deliver(client, pieces)
        if case.half_closed:
            client.half_close()
        answering = asyncio.create_task(answer_in_turn(host, len(case.requests) + case.persists))
        await check_answers(case, client)
        await answering
        check_application(case, host)


async def answer_in_turn(host: Host, count: int) -> None:
    """Answer requests, of which each begins only when the one before is answered."""
    async with asyncio.timeout(TIMEOUT):
        for number in range(count):
            while len(host.begun) <= number:
                await asyncio.sleep(0)
            assert len(host.begun) == number + 1
            answer(host.begun[number])
            host.group.left(host.begun[number])


def test_number_of_cases() -> None:
    """Many, and each of them once."""
    assert len(CASES) >= 250
    assert len({str(case) for case in CASES}) == len(CASES)
    assert len({(case.data, case.half_closed, *case.options.items()) for case in CASES}) == len(CASES)
