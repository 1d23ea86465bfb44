"""Applications whose every step a test can see and hold up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from tests.support.client import TIMEOUT, AsyncRawClient, request
from tests.support.wire import Response

Message = dict[str, Any]


class Steps:
    """An ASGI application that notes what it does.

    journal: what has happened. holds: the steps that wait: "startup", "request", "shutdown". entered: set
    when one of them has begun to. release: what they wait for.
    """

    def __init__(self, *holds: str) -> None:
        self.journal: list[str] = []
        self.holds = holds
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.scopes: list[Message] = []

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        self.scopes.append(scope)
        await self._step("request")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"hi"})

    async def _live(self, scope: Message, receive: Any, send: Any) -> None:
        await receive()
        scope["state"]["there"] = "since startup"
        await self._step("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._step("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    async def _step(self, name: str) -> None:
        self.journal.append(name)
        if name not in self.holds:
            return
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.journal.append(f"{name} cancelled")
            await asyncio.sleep(0.01)
            self.journal.append("cleaned up")
            raise
        self.journal.append(f"{name} done")


def wsgi(environ: Message, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Says in which thread it is."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [threading.current_thread().name.encode()]


async def ask(port: int, target: str = "/") -> Response:
    """Send a GET on a connection of its own, and return the response."""
    async with AsyncRawClient(("127.0.0.1", port)) as client:
        return await client.ask(request(target=target))


def is_refused(port: int) -> bool:
    """Return whether nobody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    return False


async def asgi(scope: Message, receive: Any, send: Any) -> None:
    """Answers with the path; knows no lifespan."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})
