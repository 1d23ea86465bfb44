"""Lines of response fields that are remembered: what is remembered must not change what is sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aserve.protocols import fieldlines
from aserve.protocols.errors import ResponseError
from aserve.protocols.fieldlines import LINES
from aserve.protocols.headers import CACHE_SIZE
from tests.support.client import request
from tests.support.inprocess import Message, Receive, Scope, Send, serving


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    LINES.clear()
    fieldlines._OLDER.clear()
    fieldlines.LENGTHS.clear()
    fieldlines.HEADS.clear()


async def answers(*responses: tuple[int, object], method: str = "GET", body: bytes = b"abc") -> list[bytes]:
    """Send the responses, each with a status and headers, one after the other; returns their heads."""
    waiting = list(responses)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        status, headers = waiting.pop(0)
        start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    heads = []
    async with serving(app) as served:
        for _ in responses:
            async with served.client() as client:
                await client.send(request(method, headers=[("Connection", "close")]))
                heads.append((await client.read_until_closed()).partition(b"\r\n\r\n")[0])
    return heads


async def test_again_is_the_same() -> None:
    """Also if the pairs are no tuples, or only equal and not the same."""
    headers = [(b"X-Test", b"1"), (b"Content-Type", b"text/plain"), (b"Content-Length", b"3")]
    lists = [[name, bytes(bytearray(value))] for name, value in headers]
    first, *others = await answers((200, headers), (200, headers), (200, lists), (200, iter(headers)))
    assert b"\r\nX-Test: 1\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n" in first
    assert [head.partition(b"\r\nX-Test")[2] for head in others] == 3 * [first.partition(b"\r\nX-Test")[2]]
    assert LINES[b"X-Test", b"1"] == b"\r\nX-Test: 1"


async def test_a_remembered_length_is_still_judged() -> None:
    """A 204 has none, two different ones are an error, and the body has to fit."""
    length = (b"content-length", b"3")
    good, none, twice, wrong = await answers(
        (200, [length]),
        (204, [length]),
        (200, [length, (b"content-length", b"4")]),
        (200, [(b"content-length", b"4")]),
    )
    assert good.count(b"content-length") == 1
    assert b"content-length" not in none
    assert twice.startswith(b"HTTP/1.1 500 ")
    assert wrong.startswith(b"HTTP/1.1 500 ") or not wrong


@pytest.mark.parametrize(
    "field",
    [
        (b"x-bad", b"a\r\nb: c"),
        (b"x-bad", b"a\0"),
        (b"bad name", b"a"),
        (b"x-bad", "a"),
        (b"content-length", b"-1"),
    ],
)
async def test_what_is_refused_is_refused_again(field: tuple[bytes, bytes]) -> None:
    for head in await answers((200, [field]), (200, [field])):
        assert head.startswith(b"HTTP/1.1 500 ")
    assert field not in LINES


@pytest.mark.parametrize(
    "field",
    [(b"connection", b"close"), (b"date", b"today"), (b"server", b"x"), (b"transfer-encoding", b"chunked")],
)
async def test_special_fields_are_never_remembered(field: tuple[bytes, bytes]) -> None:
    first, second = await answers((200, [field]), (200, [field]))
    assert first.count(b"\r\n") == second.count(b"\r\n")
    assert field not in LINES


async def test_what_is_in_use_survives_what_is_not() -> None:
    steady = (b"x-steady", b"1")
    await answers((200, [steady]))
    line = LINES[steady]
    await answers((200, [(b"x-number", b"%d" % number) for number in range(CACHE_SIZE)]), (200, [steady]))
    assert LINES[steady] is line
    assert len(LINES) <= CACHE_SIZE
    assert len(fieldlines._OLDER) <= CACHE_SIZE


async def test_long_values_are_not_remembered() -> None:
    await answers((200, [(b"x-long", b"x" * 300)]))
    assert not LINES.keys() & {(b"x-long", b"x" * 300)}


def test_no_pairs() -> None:
    with pytest.raises(ResponseError):
        fieldlines.as_tuples([(b"a",)])


async def test_a_whole_head_is_remembered() -> None:
    """But not for CONNECT, and only if there is nothing new in it."""
    fields = [(b"X-Test", b"1"), (b"Content-Length", b"3")]
    await answers((200, fields), method="CONNECT")
    await answers((200, fields))
    assert not fieldlines.HEADS
    first, second, head = (
        *await answers((200, fields), (200, fields)),
        *await answers((200, fields), method="HEAD"),
    )
    [(key, known)] = fieldlines.HEADS.items()
    assert key == (200, tuple(fields))
    assert (known.lines, known.length) == (b"\r\nX-Test: 1\r\nContent-Length: 3", 3)
    assert first.endswith(b"\r\nX-Test: 1\r\nContent-Length: 3\r\nconnection: close")
    assert [each.partition(b"\r\nX-Test")[2] for each in (second, head)] == 2 * [
        first.partition(b"\r\nX-Test")[2]
    ]
    (tunnel,) = await answers((200, fields), method="CONNECT", body=b"")
    assert b"Length" not in tunnel


async def test_a_remembered_head_has_the_date_and_the_defaults_of_its_server() -> None:
    """New ones each second, and others in another group of the process."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async with (
        serving(app) as served,
        serving(app, server_header=b"other") as other,
        served.client() as client,
        other.client() as another,
    ):
        for _ in range(3):
            assert (await client.ask(request())).header("server") == "aserve"
            assert (await another.ask(request())).header("server") == "other"
        for number in range(2):
            date = f"Thu, 01 Jan 1970 00:00:0{number} GMT"
            served.group.clock.prefixes = {200: b"HTTP/1.1 200 OK\r\ndate: " + date.encode()}
            assert (await client.ask(request())).header("date") == date


async def test_a_remembered_head_has_its_status() -> None:
    fields = [(b"X-Test", b"1"), (b"Content-Length", b"3")]
    for _ in range(3):
        found, nothing = await answers((200, fields), (204, fields))
        assert found.startswith(b"HTTP/1.1 200 OK\r\n") and b"\r\nContent-Length: 3" in found
        assert nothing.startswith(b"HTTP/1.1 204 No Content\r\n") and b"Length" not in nothing


async def test_heads_are_bounded() -> None:
    count = fieldlines._MOST_HEADS + 10
    fields = [[(b"X-Test", b"%d" % number)] for number in range(count)]
    many = [(b"X-Test", b"1")] * (fieldlines._MOST_FIELDS + 1)
    await answers(*[(200, each) for each in fields] * 2, (200, many), (200, many))
    assert 0 < len(fieldlines.HEADS) <= fieldlines._MOST_HEADS
    assert (200, *many) not in fieldlines.HEADS
