"""What a WebSocket client can make the server hold and do, and how dead ones are found."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import tracemalloc
import zlib
from typing import Any

import pytest

from aserve.protocols.errors import ClientDisconnectedError
from aserve.protocols.options import WebSocketOptions
from aserve.protocols.websocket import frames, unusual
from aserve.protocols.websocket.deflate import Deflate
from aserve.protocols.websocket.frames import FrameReader
from tests.support.inprocess import Application, Receive, Scope, Send, serving
from tests.support.loops import every_loop
from tests.support.websocket import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    closing,
    frame,
)

SMALL = 1 << 14
"""A receive buffer that is soon full."""

ACCEPT = {"type": "websocket.accept"}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})


def deflated(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return (made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH))[:-4]


# -- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("deflate", [False, True])
async def test_max_size(short: bool, deflate: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Over the whole message, however it is cut, and inflated."""
    caplog.set_level("INFO")
    offer = [("Sec-WebSocket-Extensions", "permessage-deflate")] if deflate else []
    bits = 4 if deflate else 0

    def message(size: int, pieces: int) -> bytes:
        data = deflated(b"x" * size) if deflate else b"x" * size
        step = -(-len(data) // pieces)
        parts = [data[place : place + step] for place in range(0, len(data), step)]
        frames = [frame(TEXT, parts[0], final=len(parts) == 1, reserved=bits)]
        for number, part in enumerate(parts[1:], 2):
            frames.append(frame(CONTINUATION, part, final=number == len(parts)))
        return b"".join(frames)

    options = WebSocketOptions(max_size=1000)
    async with serving(echo, short=short, websocket=options) as served:
        for pieces in (1, 3):
            async with served.websocket() as client:
                await client.open("/", *offer)
                await client.send(message(1000, pieces))
                assert (await client.read_frame()).final
                await client.send(message(1001, pieces))
                assert await client.read_end() == (1009, "message too big")
    assert "websocket failed: 1009 message too big (--ws-max-size) client=127.0.0.1:" in caplog.text


async def test_announced_size() -> None:
    """Found by the frame's head, before anything of it has come."""
    options = WebSocketOptions(max_size=1000)
    async with serving(echo, websocket=options) as served, served.websocket() as client:
        await client.open()
        await client.send(frame(BINARY, b"", length=1 << 62, size_bytes=8))
        assert await client.read_end() == (1009, "message too big")


async def test_no_max_size() -> None:
    options = WebSocketOptions(max_size=0)
    offer = ("Sec-WebSocket-Extensions", "permessage-deflate")
    async with serving(echo, websocket=options) as served, served.websocket() as client:
        await client.open("/", offer)
        data = b"0123456789" * 200_000
        await client.send(frame(BINARY, deflated(data), reserved=4))
        found = await client.read_frame()
        assert zlib.decompressobj(-15).decompress(found.payload + b"\0\0\xff\xff") == data
        await client.send(closing(1000))
        await client.read_end()


@pytest.mark.parametrize("pieces", [1, 7])
async def test_bomb(pieces: int) -> None:
    """1 GB in 1 MB: not even what may be is held when it is known that it is too much."""
    bomb = (deflated(bytes(2**20)) + b"\x00\x00\xff\xff") * 1024
    assert len(bomb) < 1.5 * 2**20
    step = len(bomb) // pieces + 1
    parts = [bomb[place : place + step] for place in range(0, len(bomb), step)]
    frames = [frame(BINARY, parts[0], final=pieces == 1, reserved=4, mask=bytes(4))]
    frames += [frame(CONTINUATION, part, final=part is parts[-1], mask=bytes(4)) for part in parts[1:]]
    options = WebSocketOptions(max_size=2**20)
    async with serving(echo, websocket=options) as served, served.websocket() as client:
        await client.open("/", ("Sec-WebSocket-Extensions", "permessage-deflate"))
        sent = b"".join(frames)
        tracemalloc.start()
        try:
            await client.send(sent)
            assert await client.read_end() == (1009, "message too big")
            assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("short", [True, False])
async def test_nothing_is_inflated_behind_too_much(short: bool) -> None:
    """What is behind would not even be taken for compressed data."""
    made = zlib.compressobj(wbits=-12)  # in the middle of whose blocks the end of a message is no block
    data = (made.compress(b"abc148 " * 448) + made.flush(zlib.Z_SYNC_FLUSH))[:-4]
    options = WebSocketOptions(max_size=100)
    async with serving(echo, short=short, websocket=options) as served, served.websocket() as client:
        await client.open("/", ("Sec-WebSocket-Extensions", "permessage-deflate"))
        await client.send(frame(TEXT, data, reserved=4))
        assert await client.read_end() == (1009, "message too big")


@pytest.mark.parametrize("takeover", [True, False])
def test_contexts(takeover: bool) -> None:
    """They are there from their first use on, or only for a message."""
    deflate = Deflate(WebSocketOptions(context_takeover=takeover))
    assert deflate.accept("permessage-deflate; client_max_window_bits") is not None
    assert deflate.inflater is deflate.deflater is None
    for _ in range(2):
        assert deflate.expand(deflate.compress(b"hello " * 20)) == b"hello " * 20
        assert [deflate.inflater is None, deflate.deflater is None] == [not takeover] * 2


@every_loop
async def test_sender_is_told_when_the_client_closes() -> None:
    """Also while it waits for a client that does not read what was sent before."""
    sent: list[int] = []
    app = sender(400, 100_000, sent)
    async with serving(app) as served, served.websocket(receive_buffer=SMALL) as client:
        await client.open()
        async with asyncio.timeout(5):
            while next(iter(served.group.connections)).writable:
                await asyncio.sleep(0.01)
        await client.send(closing(1001))
        assert isinstance(await served.error(), ClientDisconnectedError)
        client.abandon()


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (frame(TEXT, b"\xff"), "a text message is not UTF-8"),
        (frame(TEXT, b"\xff\xff", reserved=4), "invalid compressed data"),
    ],
    ids=["text", "compressed"],
)
async def test_reason_is_the_same_on_both_ways(
    sent: bytes, reason: str, short: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """And it is ours: nobody outside needs to read what Python and libraries say."""
    caplog.set_level("INFO")
    async with serving(echo, short=short) as served, served.websocket() as client:
        await client.open("/", ("Sec-WebSocket-Extensions", "permessage-deflate"))
        await client.send(sent)
        assert await client.read_end() == (1007, reason)
    assert f"websocket failed: 1007 {reason} (RFC " in caplog.text


async def test_fragments_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one costs its sender hardly anything, and there could be more of them for ever."""
    monkeypatch.setattr(unusual, "MAX_FRAGMENTS", 100)
    async with serving(echo) as served, served.websocket() as client:
        await client.open()
        empty = frame(CONTINUATION, final=False)
        await client.send(frame(TEXT, b"a", final=False) + empty * 98 + frame(CONTINUATION, b"b"))
        assert (await client.read_frame()).text == "ab"
        await client.send(frame(TEXT, b"a", final=False) + empty * 100)
        assert await client.read_end() == (1008, "too many fragments")


# -- back-pressure ----------------------------------------------------------------------------


class Slow:
    """An application that takes messages only when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.taken: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await self.go.wait()
        while (message := await receive())["type"] == "websocket.receive":
            self.taken.append(len(message.get("bytes") or b""))


@every_loop
@pytest.mark.parametrize("short", [True, False])
async def test_reading_pauses(short: bool) -> None:
    """While the application does not take messages, the client cannot send more than some buffers hold."""
    app = Slow()
    message = frame(BINARY, b"x" * 10_000, mask=bytes(4))
    options = WebSocketOptions(max_queue=4)
    async with serving(app, short=short, websocket=options) as served, served.websocket() as client:
        await client.open()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        sent = await client.send_until_blocked(message * 1000, quiet=0.2)
        assert sent < len(message) * 2000
        [exchange] = served.group.running
        assert len(exchange.queue) == 4  # type: ignore[attr-defined]
        app.go.set()
        await client.send((message * 1000)[sent:])
        await client.send(closing(1000))
        assert await client.read_end() == (1000, "")
        await served.left(0)
    assert app.taken == [10_000] * 1000


async def test_reading_pauses_for_large_messages() -> None:
    """A few of them are enough to be too much."""
    app = Slow()
    options = WebSocketOptions(max_size=100_000)
    async with serving(app, websocket=options) as served, served.websocket() as client:
        await client.open()
        message = frame(BINARY, b"x" * 60_000, mask=bytes(4))
        total = message * 200
        sent = await client.send_until_blocked(total, quiet=0.2)
        assert sent < len(total)
        [exchange] = served.group.running
        assert len(exchange.queue) == 2  # type: ignore[attr-defined]
        app.go.set()
        await client.send(total[sent:] + closing(1000))
        await client.read_end()
        await served.left(0)
    assert app.taken == [60_000] * 200


def sender(count: int, size: int, sent: list[int]) -> Application:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        for number in range(count):
            await send({"type": "websocket.send", "bytes": b"x" * size})
            sent.append(number)

    return app


@every_loop
@pytest.mark.parametrize("size", [100, 100_000])
async def test_send_waits_for_the_client(size: int) -> None:
    sent: list[int] = []
    count = 40_000_000 // size
    async with (
        serving(sender(count, size, sent)) as served,
        served.websocket(receive_buffer=SMALL) as client,
    ):
        await client.open()
        before = -1
        async with asyncio.timeout(10):
            while len(sent) != before:
                before = len(sent)
                await asyncio.sleep(0.1)
        assert 0 < before < count
        client.abandon()
        assert isinstance(await served.error(), ClientDisconnectedError)


async def test_client_that_reads_nothing_is_given_up() -> None:
    sent: list[int] = []
    app = sender(400, 100_000, sent)
    async with serving(app, write_timeout=0.2) as served, served.websocket(receive_buffer=SMALL) as client:
        await client.open()
        assert isinstance(await served.error(), ClientDisconnectedError)
        client.abandon()


@every_loop
async def test_pongs_are_bounded() -> None:
    """Who sends pings and reads no pongs gets the latest one, in the end (RFC 6455 section 5.5.3)."""
    async with serving(echo) as served, served.websocket(receive_buffer=SMALL) as client:
        await client.open()
        pings = frame(PING, b"x" * 125, mask=bytes(4)) * 45_000
        await asyncio.wait_for(client.send(pings + frame(PING, b"last")), 15)
        [connection] = served.group.connections
        async with asyncio.timeout(5):
            while connection.writable or connection._pong != b"last":  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
        assert connection.transport.get_write_buffer_size() < 1 << 17
        while (found := await client.read_frame()).payload != b"last":
            assert found == Frame(PONG, b"x" * 125)
        await client.send(closing(1000))
        await client.read_end()


@every_loop
async def test_others_have_their_turn() -> None:
    """An application that only ever sends, and one that only ever receives, leave time to others."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        if scope["path"] == "/send":
            with contextlib.suppress(ClientDisconnectedError):
                while True:
                    await send({"type": "websocket.send", "text": "x" * 50})
        while (await receive())["type"] == "websocket.receive":
            if scope["path"] == "/echo":
                await send({"type": "websocket.send", "text": "pong"})

    async with (
        serving(app) as served,
        served.websocket() as one,
        served.websocket() as two,
        served.websocket() as three,
    ):
        await one.open("/send")
        await two.open("/receive")
        await three.open("/echo")
        await two.send(frame(TEXT, b"x") * 20_000)
        for _ in range(20):
            await one.read_bytes(10_000)
            assert await three.ask_text("ping") == "pong"
        one.abandon()
        for client in (two, three):
            await client.send(closing(1000))
            await client.read_end()


@every_loop
async def test_small_frames_leave_time_to_others() -> None:
    """Pings and fragments cost much more time than bytes, and there is room for many in one read."""
    async with serving(echo) as served, served.websocket() as client:
        await client.open()
        connection: Any = next(iter(served.group.connections))
        sent = [0]

        async def look() -> None:
            while True:
                sent.append(connection.sent)
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        await client.send(frame(PING) * 5_000 + frame(TEXT, b"behind"))
        assert await client.read_bytes(10_000) == b"\x8a\x00" * 5_000
        assert (await client.read_frame()).text == "behind"
        looking.cancel()
        growth = max(after - before for before, after in itertools.pairwise(sent))
        assert growth <= 2 * len(b"\x8a\x00") * frames.MOST_UNUSUAL
        await client.send((frame(TEXT, b"", final=False) + frame(CONTINUATION, b"a") + frame(PING)) * 1_000)
        await client.send(closing(1000))
        answers = b"\x81\x01a" * 1_000 + b"\x8a\x00" * 1_000 + b"\x88\x02\x03\xe8"
        assert sorted(await client.read_until_closed()) == sorted(answers)


@pytest.mark.parametrize("many", [frame(PING), frame(CONTINUATION, final=False)], ids=["pings", "fragments"])
def test_small_frames_are_taken_a_few_at_a_time(many: bytes) -> None:
    """Tens of thousands of them are in one read."""

    class Sink:
        full = False
        pings = 0

        def on_ping(self, _payload: bytes) -> None:
            self.pings += 1

    sink: Any = Sink()
    reader = FrameReader(sink, limit=0, deflate=None)
    data = frame(TEXT, final=False) + many * 40_000
    reader.feed(data)
    rounds, before = 1, len(data)
    while reader.waiting:
        assert before - len(reader.waiting) <= 1000 * len(many)
        before = len(reader.waiting)
        reader.feed(b"")
        rounds += 1
    assert rounds > 40
    assert sink.pings == (40_000 if many[0] == 0x80 | PING else 0)


# -- writes -----------------------------------------------------------------------------------


def segments(client: Any) -> int:
    """The number of segments with data that the client's system has got (Linux)."""
    info = client.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    found: int = struct.unpack_from("I", info, 152)[0]
    return found


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells how many segments came")
@every_loop
async def test_messages_of_one_turn_leave_together() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        while (await receive())["type"] == "websocket.receive":
            for number in range(20):
                await send({"type": "websocket.send", "text": str(number)})

    async with serving(app) as served, served.websocket() as client:
        await client.open()
        for _ in range(3):
            before = segments(client)
            await client.send(frame(TEXT, b"go"))
            assert [(await client.read_frame()).text for _ in range(20)] == [str(each) for each in range(20)]
            assert segments(client) - before == 1
        await client.send(closing(1000))
        await client.read_end()


# -- keep-alive -------------------------------------------------------------------------------


async def reading(seen: list[Any], scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    while not seen or seen[-1]["type"] == "websocket.receive":
        seen.append(await receive())


def keeping(seen: list[Any]) -> Application:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reading(seen, scope, receive, send)

    return app


@every_loop
async def test_pings(caplog: pytest.LogCaptureFixture) -> None:
    """They come again and again while they are answered; who does not answer is given up."""
    caplog.set_level("INFO")
    seen: list[Any] = []
    options = WebSocketOptions(ping_interval=0.1, ping_timeout=0.3)
    async with serving(keeping(seen), websocket=options) as served, served.websocket() as client:
        await client.open()
        for _ in range(4):
            found = await client.read_frame()
            assert found.opcode == PING
            await client.send(frame(PONG, found.payload))
        assert seen == []
        assert (await client.read_frame()).opcode == PING
        assert await client.read_end() == (1011, "keepalive ping timeout")
        await served.left(0)
    assert [(each["code"], each["reason"]) for each in seen] == [(1011, "keepalive ping timeout")]
    assert "websocket failed: 1011 keepalive ping timeout client=127.0.0.1:" in caplog.text


async def test_anything_is_a_sign_of_life() -> None:
    """A pong may stand behind a large message on a slow line."""
    seen: list[Any] = []
    options = WebSocketOptions(ping_interval=0.1, ping_timeout=0.2)
    async with serving(keeping(seen), websocket=options) as served, served.websocket() as client:
        await client.open()
        message = frame(TEXT, b"x" * 40)
        for byte in range(len(message)):
            await client.send(message[byte : byte + 1])
            await asyncio.sleep(0.02)
        await client.send(closing(1000))
        while (await client.read_frame()).opcode == PING:
            pass
        await served.left(0)
    assert [each.get("code") for each in seen] == [None, 1000]


async def test_no_pings() -> None:
    seen: list[Any] = []
    options = WebSocketOptions(ping_interval=0, ping_timeout=0.1)
    async with serving(keeping(seen), websocket=options) as served, served.websocket() as client:
        await client.open()
        await asyncio.sleep(0.4)
        await client.send(closing(1000))
        assert await client.read_end() == (1000, "")


async def test_pings_without_a_limit() -> None:
    options = WebSocketOptions(ping_interval=0.1, ping_timeout=0)
    async with serving(echo, websocket=options) as served, served.websocket() as client:
        await client.open()
        for _ in range(4):
            assert (await client.read_frame()).opcode == PING
        await client.send(closing(1000))


async def test_slow_application_is_not_the_clients_fault() -> None:
    """While nothing is read, no pong can be seen."""
    app = Slow()
    options = WebSocketOptions(ping_interval=0.1, ping_timeout=0.1, max_queue=1)
    async with serving(app, websocket=options) as served, served.websocket() as client:
        await client.open()
        await client.send(frame(BINARY, b"x") * 10)
        for _ in range(4):
            assert (await client.read_frame()).opcode == PING
        await client.send(frame(PONG))
        app.go.set()
        await client.send(closing(1000))
        while (found := await client.read_frame()).opcode == PING:
            pass
        assert found.payload[:2] == b"\x03\xe8"
        await served.left(0)
    assert app.taken == [1] * 10


async def test_slow_reader_is_alive() -> None:
    """A client that takes what was sent, little by little, has not got as far as the ping yet."""
    options = WebSocketOptions(ping_interval=0.1, ping_timeout=0.3)
    sent: list[int] = []
    app = sender(60, 100_000, sent)
    async with serving(app, websocket=options) as served, served.websocket(receive_buffer=SMALL) as client:
        await client.open()
        for _ in range(40):
            await client.read_bytes(30_000)
            await asyncio.sleep(0.03)
        assert len(served.group.running) == 1
        client.abandon()
        await served.left(0)


@pytest.mark.parametrize("state", ["open", "closing"])
async def test_client_that_does_not_close(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to a Close frame is waited for, but not for ever."""
    from aserve.protocols.websocket import connection

    monkeypatch.setattr(connection, "CLOSE_TIME", 0.1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        if state == "closing":
            await send({"type": "websocket.close", "code": 4000})

    async with serving(app, header_timeout=0.2) as served, served.websocket() as client:
        await client.open()
        assert (await client.read_close())[0] in (1000, 4000)
        async with asyncio.timeout(5):
            while served.group.connections:
                await asyncio.sleep(0.01)
        client.abandon()
