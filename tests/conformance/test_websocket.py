"""The cases of websocket.py over real sockets, on each of the two ways that a frame may take."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import pytest

from tests.conformance.websocket import CASES, Case
from tests.support.inprocess import Receive, Scope, Send, serving
from tests.support.websocket import CLOSE, PING, Frame, WebSocketClient, closing, frame


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})


def groups() -> list[str]:
    return sorted({case.group for case in CASES})


async def answers(client: WebSocketClient, case: Case) -> AsyncIterator[Frame]:
    """Yield the frames that come, inflated."""
    inflater = zlib.decompressobj(-15)
    while True:
        found = await client.read_frame()
        if found.reserved:
            assert found.reserved == 4 and case.deflate is not None, found
            data = inflater.decompress(found.payload + b"\x00\x00\xff\xff")
            if "server_no_context_takeover" in case.deflate:
                inflater = zlib.decompressobj(-15)
            found = Frame(found.opcode, data, found.final)
        yield found


async def check(client: WebSocketClient, case: Case, *, chopped: bool) -> None:
    offer = "permessage-deflate" + (f"; {case.deflate}" if case.deflate else "")
    more = [("Sec-WebSocket-Extensions", offer)] if case.deflate is not None else []
    response = await client.open("/", *more)
    assert bool(response.header("sec-websocket-extensions")) is (case.deflate is not None)
    end = b"" if case.code else frame(PING, b"end")
    sent = b"".join(case.sent) + end
    if chopped:
        await client.send(sent[:-1])
        await client.send(sent[-1:])
    else:
        await client.send(sent)
    coming = answers(client, case)
    pongs: list[Frame] = []
    messages: list[Frame] = []
    while True:
        found = await anext(coming)
        if found.opcode == CLOSE:
            code = int.from_bytes(found.payload[:2], "big") if found.payload else 1005
            assert code == case.code, (code, found.payload)
            break
        if found.payload == b"end":
            break
        (pongs if found.opcode > CLOSE else messages).append(found)
        if not case.code and len(messages) + len(pongs) > len(case.answers):
            raise AssertionError(found)
    while not case.code and len(messages) + len(pongs) < len(case.answers):
        messages.append(await anext(coming))  # what the application says may come behind a pong
    # Pongs do not wait for the application.
    assert pongs == [each for each in case.answers if each.opcode > CLOSE]
    assert messages == [each for each in case.answers if each.opcode < CLOSE]
    if not case.code:
        await client.send(closing(1000))
        assert await client.read_close() == (1000, "")
    assert await client.read_until_closed() == b""


@pytest.mark.parametrize("short", [True, False], ids=["short", "unusual"])
@pytest.mark.parametrize("chopped", [False, True], ids=["at once", "chopped"])
@pytest.mark.parametrize("group", groups())
async def test_group(group: str, short: bool, chopped: bool, caplog: pytest.LogCaptureFixture) -> None:
    """RFC 6455 sections 5 to 8, RFC 7692 section 7.2."""
    failed = []
    async with serving(echo, short=short) as served:
        for case in CASES:
            if case.group == group:
                try:
                    async with served.websocket() as client:
                        await check(client, case, chopped=chopped)
                except AssertionError as error:
                    failed.append(f"{case}: {error}")
        assert not failed, "\n".join(failed)
        await served.left(0)
        assert served.errors == []
    assert "Traceback" not in caplog.text
