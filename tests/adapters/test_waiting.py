"""Requests that wait for a thread, and applications that wait for their clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aserve.adapters import make_adapter, make_runner, runner, waiting
from aserve.adapters.pool import ThreadPool
from aserve.adapters.requestqueue import RequestQueue
from aserve.adapters.runner import RunnerOptions
from aserve.adapters.shedding import Shedding
from aserve.protocols.group import ConnectionGroup
from aserve.protocols.http1 import Http1Connection
from aserve.protocols.states import checked
from tests.support.client import AsyncRawClient, Target, request
from tests.support.listening import listening


class Held:
    """An application that notes its calls, and that waits for `go` when it is asked for `/held`."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.go = threading.Event()
        self.given = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        self.calls.append(path)
        start_response("200 OK", [])
        if path == "/held":
            self.go.wait(30)
        return self.pieces() if path == "/pieces" else [path.encode()]

    def pieces(self) -> Iterator[bytes]:
        for _ in range(4000):
            self.given += 1
            yield bytes(4096)


class Served:
    """A server with one thread, which `hold` keeps busy."""

    def __init__(self, target: Target, group: ConnectionGroup, pool: ThreadPool, app: Held) -> None:
        self.target, self.group, self.pool, self.app = target, group, pool, app

    def client(self, receive_buffer: int | None = None) -> AsyncRawClient:
        return AsyncRawClient(self.target, receive_buffer=receive_buffer)

    async def ask(self, path: str) -> Any:
        async with self.client() as client:
            return await client.ask(request(target=path))

    async def hold(self) -> asyncio.Task[Any]:
        asking = asyncio.create_task(self.ask("/held"))
        await until(lambda: bool(self.app.calls))
        return asking

    async def queued(self, count: int) -> None:
        await until(lambda: len(self.pool.queue) == count)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Served]:
    loop = asyncio.get_running_loop()
    app = Held()
    pool = make_runner("wsgi", loop, RunnerOptions(**{"threads": 1, **options}))
    assert isinstance(pool, ThreadPool)
    adapter = make_adapter(app, "wsgi", loop=loop, runner=pool)
    group = ConnectionGroup(
        checked(adapter.exchange_factory),  # type: ignore[arg-type]
        loop=loop,
        connection_class=checked(Http1Connection),
    )
    async with listening(adapter, group) as address:
        try:
            yield Served(address, group, pool, app)
        finally:
            app.go.set()


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_whose_client_has_gone_is_skipped(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "GIVING_UP", 0.0)
    async with serving() as served:
        holding = await served.hold()
        async with served.client() as client:
            await client.send(request(target="/gone"))
            await served.queued(1)
            if how == "reset":
                client.reset()
        await served.queued(0)
        await until(lambda: len(served.group.running) == 1)
        served.app.go.set()
        assert (await holding).body == b"/held"
        assert (await served.ask("/next")).body == b"/next"
        assert served.app.calls == ["/held", "/next"]


async def test_half_closed_at_once_wants_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `nc -N` does it: all that there is to say has been said."""
    monkeypatch.setattr(waiting, "GIVING_UP", 60.0)
    async with serving() as served:
        holding = await served.hold()
        async with served.client() as client:
            await client.send(request(target="/half"))
            client.half_close()
            await until(lambda: any(each.disconnected for each in served.group.running))
            served.app.go.set()
            assert (await client.read()).body == b"/half"
        await holding


async def test_a_full_queue() -> None:
    """Who does not fit in is told when to come again, and can do so on the same connection."""
    async with serving(queue_limit=2) as served:
        holding = await served.hold()
        two = [asyncio.create_task(served.ask(f"/{number}")) for number in range(2)]
        await served.queued(2)
        async with served.client() as client:
            declined = await client.ask(request(target="/declined"))
            assert (declined.status, declined.header("retry-after")) == (503, "1")
            served.app.go.set()
            assert [(await each).body for each in (holding, *two)] == [b"/held", b"/0", b"/1"]
            assert (await client.ask(request(target="/again"))).body == b"/again"
        assert "/declined" not in served.app.calls
        queue = served.pool.queue
        assert (queue.declined, queue.begun) == (1, 4)
        assert queue.waited > 0


async def test_waited_too_long() -> None:
    """The answer comes while all threads are busy, and nobody works on it afterwards."""
    async with serving(queue_timeout=0.2) as served:
        holding = await served.hold()
        assert (await served.ask("/late")).status == 503
        served.app.go.set()
        await holding
        assert (await served.ask("/next")).body == b"/next"
        assert served.app.calls == ["/held", "/next"]
        assert served.pool.queue.declined == 1


async def test_the_clock_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for longer than the patience is not worked on when the thread is free, the others are."""
    now = [1000.0]
    for module in (waiting, runner):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
    async with serving(queue_timeout=1000.0, queue_target=0.0) as served:  # looks are far between
        holding = await served.hold()
        asking = []
        for number in range(4):
            asking.append(asyncio.create_task(served.ask(f"/{number}")))
            await served.queued(number + 1)
            now[0] += 400.0
        served.app.go.set()
        assert [(await each).status for each in asking] == [503, 503, 200, 200]
        await holding
        assert served.app.calls == ["/held", "/2", "/3"]
        assert served.pool.queue.waited == pytest.approx(800.0 + 400.0)


async def test_stopping_finishes_what_waits() -> None:
    async with serving() as served:
        holding = await served.hold()
        three = [asyncio.create_task(served.ask(f"/{number}")) for number in range(3)]
        await served.queued(3)
        served.group.drain()
        served.app.go.set()
        assert [(await each).body for each in (holding, *three)] == [b"/held", b"/0", b"/1", b"/2"]
        await asyncio.wait_for(served.group.wait_closed(), 10)


async def test_the_response_buffer_holds_back_the_thread() -> None:
    """A larger one lets the application go further ahead of its client."""
    given = []
    for size in (4096, 8 << 20):
        async with serving(response_buffer=size) as served, served.client(receive_buffer=4096) as client:
            await client.send(request(target="/pieces"))
            before = -1
            while served.app.given != before:  # until it stands still
                before = served.app.given
                await asyncio.sleep(0.2)
            given.append(before)
            [connection] = served.group.connections
            assert connection.transport.get_write_buffer_limits()[1] == size
            response = await client.read()
            assert len(response.body) == 4000 * 4096
    small, large = (4096 * count for count in given)
    assert small + (6 << 20) < large


class Waiting:
    """Stands for an exchange in a queue."""

    def __init__(self, queued: float) -> None:
        self.queued = queued


def test_queue() -> None:
    queue = RequestQueue(0, Shedding(10.0, 0.0))
    first, second, third = (Waiting(queued) for queued in (0.0, 5.0, 9.0))
    queue.waiting.extend((first, second, third))  # type: ignore[arg-type]
    assert queue.expired(10.0) == []
    late: list[object] = [*queue.expired(15.5)]
    assert late == [first, second]
    assert len(queue) == 1
    assert queue.remove(third)  # type: ignore[arg-type]
    assert not queue.remove(third)  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        queue.take()
