"""What the raw ASGI application's routes work with."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Handler = Callable[["Call"], Awaitable[None]]

routes: dict[str, Handler] = {}


class Call:
    """A request on its way through a handler."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, key: str) -> None:
        self.scope, self.receive, self.send, self.key = scope, receive, send, key
        self.query = dict(parse_qsl(scope["query_string"].decode()))

    async def start(self, status: int = 200, *headers: tuple[str, str]) -> None:
        """Send the response's start."""
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    async def body(self, data: bytes = b"", *, more: bool = False) -> None:
        """Send a piece of the response's body."""
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, data: Any, status: int = 200) -> None:
        """Send a whole response: bytes as they are, anything else as JSON."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        kind = "text/plain" if isinstance(data, bytes) else "application/json"
        await self.start(status, ("content-type", kind), ("content-length", str(len(body))))
        await self.body(body)

    async def read(self) -> tuple[bytes, int]:
        """Read the request's body; return it and the number of messages that it came in."""
        parts: list[bytes] = []
        count = 0
        while True:
            message = await self.receive()
            count += 1
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client went away")
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(parts), count


def route(prefix: str) -> Callable[[Handler], Handler]:
    """Register a handler for a path's first segment; the second one is its key."""

    def register(handler: Handler) -> Handler:
        routes[prefix] = handler
        return handler

    return register
