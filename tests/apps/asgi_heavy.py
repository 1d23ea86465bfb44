"""The raw ASGI application with routes for heavy loads: they keep nothing of what they are sent."""

from __future__ import annotations

import asyncio
import time

from .asgi_app import app
from .asgi_call import Call, route
from .shared import journal

__all__ = ["app"]


@route("swallow")
async def swallow(call: Call) -> None:
    """Read the body and forget it; note how it ended."""
    size, more = 0, True
    try:
        while more:
            message = await call.receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client went away")
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
    except OSError:
        journal.note(f"closed-{call.key}", "OSError")
        raise
    await call.answer({"size": size})


@route("hold")
async def hold(call: Call) -> None:
    """Leave the body alone, and answer when the test says so."""
    journal.note(f"entered-{call.key}")
    await journal.wait_async(f"go-{call.key}")
    await call.answer(b"held")


@route("late-swallow")
async def late_swallow(call: Call) -> None:
    """Leave the body alone for as long as the query says, in seconds; then read it."""
    await asyncio.sleep(float(call.query["seconds"]))
    await swallow(call)


@route("late-unread")
async def late_unread(call: Call) -> None:
    """Answer without a look at the body, when much of it has come."""
    await asyncio.sleep(0.2)
    await call.answer(b"not for you", 401)


@route("whole")
async def whole(call: Call) -> None:
    """A large body in one piece."""
    await call.answer(bytes(int(call.query["size"])))


@route("block")
async def block(call: Call) -> None:
    """Keep the event loop for as long as the query says, in seconds."""
    print(f"blocking {call.key}", flush=True)
    time.sleep(float(call.query["seconds"]))
    await call.answer(b"blocked")
