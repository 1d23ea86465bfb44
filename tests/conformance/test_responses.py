"""What becomes of an application's answers, each read strictly, and the response behind it as well."""

from __future__ import annotations

from contextlib import suppress

import pytest

from aserve.protocols.errors import ResponseError
from tests.conformance.cases.answer import Answer, Fields
from tests.conformance.cases.answers import ANSWERS
from tests.conformance.cases.mistakes import MISTAKES
from tests.support.client import AsyncRawClient, request
from tests.support.scripted import Host, Script, ScriptedExchange, scripted
from tests.support.wire import IncompleteResponseError, Response

# Whatever the case is about.
_OTHER = (b"content-length", b"transfer-encoding", b"connection", b"date", b"server")


def script(case: Answer) -> Script:
    """The application: it answers as the case says, and fails as applications do when it may not."""

    def run(exchange: ScriptedExchange) -> None:
        if exchange.target == b"/behind":
            exchange.respond(200, b"behind")
            return
        try:
            exchange.start(case.status, case.headers)
            for number, piece in enumerate(case.pieces, 1):
                exchange.write(piece, more=number < len(case.pieces))
        except ResponseError:
            exchange.fail()

    return run


async def answer_to_others(case: Answer, parser: str) -> None:
    """Have the same answer given to other requests before: what is remembered of it must not show."""
    async with scripted(parser, script(case)) as host:
        for _ in range(2):
            async with host.client() as client:
                await client.send(request("GET", "/", headers=[("Connection", "close")]))
                with suppress(ConnectionError):
                    await client.read_until_closed()


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("case", [*ANSWERS, *MISTAKES], ids=str)
async def test_answer(case: Answer, parser: str, known: bool) -> None:
    if known:
        await answer_to_others(case, parser)
    async with scripted(parser, script(case), **case.options) as host, host.client() as client:
        await client.send(case.request() + request("GET", "/behind"))
        if case.end == "breaks off":
            await check_broken(case, host, client)
            return
        response = await client.read(case.method, case.version)
        check(case, response)
        if case.end == "closes":
            assert await client.read_until_closed() == b""
            assert len(host.begun) == 1
        else:
            assert (await client.read()).body == b"behind"


def check(case: Answer, response: Response) -> None:
    """Compare what came with what had to come."""
    assert response.status == case.comes
    assert response.connection == case.named
    if case.framing is not None:
        assert (response.framing, response.body) == (case.framing, case.body)
        assert response.header("content-length") == case.length
        assert _others(response, case.fields) == case.fields
    else:
        assert not response.all("x")
    assert response.header("date") is not None
    assert response.header("server") is not None


def _others(response: Response, wanted: Fields) -> Fields:
    named = {name for name, _ in wanted}
    return tuple((name, value) for name, value in response.headers if name in named or name not in _OTHER)


async def check_broken(case: Answer, host: Host, client: AsyncRawClient) -> None:
    """The client must not take what came for a whole response, nor get another one."""
    with pytest.raises(IncompleteResponseError) as caught:
        await client.read(case.method, case.version)
    partial = caught.value.partial
    assert partial is None or len(partial.body) < 3 or partial.header("content-length") == "3"
    assert not client.incoming.take(len(client.incoming.data))
    assert len(host.begun) == 1


@pytest.mark.parametrize("date", [True, False])
@pytest.mark.parametrize("server", [b"aserve", b"other", None])
async def test_own_headers(parser: str, date: bool, server: bytes | None) -> None:
    """RFC 9110 section 6.6.1, 10.2.4: there unless they are unwanted, in the server's own answers as well."""
    async with scripted(parser, date_header=date, server_header=server) as host, host.client() as client:
        await client.send(request() + b"nonsense\r\n\r\n")
        for status in (200, 400):
            head = await client.read_head()
            assert head.status == status
            assert (head.header("date") is not None) is date
            assert head.header("server") == (server.decode() if server else None)
            await client.read_bytes(int(head.header("content-length") or 0))
        await client.read_until_closed()


def test_cases_are_different() -> None:
    cases = [*ANSWERS, *MISTAKES]
    assert len({str(case) for case in cases}) == len(cases)
