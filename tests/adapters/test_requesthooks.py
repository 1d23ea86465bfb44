"""What hooks around a request of a WSGI application can rely on, wherever that runs."""

from __future__ import annotations

import asyncio
import contextvars
from pathlib import Path
from typing import Any

import pytest

from aserve.adapters import make_adapter, make_runner
from aserve.adapters.requesthooks import RequestHooks
from aserve.adapters.runner import RunnerOptions
from aserve.protocols.group import ConnectionGroup
from tests.support.client import AsyncRawClient, request

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.mark.parametrize("worker_class", ["wsgi", "sync"])
async def test_they_are_called_as_the_application_is(worker_class: str, tmp_path: Path) -> None:
    """In the request's context, and where no loop runs: what they call may be synchronous (Django's ORM)."""
    large = tmp_path / "large"
    large.write_bytes(bytes(1_000_000))
    seen: list[tuple[str, str, bool]] = []

    def before(req: Any) -> None:
        variable.set(req.path)
        note(req.path)

    def after(req: Any, environ: Any, resp: Any) -> None:
        note(req.path)

    def note(path: str) -> None:
        seen.append((path, variable.get(), asyncio._get_running_loop() is None))

    def app(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        start_response("200 OK", [])
        if path == "/file":
            return environ["wsgi.file_wrapper"](large.open("rb"))
        return iter([b"one", b"two"]) if path == "/pieces" else [b"whole"]

    loop = asyncio.get_running_loop()
    runner = make_runner(worker_class, loop, RunnerOptions(threads=1))
    hooks = RequestHooks(before, after)
    adapter = make_adapter(app, "wsgi", loop=loop, runner=runner, hooks=hooks)
    await adapter.startup()
    group = ConnectionGroup(adapter.exchange_factory, loop=loop)
    group.start()
    server = await loop.create_server(group.connection, "127.0.0.1", 0)
    try:
        for path in ("/whole", "/pieces", "/file"):
            async with AsyncRawClient(server.sockets[0].getsockname()) as client:
                assert (await client.ask(request(target=path))).status == 200
            async with asyncio.timeout(10):
                while group.running:
                    await asyncio.sleep(0.005)
            assert seen == [(path, path, True)] * 2
            seen.clear()
    finally:
        server.close()
        group.abort()
        await asyncio.wait_for(group.wait_closed(), 10)
        group.stop()
        await adapter.shutdown()
