"""A raw ASGI 3 application: each route does one thing that a server may get wrong."""

from __future__ import annotations

import asyncio
import hashlib
from contextvars import ContextVar
from typing import Any

from .asgi_call import Call, Receive, Scope, Send, route, routes
from .shared import DeliberateError, block, journal

_mine: ContextVar[str] = ContextVar("mine", default="unset")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
        return
    assert scope["type"] == "http", scope["type"]
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    _, prefix, key = (path + "/").split("/", 2)
    call = Call(scope, receive, send, key.rstrip("/"))
    handler = routes.get(prefix)
    if handler is None:
        await call.answer(b"no such route", 404)
    else:
        await handler(call)


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    print("lifespan: up", flush=True)
    if "state" in scope:
        scope["state"]["shared"] = []
        scope["state"]["number"] = 1
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    print("lifespan: down", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


# -- plain answers ----------------------------------------------------------------------------


@route("")
async def root(call: Call) -> None:
    await call.answer(b"hello")


@route("length")
async def length(call: Call) -> None:
    """No content-length, one message: the server can tell the length itself."""
    await call.start(200, ("content-type", "text/plain"))
    await call.body(b"inferred")


@route("status")
async def status(call: Call) -> None:
    """A status without a body."""
    await call.start(int(call.key))
    await call.body()


@route("status-body")
async def status_body(call: Call) -> None:
    """A body with whatever status: 204 and 304 have none."""
    await call.start(int(call.key), ("content-type", "text/plain"))
    await call.body(b"a body", more=True)
    await call.body(b" in two parts")


@route("scope")
async def show_scope(call: Call) -> None:
    shown = {name: _plain(value) for name, value in call.scope.items() if name != "state"}
    await call.answer(shown)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@route("close")
async def close(call: Call) -> None:
    """The application ends the connection."""
    await call.start(200, ("connection", "close"), ("content-length", "4"))
    await call.body(b"last")


@route("own-chunks")
async def own_chunks(call: Call) -> None:
    """The application says what is the server's to say."""
    await call.start(200, ("transfer-encoding", "chunked"))
    await call.body(b"one", more=True)
    await call.body(b"two")


# -- bodies -----------------------------------------------------------------------------------


@route("read")
async def read(call: Call) -> None:
    body, messages = await call.read()
    digest = hashlib.sha256(body).hexdigest()
    await call.answer({"size": len(body), "sha256": digest, "messages": messages})


@route("echo")
async def echo(call: Call) -> None:
    """Send every piece back as soon as it comes."""
    await call.start(200, ("content-type", "application/octet-stream"))
    more = True
    while more:
        message = await call.receive()
        more = message.get("more_body", False)
        await call.body(message.get("body", b""), more=more)


@route("unread")
async def unread(call: Call) -> None:
    """Answer without a look at the body."""
    await call.answer(b"not for you", 401)


@route("late-read")
async def late_read(call: Call) -> None:
    """Leave the body until the test says so."""
    journal.note(f"entered-{call.key}")
    await journal.wait_async(f"go-{call.key}")
    body, _ = await call.read()
    await call.answer({"size": len(body)})


@route("stream")
async def stream(call: Call) -> None:
    await call.start(200, ("content-type", "application/octet-stream"))
    for number in range(int(call.query["count"])):
        await call.body(block(int(call.query["size"]), number), more=True)
    await call.body()


@route("counted")
async def counted(call: Call) -> None:
    """Stream, and note every piece that `send` has taken."""
    await call.start(200, ("content-type", "application/octet-stream"))
    for number in range(int(call.query["count"])):
        await call.body(block(int(call.query["size"]), number), more=True)
        journal.note(f"sent-{call.key}")
    await call.body()


@route("steps")
async def steps(call: Call) -> None:
    await call.start(200, ("content-type", "text/plain"))
    await call.body(b"first\n", more=True)
    await journal.wait_async(f"go-{call.key}")
    await call.body(b"second\n")


@route("early-head")
async def early_head(call: Call) -> None:
    """A head long before the body, as event streams have it."""
    await call.start(200, ("content-type", "text/event-stream"))
    await journal.wait_async(f"go-{call.key}")
    await call.body(b"data: late\n\n")


# -- the client goes away ---------------------------------------------------------------------


@route("disconnect")
async def disconnect(call: Call) -> None:
    """Wait for the client to go; note what comes, and what `send` says then."""
    await call.read()
    journal.note(f"entered-{call.key}")
    message = await call.receive()
    journal.note(f"received-{call.key}", message["type"])
    again = await call.receive()
    journal.note(f"received-{call.key}", again["type"])
    try:
        await call.start()
        await call.body(b"too late")
    except OSError:
        journal.note(f"sent-{call.key}", "OSError")
        raise
    journal.note(f"sent-{call.key}", "nothing")


@route("endless")
async def endless(call: Call) -> None:
    """Send until `send` raises; note what it raises."""
    await call.start(200, ("content-type", "application/octet-stream"))
    try:
        while True:
            await call.body(block(1 << 16), more=True)
    except BaseException as error:
        journal.note(f"closed-{call.key}", "OSError" if isinstance(error, OSError) else repr(error))
        raise


@route("watch")
async def watch(call: Call) -> None:
    """Stream while a task of its own waits for the disconnect, as Starlette and Django do."""
    await call.read()

    async def listen() -> None:
        while (await call.receive())["type"] != "http.disconnect":
            pass
        journal.note(f"received-{call.key}", "http.disconnect")

    listener = asyncio.create_task(listen())
    await call.start(200, ("content-type", "text/plain"))
    await call.body(b"first\n", more=True)
    await journal.wait_async(f"go-{call.key}")
    await call.body(b"second\n")
    await listener
    journal.note(f"done-{call.key}")


@route("after")
async def after(call: Call) -> None:
    """What `receive` gives once the response is complete."""
    await call.read()
    await call.answer(b"complete")
    message = await call.receive()
    journal.note(f"received-{call.key}", message["type"])


# -- errors -----------------------------------------------------------------------------------


@route("error")
async def error(_call: Call) -> None:
    raise DeliberateError("before the response")


@route("error-started")
async def error_started(call: Call) -> None:
    """Raise after the start, which a server may still hold back: a clean 500 is right as well."""
    await call.start(200, ("content-length", "5"))
    raise DeliberateError("after the start")


@route("error-midway")
async def error_midway(call: Call) -> None:
    await call.start(200)
    await call.body(b"so far so good", more=True)
    raise DeliberateError("in the middle of the response")


@route("error-length")
async def error_length(call: Call) -> None:
    await call.start(200, ("content-length", "1000"))
    await call.body(b"so far so good", more=True)
    raise DeliberateError("in the middle of the response")


@route("error-after")
async def error_after(call: Call) -> None:
    await call.answer(b"complete")
    raise DeliberateError("after the response")


@route("silent")
async def silent(_call: Call) -> None:
    """Return without a response."""


@route("unfinished")
async def unfinished(call: Call) -> None:
    """Return in the middle of the response."""
    await call.start(200)
    await call.body(b"so far so good", more=True)


@route("short")
async def short(call: Call) -> None:
    """Less than content-length promises."""
    await call.start(200, ("content-length", "1000"))
    await call.body(b"so far so good")


@route("long")
async def long(call: Call) -> None:
    """More than content-length promises."""
    await call.start(200, ("content-length", "5"))
    await call.body(b"12345", more=True)
    await call.body(b"HTTP/1.1 200 OK\r\n\r\n")


@route("body-first")
async def body_first(call: Call) -> None:
    await call.body(b"no head")


@route("two-starts")
async def two_starts(call: Call) -> None:
    await call.start(200)
    await call.start(201)


@route("bad-header")
async def bad_header(call: Call) -> None:
    """A header that would split the response."""
    value = {"value": "a\r\nSet-Cookie: evil=1", "nul": "a\0b", "lf": "a\nb: c"}
    name = {"name": "x y", "colon": "x:y", "crlf": "x\r\ny"}
    await call.start(200, (name.get(call.key, "x-test"), value.get(call.key, "a")))
    await call.body(b"split")


# -- context ----------------------------------------------------------------------------------


@route("context")
async def context(call: Call) -> None:
    """Tell the context variable, set it, let others run, and tell it again."""
    before = _mine.get()
    _mine.set(call.key)
    await asyncio.sleep(0)
    await call.answer({"before": before, "after": _mine.get()})


@route("task")
async def task(call: Call) -> None:
    """What asyncio's and anyio's own tools need: a task of the request's own."""
    current = asyncio.current_task()
    assert current is not None
    timed_out = False
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        timed_out = True
    await call.answer({"task": current.get_name(), "timed_out": timed_out})


@route("state")
async def state(call: Call) -> None:
    """The lifespan's state: shared objects, a mapping of one's own."""
    own = call.scope["state"]
    own["shared"].append(1)
    own["number"] += 1
    await call.answer({"shared": len(own["shared"]), "number": own["number"]})


@route("journal")
async def show_journal(call: Call) -> None:
    if call.scope["method"] == "POST":
        journal.note(call.key)
        await call.answer([])
    else:
        await call.answer(await journal.wait_async(call.key, int(call.query.get("count", "1"))))
