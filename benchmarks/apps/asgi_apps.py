"""The ASGI applications that are measured without a framework."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HELLO = b"Hello, World!"
CHUNK = b"0123456789abcdef" * 4096
CHUNKS = 16

# Content-Length is given by the application, as frameworks do: without it some servers would have to chunk.
HELLO_START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(HELLO))],
}
HELLO_BODY: Message = {"type": "http.response.body", "body": HELLO}
STREAM_START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/octet-stream")],
}
STREAM_CHUNK: Message = {"type": "http.response.body", "body": CHUNK, "more_body": True}
STREAM_END: Message = {"type": "http.response.body", "body": b""}


async def lifespan(receive: Receive, send: Send) -> None:
    """Complete start-up and shutdown: servers that insist on a lifespan get one."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def hello(scope: Message, receive: Receive, send: Send) -> None:
    """Answer 13 bytes."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await send(HELLO_START)
    await send(HELLO_BODY)


ROOM: set[Send] = set()


async def websocket(scope: Message, receive: Receive, send: Send) -> None:
    """Echo what comes on a WebSocket; below /room, send it to everybody there. HTTP gets the 13 bytes."""
    if scope["type"] != "websocket":
        await hello(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    room = ROOM if scope["path"] == "/room" else {send}
    room.add(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            # `get`: some servers give both keys, one of them None.
            answer = {"type": "websocket.send", "text": message.get("text")}
            for member in tuple(room):
                await member(answer)
    finally:
        room.discard(send)


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Read the whole request body and send it back in one message."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    message = await receive()
    # Joined, as frameworks do: not every server gives bytes.
    chunks = [message.get("body", b"")]
    while message.get("more_body", False):
        message = await receive()
        chunks.append(message.get("body", b""))
    body = b"".join(chunks)
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    """Send 16 chunks of 64 KiB, of a length that was not announced."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await send(STREAM_START)
    for _ in range(CHUNKS):
        await send(STREAM_CHUNK)
    await send(STREAM_END)
