"""How WebSockets end when the server does: a few at a time, and nothing that has come is lost."""

from __future__ import annotations

import asyncio
from typing import Any

from aserve.protocols.errors import ClientDisconnectedError
from tests.support.client import request
from tests.support.inprocess import Receive, Scope, Send, serving
from tests.support.loops import every_loop
from tests.support.websocket import CLOSE, TEXT, Frame, closing, frame

ACCEPT = {"type": "websocket.accept"}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})
        return
    await receive()
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})


@every_loop
async def test_closed_one_after_the_other() -> None:
    """1012 (RFC 6455, IANA registry) at a moment of its own for each, and answers up to then."""
    times: list[float] = []
    answers: list[str] = []
    async with serving(app) as served, served.websocket() as idle:
        await idle.open()
        clients = [served.websocket() for _ in range(12)]
        for client in clients:
            await client.__aenter__()
            await client.open()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        served.group.drain(3.0)

        async def follow(client: Any) -> None:
            await client.send(frame(TEXT, b"still here"))
            found = await client.read_frame()
            if found.opcode == TEXT:
                answers.append(found.text)
                found = await client.read_frame()
            assert found == Frame(CLOSE, b"\x03\xf4")  # 1012
            times.append(loop.time() - begun)
            await client.send(closing(1012))
            assert await client.read_until_closed() == b""
            client.close()

        await asyncio.gather(*map(follow, clients))
        assert max(times) - min(times) > 0.1
        assert "still here" in answers
        assert await idle.read_close() == (1012, "")
        await idle.send(closing(1000))
        await idle.read_until_closed()
        await asyncio.wait_for(served.group.wait_closed(), 5)


async def test_opened_too_late() -> None:
    """Who comes when the others have been told gets 1001 at once."""
    async with serving(app) as served, served.websocket() as client:
        assert (await client.ask(request())).status == 200
        served.group.drain(0.3)
        await asyncio.sleep(0.2)
        await client.open()
        assert await client.read_close() == (1001, "")
        await client.send(closing(1001))
        await client.read_until_closed()


async def test_what_the_client_has_sent_meanwhile_is_received() -> None:
    """It has not seen the Close frame yet. The answer has nowhere to go."""
    seen: list[Any] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        while not seen or seen[-1]["type"] == "websocket.receive":
            seen.append(await receive())
            if len(seen) == 1:
                await send({"type": "websocket.send", "text": "answer"})

    async with serving(noting) as served, served.websocket() as client:
        await client.open()
        served.group.drain(0.3)
        assert await client.read_close() == (1012, "")
        await client.send(frame(TEXT, b"late"))
        error = await served.error()
        assert isinstance(error, ClientDisconnectedError)
        await client.send(closing(1012))
        assert await client.read_until_closed() == b""
    assert seen == [{"type": "websocket.receive", "text": "late"}]


async def test_application_is_told_when_the_client_has_answered() -> None:
    seen: list[Any] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        while not seen or seen[-1]["type"] == "websocket.receive":
            seen.append(await receive())

    async with serving(noting) as served, served.websocket() as client:
        await client.open()
        served.group.drain(0.3)
        assert await client.read_close() == (1012, "")
        await client.send(frame(TEXT, b"late") + closing(1012))
        await served.left(0)
    assert seen[-1] == {"type": "websocket.disconnect", "code": 1012, "reason": ""}
    assert seen[0]["text"] == "late"


async def test_cut_off() -> None:
    """When the graceful time is over: 1001, and the application is cancelled."""
    seen: list[str] = []

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async with serving(stubborn) as served, served.websocket() as client:
        await client.open()
        served.group.abort()
        assert await client.read_end() == (1001, "")
        await served.left(0)
    assert seen == ["cancelled"]
