"""The ASGI WebSocket specification, 2.5: what an application is told and may send."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aserve.protocols.errors import ClientDisconnectedError, ResponseError, WebSocketMessageError
from aserve.protocols.options import WebSocketOptions
from aserve.protocols.trust import Trust
from tests.support.client import request
from tests.support.inprocess import Application, Message, Receive, Scope, Send, serving
from tests.support.loops import every_loop
from tests.support.websocket import BINARY, PING, PONG, TEXT, Frame, closing, frame, handshake
from tests.support.wire import IncompleteResponseError

ACCEPT = {"type": "websocket.accept"}


def text(value: str) -> Message:
    return {"type": "websocket.send", "text": value}


def noting(seen: list[Any], *before: Message, until: str = "websocket.disconnect") -> Application:
    """An application that sends some messages and notes what it receives, up to a type."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await receive())
        for message in before:
            await send(message)
        while seen[-1]["type"] != until:
            seen.append(await receive())

    return app


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})


# -- the scope and the handshake --------------------------------------------------------------


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_scope(http: str) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.close"})

    async with serving(app, http=http) as served, served.client() as client:
        more = [("Sec-WebSocket-Protocol", "chat, v2.chat"), ("Sec-WebSocket-Protocol", "v3"), ("X-A", "1")]
        response = await client.ask(handshake("/a%20b?q=%20", *more))
        peer = client.socket.getsockname()
        [scope] = scopes
    assert response.status == 403
    headers = scope.pop("headers")
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"q=%20",
        "root_path": "",
        "client": peer,
        "server": served.address,
        "subprotocols": ["chat", "v2.chat", "v3"],
        "extensions": {"websocket.http.response": {}},
    }
    assert headers[:2] == [(b"host", b"test"), (b"upgrade", b"websocket")]
    assert headers[-1] == (b"x-a", b"1")


async def test_scope_behind_a_proxy() -> None:
    """What a trusted proxy says counts for WebSockets as for requests; https is wss."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await send({"type": "websocket.close"})

    fields = [
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "a.example"),
    ]
    async with serving(app, forwarded_trust=Trust(["127.0.0.1"])) as served, served.client() as client:
        assert (await client.ask(handshake("/", *fields))).status == 403
    [scope] = scopes
    assert (scope["scheme"], scope["client"]) == ("wss", ("203.0.113.7", 0))
    assert scope["server"] == ("a.example", 443)
    assert (b"host", b"a.example") in scope["headers"]


async def test_accept_with_subprotocol_and_headers() -> None:
    accept = ACCEPT | {
        "subprotocol": "v2",
        "headers": [(b"x-a", b"1"), [b"set-cookie", b"a=1"], (b"set-cookie", b"b=2"), (b"server", b"mine")],
    }
    seen: list[Any] = []
    async with serving(noting(seen, accept)) as served, served.websocket() as client:
        response = await client.open("/", ("Sec-WebSocket-Protocol", "v1, v2"))
        assert response.header("sec-websocket-protocol") == "v2"
        assert response.header("x-a") == "1"
        assert [value for name, value in response.headers if name == b"set-cookie"] == [b"a=1", b"b=2"]
        assert [value for name, value in response.headers if name == b"server"] == [b"mine"]
        assert response.header("date")
        await client.send(closing(1000))
        await client.read_end()


@pytest.mark.parametrize(
    ("accept", "error"),
    [
        ({"subprotocol": "other"}, WebSocketMessageError),
        ({"headers": [(b"Sec-WebSocket-Protocol", b"v1")]}, ResponseError),
        ({"headers": [(b"upgrade", b"h2c")]}, ResponseError),
        ({"headers": [(b"x", b"a\r\nb: c")]}, ResponseError),
        ({"headers": [(b"x y", b"a")]}, ResponseError),
        ({"type": "websocket.send", "text": "early"}, WebSocketMessageError),
        ({"type": "http.response.start", "status": 200}, WebSocketMessageError),
    ],
)
async def test_answer_that_is_wrong(accept: Message, error: type[Exception]) -> None:
    """It is the application's fault: a 500, and nothing of the answer leaves."""
    async with serving(noting([], ACCEPT | accept)) as served, served.websocket() as client:
        response = await client.ask(handshake("/", ("Sec-WebSocket-Protocol", "v1")))
        assert response.status == 500
        assert type(await served.error()) is error
        assert await client.read_until_closed() == b""


async def test_deny() -> None:
    seen: list[Any] = []
    app = noting(seen, {"type": "websocket.close", "code": 4000, "reason": "no"})
    async with serving(app) as served, served.client() as client:
        logged: list[tuple[int, int]] = []
        served.group.access_log = lambda exchange: logged.append((exchange.status, exchange.close_code))
        response = await client.ask(handshake())
        assert (response.status, response.connection, response.body) == (403, {"close"}, b"Forbidden")
        assert await client.read_until_closed() == b""
        await served.left(0)
    assert logged == [(403, 0)]
    assert seen[1:] == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


@pytest.mark.parametrize("close", [{"code": 1006}, {"code": 1008, "reason": [{"type": "missing"}]}])
async def test_deny_with_what_no_frame_could_say(close: Message) -> None:
    """FastAPI gives what is wrong with the request, as a list. Nobody gets to see it: it does not matter."""
    app = noting([], {"type": "websocket.close"} | close)
    async with serving(app) as served, served.client() as client:
        assert (await client.ask(handshake())).status == 403
        assert await served.left(0) == []


async def test_what_comes_behind_a_denied_handshake_is_no_request() -> None:
    """It was meant for the WebSocket, or it is an attack."""
    paths: list[str] = []
    entered, go = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        entered.set()
        await go.wait()
        await send({"type": "websocket.close"})

    async with serving(app) as served, served.client() as client:
        await client.send(handshake("/ws") + request("GET", "/one"))
        await entered.wait()
        await client.send(request("GET", "/two"))
        go.set()
        assert (await client.read()).status == 403
        assert await client.read_until_closed() == b""
    assert paths == ["/ws"]


@pytest.mark.parametrize("pieces", [1, 3])
async def test_denial_response(pieces: int) -> None:
    """The extension websocket.http.response, in one piece and streamed."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"1")]}
        await send(start)
        for number in range(pieces):
            more = number < pieces - 1
            await send({"type": "websocket.http.response.body", "body": b"who? ", "more_body": more})
        with pytest.raises(ResponseError):
            await send(ACCEPT)

    async with serving(app) as served, served.client() as client:
        response = await client.ask(handshake())
        assert (response.status, response.body, response.connection) == (401, b"who? " * pieces, {"close"})
        assert response.header("x-a") == "1"
        assert await client.read_until_closed() == b""
        await served.left(0)
        assert served.errors == []


async def test_denial_that_is_not_completed() -> None:
    start = {"type": "websocket.http.response.start", "status": 401}
    body = {"type": "websocket.http.response.body", "body": b"a", "more_body": True}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)
        await send(body)

    async with serving(app) as served, served.client() as client:
        await client.send(handshake())
        with pytest.raises(IncompleteResponseError):
            await client.read()


@pytest.mark.parametrize("failure", [None, ValueError("deliberate"), SystemExit(1)])
async def test_no_answer(failure: BaseException | None, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if failure is not None:
            raise failure

    async with serving(app) as served, served.client() as client:
        assert (await client.ask(handshake())).status == 500
        assert await client.read_until_closed() == b""
    assert ("without a response" if failure is None else "exception in the application: GET /") in caplog.text


async def test_time_to_answer(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    options = WebSocketOptions(handshake_timeout=0.1)
    async with serving(app, websocket=options) as served, served.client() as client:
        response = await client.ask(handshake())
        assert (response.status, response.text) == (503, "the WebSocket was not accepted in time\n")
        assert await client.read_until_closed() == b""
    assert seen == ["cancelled"]
    assert "handshake timeout: 0.1 s are over: GET /\n" in caplog.text
    assert "asyncio.Event().wait()" in caplog.text  # where it was


async def test_request_timeout_ends_with_the_handshake() -> None:
    """It is a limit for a response, which is complete with the 101."""
    async with serving(echo, request_timeout=0.1) as served, served.websocket() as client:
        await client.open()
        await asyncio.sleep(0.4)
        assert await client.ask_text("still there") == "still there"
        await client.send(closing(1000))
        await client.read_end()


@every_loop
async def test_client_that_goes_before_the_answer() -> None:
    """The application is told, and accepting is not possible any more."""
    seen: list[Any] = []
    waiting = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await receive())
        waiting.set()
        seen.append(await receive())
        await send(ACCEPT)

    async with serving(app) as served:
        async with served.client() as client:
            await client.send(handshake())
            await waiting.wait()
        error = await served.error()
    assert isinstance(error, ClientDisconnectedError)
    assert seen == [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1006, "reason": ""},
    ]


@every_loop
@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_bytes_behind_the_head(http: str) -> None:
    """Nothing is lost, in one piece with the head or before the application has accepted."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.05)
        await echo(scope, receive, send)

    async with serving(app, http=http) as served, served.websocket() as client:
        pieces = [frame(TEXT, b"%d" % number) for number in range(50)]
        behind = frame(TEXT, b"one")
        await client.send(handshake() + pieces[0] + behind[:4])
        await asyncio.sleep(0.01)
        await client.send(behind[4:] + b"".join(pieces[1:]))
        assert (await client.read_head()).status == 101
        received = [(await client.read_frame()).text for _ in range(51)]
        assert received == ["0", "one", *map(str, range(1, 50))]
        await client.send(closing(1000))
        await client.read_end()


# -- messages ---------------------------------------------------------------------------------


@every_loop
@pytest.mark.parametrize("short", [True, False])
async def test_messages(short: bool) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        for kind in (bytes, bytearray, memoryview, str):
            message = await receive()
            seen.append(message)
            value = message.get("text") or kind(message.get("bytes", b""))
            key = "text" if "text" in message else "bytes"
            await send({"type": "websocket.send", key: value, "text" if key == "bytes" else "bytes": None})

    async with serving(app, short=short) as served, served.websocket() as client:
        await client.open()
        for payload in (b"\x00\xff" * 3, b"", b"x" * 100_000):
            await client.send(frame(BINARY, payload))
            assert await client.read_frame() == Frame(BINARY, payload)
        assert await client.ask_text("gr\u00fc\u00df dich") == "gr\u00fc\u00df dich"
        assert await client.read_close() == (1000, "")  # the application has returned
        await client.send(closing(1000))
        assert await client.read_until_closed() == b""
    assert seen[0] == {"type": "websocket.receive", "bytes": b"\x00\xff" * 3}
    assert seen[3] == {"type": "websocket.receive", "text": "gr\u00fc\u00df dich"}


@pytest.mark.parametrize(
    "message",
    [
        {"text": b"bytes"},
        {"bytes": "text"},
        {},
        {"text": None, "bytes": None},
        {"type": "websocket.accept"},
        {"type": "websocket.close", "code": 999},
        {"type": "websocket.close", "code": "1000"},
        {"type": "websocket.close", "reason": b"x"},
        {"type": "http.response.body"},
    ],
)
async def test_message_that_is_wrong(message: Message) -> None:
    app = noting([], ACCEPT, {"type": "websocket.send"} | message)
    async with serving(app) as served, served.websocket() as client:
        await client.open()
        assert await client.read_close() == (1011, "")
        assert type(await served.error()) is WebSocketMessageError


async def test_messages_before_the_close_are_answered() -> None:
    """Also if they come in one piece with it: the Close frame waits for them to be taken."""
    async with serving(echo) as served, served.websocket() as client:
        await client.open()
        await client.send(frame(TEXT, b"one") + frame(TEXT, b"two") + closing(1000, "bye"))
        assert [(await client.read_frame()).text for _ in range(2)] == ["one", "two"]
        assert await client.read_end() == (1000, "")


async def test_messages_are_received_after_the_connection_is_lost() -> None:
    """What has come has come, although nothing can be answered any more."""
    seen: list[Any] = []
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await go.wait()
        while not seen or seen[-1]["type"] != "websocket.disconnect":
            seen.append(await receive())
        await send(text("late"))

    options = WebSocketOptions(max_queue=2)
    async with serving(app, websocket=options) as served:
        async with served.websocket() as client:
            await client.open()
            await client.send(b"".join(frame(TEXT, b"%d" % number) for number in range(10)))
            await asyncio.sleep(0.05)
            client.reset()
        async with asyncio.timeout(5):
            while any(not each.transport.is_closing() for each in served.group.connections):
                await asyncio.sleep(0.01)
        go.set()
        assert isinstance(await served.error(), ClientDisconnectedError)
    assert [message.get("text") for message in seen] == [*map(str, range(10)), None]
    assert seen[-1]["code"] == 1006


# -- the end ----------------------------------------------------------------------------------


@every_loop
@pytest.mark.parametrize(
    ("sent", "code", "reason", "answer"),
    [
        (closing(1000), 1000, "", 1000),
        (closing(4321, "gr\u00fcn"), 4321, "gr\u00fcn", 4321),
        (frame(8), 1005, "", 1005),
    ],
    ids=["1000", "4321", "without a code"],  # the mask is another one each time
)
async def test_client_closes(sent: bytes, code: int, reason: str, answer: int) -> None:
    seen: list[Any] = []
    results: list[BaseException | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await noting(seen, ACCEPT)(scope, receive, send)
        seen.append(await receive())
        for message in (text("late"), {"type": "websocket.close"}):
            try:
                await send(message)
            except OSError as error:
                results.append(error)

    async with serving(app) as served, served.websocket() as client:
        await client.open()
        await client.send(sent)
        assert await client.read_end() == (answer, "")
        await served.left(0)
    assert seen[1:] == [{"type": "websocket.disconnect", "code": code, "reason": reason}] * 2
    assert [type(each) for each in results] == [ClientDisconnectedError] * 2


@every_loop
@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
async def test_connection_breaks_off(how: str) -> None:
    seen: list[Any] = []
    async with serving(noting(seen, ACCEPT)) as served, served.websocket() as client:
        logged: list[int] = []
        served.group.access_log = lambda exchange: logged.append(exchange.close_code)
        await client.open()
        getattr(client, how)()
        await served.left(0)
        if how == "half_close":
            assert await client.read_until_closed() == b""
    assert seen[1:] == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]
    assert logged == [1006]


@every_loop
@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({}, (1000, "")),
        ({"code": 4000, "reason": "enough"}, (4000, "enough")),
        ({"code": 1005}, (1005, "")),
        ({"code": 1001, "reason": None}, (1001, "")),
        ({"reason": "\u00fc" * 100}, (1000, "\u00fc" * 61)),  # as much as fits
    ],
)
async def test_application_closes(message: Message, found: tuple[int, str]) -> None:
    seen: list[Any] = []
    errors: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.close"} | message)
        seen.append(await receive())
        for late in (text("late"), {"type": "websocket.close"}):
            try:
                await send(late)
            except WebSocketMessageError as error:
                errors.append(error)

    async with serving(app) as served, served.websocket() as client:
        logged: list[int] = []
        served.group.access_log = lambda exchange: logged.append(exchange.close_code)
        await client.open()
        assert await client.read_close() == found
        await served.left(0)
        await client.send(frame(TEXT, b"still under way") + frame(PING) + closing(1000))
        assert await client.read_until_closed() == b""
    [disconnect] = seen
    assert (disconnect["type"], disconnect["code"]) == ("websocket.disconnect", found[0])
    assert len(errors) == 2
    assert logged == [found[0]]


@pytest.mark.parametrize("failure", [ValueError("deliberate"), KeyboardInterrupt("deliberate")])
async def test_application_fails(failure: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        raise failure

    async with serving(app) as served, served.websocket() as client:
        await client.open()
        await client.send(frame(TEXT, b"go"))
        assert await client.read_close() == (1011, "")
    assert "exception in the application: GET /" in caplog.text


@pytest.mark.parametrize("accepts", [True, False])
async def test_application_cancels_itself(accepts: bool, caplog: pytest.LogCaptureFixture) -> None:
    """That is a failure like others, and the log says so: there is no other trace of it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if accepts:
            await send(ACCEPT)
        raise asyncio.CancelledError

    async with serving(app) as served, served.websocket() as client:
        if accepts:
            await client.open()
            assert await client.read_close() == (1011, "")
        else:
            await client.send(handshake())
            assert (await client.read()).status == 500
    assert "the application has cancelled itself: GET /" in caplog.text


async def test_exception_that_comes_of_a_disconnect_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    class WebSocketDisconnect(Exception):  # Starlette's has that name
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await noting([], ACCEPT)(scope, receive, send)
        raise WebSocketDisconnect(1000)

    async with serving(app) as served, served.websocket() as client:
        await client.open()
        await client.send(closing(1000))
        await client.read_end()
        await served.left()
    assert "exception" not in caplog.text


@pytest.mark.parametrize("gone", [True, False])
async def test_wait_that_is_given_up(gone: bool) -> None:
    """An application may look again and again whether there is something, for years."""
    done = asyncio.Event()
    counts: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(receive(), 0.001)
        [exchange] = served.group.running
        counts.append(len(exchange.waiters or ()))
        done.set()
        assert (await receive())["type"] == ("websocket.disconnect" if gone else "websocket.receive")

    async with serving(app) as served, served.websocket() as client:
        await client.open()
        await done.wait()
        assert counts == [0]
        await client.send(closing(1000) if gone else frame(TEXT, b"x"))
        await client.read_close()


async def test_ping_is_answered_without_the_application() -> None:
    async with serving(noting([], ACCEPT)) as served, served.websocket() as client:
        await client.open()
        for payload in (b"", b"a" * 125):
            await client.send(frame(PING, payload))
            assert await client.read_frame() == Frame(PONG, payload)
        await client.send(frame(PONG, b"that nobody has asked for"))
        await client.send(closing(1000))
        assert await client.read_end() == (1000, "")


# -- around it --------------------------------------------------------------------------------


async def test_contexts_are_separate() -> None:
    import contextvars

    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send(text(variable.get()))
        variable.set("set")
        await receive()

    async with serving(app) as served, served.websocket() as one, served.websocket() as two:
        for client in (one, two):
            await client.open()
            assert (await client.read_frame()).text == "unset"
        for client in (one, two):
            await client.send(closing(1000))
            await client.read_end()


async def test_limit_concurrency_counts_websockets() -> None:
    async with (
        serving(echo, limit_concurrency=1) as served,
        served.websocket() as one,
        served.client() as two,
    ):
        await one.open()
        response = await two.ask(handshake())
        assert (response.status, response.header("retry-after")) == (503, "1")
        await one.send(closing(1000))
        await one.read_end()


async def test_access_log() -> None:
    """One line at the end, with what there is to say of the whole."""
    async with serving(echo) as served, served.websocket() as client:
        logged: list[Any] = []

        def log(exchange: Any) -> None:
            logged.append((exchange.line(), exchange.status, exchange.body_sent, exchange.close_code))

        served.group.access_log = log
        await client.open("/chat?x=1")
        for _ in range(3):
            await client.ask_text("12345")
        assert logged == []
        await client.send(closing(4001))
        await client.read_end()
        await served.left(0)
    assert logged == [("GET /chat?x=1", 101, 3 * 7 + 4, 4001)]


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_handshake_waits_for_its_turn(http: str) -> None:
    """Behind a request that was pipelined."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(0.02)
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"first"})
        else:
            await echo(scope, receive, send)

    async with serving(app, http=http) as served, served.websocket() as client:
        await client.send(request() + handshake() + frame(TEXT, b"behind"))
        assert (await client.read()).body == b"first"
        assert (await client.read_head()).status == 101
        assert (await client.read_frame()).text == "behind"
        await client.send(closing(1000))
        await client.read_end()
