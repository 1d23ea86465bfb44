"""What an ASGI application is told and may send: bodies, and clients that go away."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from aserve.protocols.errors import ClientDisconnectedError, ResponseError
from aserve.protocols.http1 import Http1Connection
from tests.support.client import TIMEOUT, AsyncRawClient, request
from tests.support.inprocess import Application, Message, Receive, Scope, Send, Served, serving
from tests.support.loops import every_loop
from tests.support.messages import body, content, length, sending, start
from tests.support.wire import IncompleteResponseError

# -- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, type("Own", (bytes,), {})])
@pytest.mark.parametrize("streamed", [False, True])
async def test_kinds_of_bytes(kind: Callable[[bytes], Any], streamed: bool) -> None:
    data = content(100_000)
    messages = [body(kind(data), more=streamed), *([body(kind(b""))] if streamed else [])]
    async with serving(sending(start(), *messages)) as served, served.client() as client:
        for _ in range(2):
            assert (await client.ask(request())).body == data


async def test_memoryview_of_other_items() -> None:
    """Its length is not its size."""
    data = memoryview(content(4000)).cast("I")
    assert len(data) == 1000
    async with serving(sending(start(), body(data))) as served, served.client() as client:  # type: ignore[arg-type]
        response = await client.ask(request())
        assert (response.header("content-length"), response.body) == ("4000", content(4000))


@every_loop
async def test_buffer_that_is_used_again() -> None:
    """What was sent is sent, although the application puts something else in its place at once."""
    pieces = 200

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        buffer = bytearray(60_000)
        await send(start())
        for number in range(pieces):
            buffer[:] = b"%06d" % number * 10_000
            await send({"type": "http.response.body", "body": buffer, "more_body": True})
        buffer[:] = b"x" * 60_000
        await send(body())

    async with serving(app) as served, served.client(receive_buffer=1 << 16) as client:
        response = await client.ask(request())
        assert response.body == b"".join(b"%06d" % number * 10_000 for number in range(pieces))


@pytest.mark.parametrize("data", ["text", None, 5, [b"a"], object()])
@pytest.mark.parametrize("streamed", [False, True])
async def test_body_that_is_not_bytes(data: Any, streamed: bool) -> None:
    """Nothing of it leaves, not even the size of a chunk."""
    first = [body(b"first", more=True)] if streamed else []
    app = sending(start(), *first, body(data))
    async with serving(app) as served, served.client() as client:
        await client.send(request())
        if streamed:
            with pytest.raises(IncompleteResponseError) as caught:
                await client.read()
            assert caught.value.partial is not None
            assert caught.value.partial.body == b"first"
        else:
            assert (await client.read()).status == 500
        assert isinstance(await served.error(), ResponseError)


async def test_headers_that_can_be_read_once() -> None:
    """An iterable, says the specification."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pairs = ([name, b"1"] for name in (b"a", b"b"))
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        await send(body(b"abc"))

    async with serving(app) as served, served.client() as client:
        logged: list[list[tuple[bytes, bytes]]] = []
        served.group.access_log = lambda exchange: logged.append(list(exchange.response_headers))
        response = await client.ask(request())
        assert (response.header("a"), response.header("b")) == ("1", "1")
        assert [[name for name, _ in fields] for fields in logged] == [[b"a", b"b"]]


# -- clients that go --------------------------------------------------------------------------


class Listener:
    """An application that waits for the disconnect and then sends. What came of it is noted."""

    def __init__(self, *before: Message, count: int = 1) -> None:
        self.before = before
        self.received: list[str] = []
        self.results: list[Exception | None] = []
        self.entered = asyncio.Event()
        self.count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/first":
            await send(start())
            await send(body(b"first"))
            return
        for message in self.before:
            await send(message)
        while (message := await receive())["type"] != "http.disconnect":
            if not message["more_body"]:
                self.entered.set()
        self.received += [message["type"], (await receive())["type"]]
        for message in [body(b"late", more=True)] if self.before else [start(), body(b"late")]:
            try:
                await send(message)
            except Exception as error:
                self.results.append(error)
            else:
                self.results.append(None)

    async def check(self, served: Served) -> None:
        """It was told, and every `send` behind that has failed."""
        await served.left(0)
        assert self.received == ["http.disconnect"] * 2
        assert {type(each) for each in self.results} == {ClientDisconnectedError}
        assert isinstance(self.results[0], OSError)


GOING = ["close", "reset", "half_close"]


@every_loop
@pytest.mark.parametrize("how", GOING)
@pytest.mark.parametrize("kept", [False, True], ids=["first request", "later request"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_told_while_waiting(how: str, kept: bool, version: str) -> None:
    """At once, and `send` behind it raises (ASGI HTTP specification 2.4), whatever the end was."""
    app = Listener()
    async with serving(app) as served, served.client() as client:
        if kept:
            fields = [("Connection", "keep-alive")]
            await client.ask(request(target="/first", headers=fields, version=version), version=version)
        await client.send(request("POST", "/", body=b"abc", version=version))
        await asyncio.wait_for(app.entered.wait(), TIMEOUT)
        getattr(client, how)()
        await app.check(served)
        if how == "half_close":
            assert await client.read_until_closed() == b""


@every_loop
@pytest.mark.parametrize("how", GOING)
@pytest.mark.parametrize("before", [[start()], [start(length(100)), body(b"abc", more=True)]], ids=len)
async def test_told_within_the_response(how: str, before: list[Message]) -> None:
    """Nothing that was sent looks complete."""
    app = Listener(*before)
    async with serving(app) as served, served.client() as client:
        await client.send(request())
        await client.read_head()
        if len(before) > 1:
            assert await client.read_bytes(3) == b"abc"
        await asyncio.wait_for(app.entered.wait(), TIMEOUT)
        getattr(client, how)()
        await app.check(served)
        if how == "half_close":
            with contextlib.suppress(AssertionError):
                assert await client.read_until_closed() == b""


@every_loop
@pytest.mark.parametrize(("how", "count"), [("close", 1), ("close", 14), ("reset", 14), ("reset", 30)])
async def test_told_with_further_requests_in_the_queue(how: str, count: int) -> None:
    """Whatever was pipelined behind: the application at work hears of it."""
    app = Listener()
    async with serving(app) as served, served.client() as client:
        await client.send(request() + request(target="/first") * count)
        await asyncio.wait_for(app.entered.wait(), TIMEOUT)
        getattr(client, how)()
        await app.check(served)
        async with asyncio.timeout(TIMEOUT):
            while served.group.connections:
                await asyncio.sleep(0.001)


@every_loop
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_told_within_an_upload(how: str) -> None:
    """Also when the buffer is full, and the connection is not read from until the application takes it."""
    received: list[tuple[str, int]] = []
    begun, gone = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await gone.wait()
        while True:
            message = await receive()
            received.append((message["type"], len(message.get("body", b""))))
            if message["type"] == "http.disconnect":
                break
        await send(start())

    async with serving(app) as served, served.client() as client:
        await client.send(request("POST", headers=[("Content-Length", "50000000")]))
        await asyncio.wait_for(begun.wait(), TIMEOUT)
        sent = await client.send_until_blocked(b"x" * 50_000_000, 0.1)
        assert sent < 50_000_000
        getattr(client, how)()
        gone.set()
        assert isinstance(await served.error(), ClientDisconnectedError)
        assert received[-1] == ("http.disconnect", 0)
        assert sum(size for _, size in received) <= sent


@every_loop
async def test_send_to_a_client_that_was_reset_while_the_application_worked() -> None:
    """Without any `receive`."""
    begun, gone = asyncio.Event(), asyncio.Event()
    errors: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await gone.wait()
        for message in (start(), body(b"abc", more=True), body(b"abc"), body(b"abc")):
            try:
                await send(message)
            except Exception as error:
                errors.append(error)

    async with serving(app) as served, served.client() as client:
        await client.send(request())
        await asyncio.wait_for(begun.wait(), TIMEOUT)
        client.reset()
        async with asyncio.timeout(TIMEOUT):
            while served.group.connections:
                await asyncio.sleep(0.001)
        gone.set()
        await served.left(0)
    assert [type(error) for error in errors] == [ClientDisconnectedError] * 4


@every_loop
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_stream_without_a_listener(how: str) -> None:
    """`send` itself finds out."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        while True:
            await send(body(b"x" * 1000, more=True))
            await asyncio.sleep(0.001)

    async with serving(app) as served, served.client() as client:
        await client.send(request())
        await client.read_head()
        getattr(client, how)()
        client.incoming.data.clear()
        assert isinstance(await served.error(), ClientDisconnectedError)


async def ask(client: AsyncRawClient) -> bytes:
    """Send a request, close the sending side, and return whatever comes."""
    await client.send(request())
    client.half_close()
    return await client.read_until_closed()


@every_loop
@pytest.mark.parametrize("late", [False, True])
async def test_half_closed_client_of_an_application_that_does_not_ask(late: bool) -> None:
    """Who sends a request and closes that side at once gets the response (RFC 9112 section 9.6)."""
    application: Application = sending(start(), body(b"abc", more=True), body(b"def"))
    seen = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        if late:
            await seen.wait()
        await application(scope, receive, send)

    async with serving(app) as served, served.client() as client:
        asking = asyncio.create_task(ask(client))
        async with asyncio.timeout(TIMEOUT):
            while late and not any(exchange.disconnected for exchange in served.group.running):
                await asyncio.sleep(0.001)
        seen.set()
        assert (await asking).endswith(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks do not begin at once")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_step_between_head_and_body_does_not_cost_the_length(method: str) -> None:
    """Such as a checkpoint of anyio's; alone in a turn of the loop, and one of several."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"body"})

    data = request(method, "/", headers=[("Connection", "keep-alive")]).replace(b"HTTP/1.1", b"HTTP/1.0")
    async with serving(app) as served, served.client() as one, served.client() as other:
        for client in (one, other):
            assert (await client.ask(data, method)).header("content-length") == "4"
        for connection in list(served.group.connections):
            assert isinstance(connection, Http1Connection)
            connection.data_received(data)
        for client in (one, other):
            response = await client.read(method)
            assert (response.header("content-length"), response.connection) == ("4", {"keep-alive"})
