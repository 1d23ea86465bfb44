"""How a server on the loop of a program ends: stopped, cancelled, forgotten."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import anyio
import pytest

import aserve
from tests.embedding.apps import Steps, asgi, ask, is_refused
from tests.support.client import AsyncRawClient, request
from tests.support.loops import every_loop
from tests.support.wire import Response

ANY = "127.0.0.1:0"


async def at_work(server: aserve.Server, app: Steps) -> tuple[asyncio.Task[None], asyncio.Task[Response]]:
    """Have `server` serve, and return that when a request hangs in the application, and this."""
    serving = asyncio.create_task(server.serve())
    while not server.addresses:
        await asyncio.sleep(0)
    asking = asyncio.create_task(ask(server.port))
    await app.entered.wait()
    return serving, asking


@every_loop
async def test_running_requests_are_finished_at_a_stop() -> None:
    app = Steps("request")
    server = aserve.Server(app, bind=ANY)
    await server.start()
    asking = asyncio.create_task(ask(server.port))
    await app.entered.wait()
    port, stopping = server.port, asyncio.create_task(server.stop())
    while not is_refused(port):
        await asyncio.sleep(0)
    assert not stopping.done()
    app.release.set()
    assert (await asking).body == b"hi"
    await stopping
    assert app.journal == ["startup", "request", "request done", "shutdown"]


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_request_that_does_not_end_is_cancelled(at_once: bool) -> None:
    app = Steps("request")
    server = aserve.Server(app, bind=ANY, graceful_timeout=3600 if at_once else 0.1)
    await server.start()
    asking = asyncio.create_task(ask(server.port))
    await app.entered.wait()
    await server.stop(at_once=at_once)
    with pytest.raises(AssertionError):
        await asking
    assert app.journal == ["startup", "request", "request cancelled", "cleaned up", "shutdown"]


async def test_a_request_can_have_the_server_stopped() -> None:
    server: aserve.Server

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asgi(scope, receive, send)
        server.request_stop()

    server = aserve.Server(app, bind=ANY)
    serving = asyncio.create_task(server.serve())
    while not server.addresses:
        await asyncio.sleep(0)
    assert (await ask(server.port)).status == 200
    await serving
    assert not server.running


@every_loop
async def test_cancelled_in_the_start_up() -> None:
    app = Steps("startup")
    server = aserve.Server(app, bind=ANY)
    starting = asyncio.create_task(server.start())
    await app.entered.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert app.journal == ["startup", "startup cancelled", "cleaned up"]
    assert not server.running


def test_timed_out_by_anyio_in_the_start_up() -> None:
    app = Steps("startup")
    server = aserve.Server(app, bind=ANY)

    async def program() -> None:
        with anyio.move_on_after(0.1) as scope:
            await server.start()
        assert scope.cancelled_caught
        assert not server.running

    anyio.run(program)
    assert app.journal == ["startup", "startup cancelled", "cleaned up"]


async def test_serve_that_is_stopped_in_the_start_up() -> None:
    app = Steps("startup")
    server = aserve.Server(app, bind=ANY)
    serving = asyncio.create_task(server.serve())
    await app.entered.wait()
    server.request_stop()
    await serving
    assert app.journal == ["startup", "startup cancelled", "cleaned up"]


async def test_stopped_in_the_start_up() -> None:
    app = Steps("startup")
    server = aserve.Server(app, bind=ANY)
    starting = asyncio.create_task(server.start())
    await app.entered.wait()
    await server.stop()
    with pytest.raises(aserve.BootError, match="stopped before it was ready"):
        await starting
    assert not server.running


@every_loop
async def test_serve_cancelled_ends_gracefully() -> None:
    app = Steps("request")
    server = aserve.Server(app, bind=ANY)
    serving, asking = await at_work(server, app)
    serving.cancel()
    await asyncio.sleep(0.05)
    app.release.set()
    assert (await asking).status == 200
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert app.journal[-1] == "shutdown"
    assert not server.running


@every_loop
async def test_serve_cancelled_twice_ends_at_once() -> None:
    app = Steps("request")
    server = aserve.Server(app, bind=ANY, graceful_timeout=3600)
    serving, asking = await at_work(server, app)
    for _ in range(2):
        serving.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(AssertionError):
        await asking
    assert app.journal == ["startup", "request", "request cancelled", "cleaned up", "shutdown"]


async def test_a_stop_that_is_cancelled_goes_on_at_once() -> None:
    app = Steps("request")
    server = aserve.Server(app, bind=ANY, graceful_timeout=3600)
    await server.start()
    asking = asyncio.create_task(ask(server.port))
    await app.entered.wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(server.stop(), 0.1)
    assert app.journal == ["startup", "request", "request cancelled", "cleaned up", "shutdown"]
    assert not server.running
    with pytest.raises(AssertionError):
        await asking


async def test_a_shutdown_that_hangs_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aserve.service.LEAVING_TIME", 0.1)
    app = Steps("shutdown")
    server = aserve.Server(app, bind=ANY, graceful_timeout=0)
    await server.start()
    await server.stop()
    assert app.journal == ["startup", "shutdown", "shutdown cancelled", "cleaned up"]
    assert "the application's shutdown is cancelled: 0.1 s are over" in caplog.text


def test_a_program_that_forgets_it_ends_in_order() -> None:
    app = Steps()
    server = aserve.Server(app, bind=ANY)

    async def program() -> None:
        await server.start()
        async with AsyncRawClient(("127.0.0.1", server.port)) as idle:
            await idle.ask(request())
            held.append(idle.socket.dup())
        app.holds = ("request",)
        held.append(asyncio.create_task(ask(server.port)))
        await app.entered.wait()

    held: list[Any] = []
    asyncio.run(program())
    held[0].close()
    gc.collect()  # what is not closed says so now
    assert "request cancelled" in app.journal
    assert not server.running

    async def another_program() -> None:
        async with server:
            app.holds = ()
            assert (await ask(server.port)).status == 200

    asyncio.run(another_program())


# -- anyio ----------------------------------------------------------------------------------------


def test_in_a_task_group_of_anyios() -> None:
    app = Steps("request")

    async def program() -> None:
        server = aserve.Server(app, bind=ANY)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            while not server.addresses:
                await anyio.sleep(0)
            asking = asyncio.create_task(ask(server.port))
            await app.entered.wait()
            tasks.cancel_scope.cancel()
            asyncio.get_running_loop().call_later(0.1, app.release.set)
        assert (await asking).status == 200

    anyio.run(program)
    assert app.journal == ["startup", "request", "request done", "shutdown"]


def test_in_a_cancel_scope_of_anyios() -> None:
    app = Steps("request")

    async def program() -> None:
        with anyio.CancelScope() as scope:
            async with aserve.Server(app, bind=ANY) as server:
                asking = asyncio.create_task(ask(server.port))
                await app.entered.wait()
                scope.cancel()
                asyncio.get_running_loop().call_later(0.1, app.release.set)
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert (await asking).status == 200

    anyio.run(program)
    assert app.journal == ["startup", "request", "request done", "shutdown"]
