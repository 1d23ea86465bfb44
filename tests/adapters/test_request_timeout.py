"""Applications that take too long for a request (--request-timeout)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aserve.adapters import make_adapter, make_runner
from aserve.adapters.runner import RunnerOptions
from aserve.protocols.exchange import Exchange
from aserve.protocols.group import ConnectionGroup
from aserve.protocols.options import ConnectionOptions
from tests.support.client import AsyncRawClient, Target, request
from tests.support.listening import listening
from tests.support.wire import IncompleteResponseError

LIMIT = 0.3


@asynccontextmanager
async def served(app: Any, interface: Any) -> AsyncIterator[tuple[Target, ConnectionGroup]]:
    """`app` on a port, with a limit for its requests."""
    loop = asyncio.get_running_loop()
    runner = make_runner("wsgi", loop, RunnerOptions(threads=2))
    adapter = make_adapter(app, interface, loop=loop, lifespan="off", runner=runner)
    options = ConnectionOptions(request_timeout=LIMIT)
    group = ConnectionGroup(adapter.exchange_factory, loop=loop, options=options)
    async with listening(adapter, group) as address:
        yield address, group


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def sleepy_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/begun":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    if scope["path"] != "/quick":
        await asyncio.sleep(30)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"quick"})


class SleepyWSGI:
    """Waits for `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.ended = threading.Event()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        try:
            if environ["PATH_INFO"] == "/begun":
                start_response("200 OK", [])(b"x")
            if environ["PATH_INFO"] != "/quick":
                self.go.wait(30)
            if environ["PATH_INFO"] != "/begun":
                start_response("200 OK", [])
            return iter([b"late", b"r"])
        finally:
            self.ended.set()


async def test_asgi_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    async with served(sleepy_asgi, "asgi3") as (target, group), AsyncRawClient(target) as client:
        assert (await client.ask(request("GET", "/quick"))).status == 200
        response = await client.ask(request("GET", "/slow"))
        assert response.status == 503
        assert response.connection == {"close"}
        assert await client.read_until_closed() == b""
        await until(lambda: not group.running)
    (record,) = caplog.records
    assert record.getMessage().startswith("request timeout: 0.3 s are over: GET /slow\n")
    assert "await asyncio.sleep(30)" in record.getMessage()


async def test_never_early() -> None:
    """However long ago the group has last looked at the clock."""
    async with served(sleepy_asgi, "asgi") as (target, group), AsyncRawClient(target) as client:
        swept = asyncio.Event()
        group.on_sweep = swept.set
        await swept.wait()
        await asyncio.sleep(LIMIT / 2 * 0.8)
        began = asyncio.get_running_loop().time()
        assert (await client.ask(request())).status == 503
        assert asyncio.get_running_loop().time() - began >= LIMIT


async def test_asgi_in_the_middle_of_a_response() -> None:
    """What has begun cannot become a 503, nor may it look complete."""
    async with served(sleepy_asgi, "asgi3") as (target, group):
        async with AsyncRawClient(target) as client:
            with pytest.raises(IncompleteResponseError):
                await client.ask(request("GET", "/begun"))
        await until(lambda: not group.running)


async def test_an_answer_in_time_and_a_long_background_task() -> None:
    """Work behind the response is nobody's wait: it goes on."""
    done = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
        await asyncio.sleep(4 * LIMIT)
        done.set()

    async with served(app, "asgi3") as (target, _), AsyncRawClient(target) as client:
        assert (await client.ask(request())).status == 200
        await asyncio.wait_for(done.wait(), 10)


async def test_wsgi_client_is_answered_and_the_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    app = SleepyWSGI()
    async with served(app, "wsgi") as (target, group):
        stuck: list[Exchange] = []
        group.on_stuck = stuck.append
        async with AsyncRawClient(target) as client:
            response = await client.ask(request("GET", "/slow"))
            assert response.status == 503
            assert await client.read_until_closed() == b""
        assert "self.go.wait(30)" in caplog.records[0].getMessage()
        assert len(group.running) == 1
        await until(lambda: bool(stuck))
        async with AsyncRawClient(target) as client:  # another thread
            assert (await client.ask(request("GET", "/quick"))).body == b"later"
        app.go.set()
        await until(lambda: not group.running)
        assert len(stuck) == 1
    assert len(caplog.records) == 1


async def test_wsgi_in_the_middle_of_a_response() -> None:
    app = SleepyWSGI()
    async with served(app, "wsgi") as (target, group):
        async with AsyncRawClient(target) as client:
            with pytest.raises(IncompleteResponseError):
                await client.ask(request("GET", "/begun"))
        app.go.set()
        await until(lambda: not group.running)


async def test_wsgi_that_yields_nothing_for_ever() -> None:
    """PEP 3333 has empty strings for who has nothing to send yet: the thread comes back all the same."""
    closed = threading.Event()

    class Nothing:
        def __iter__(self) -> Any:
            while not closed.wait(0.01):
                yield b""

        def close(self) -> None:
            closed.set()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Nothing()

    async with served(app, "wsgi") as (target, group):
        try:
            async with AsyncRawClient(target) as client:
                assert (await client.ask(request())).status == 503
            await until(lambda: not group.running)
            assert closed.is_set()
        finally:
            closed.set()


async def test_wsgi_that_never_got_a_thread() -> None:
    """Requests in the queue are answered as well, and nobody works on them afterwards."""
    app = SleepyWSGI()
    async with served(app, "wsgi") as (target, group):
        async with asyncio.TaskGroup() as tasks:

            async def ask() -> None:
                async with AsyncRawClient(target) as client:
                    assert (await client.ask(request("GET", "/slow"))).status == 503

            for _ in range(5):
                tasks.create_task(ask())
        app.go.set()
        await until(lambda: not group.running)
