"""The thread pool: nothing is lost, order is kept, blocked threads get help."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from aserve.adapters.bell import Bell
from aserve.adapters.pool import SWITCH_INTERVAL, ThreadPool
from aserve.adapters.runner import RunnerOptions


class Work:
    """Stands for an exchange whose application does just this."""

    def __init__(self, handle: Callable[[], None]) -> None:
        self.handle = lambda place: handle()


def submit(pool: ThreadPool, handle: Callable[[], None]) -> None:
    pool.submit(Work(handle))  # type: ignore[arg-type]


@asynccontextmanager
async def running(size: int) -> AsyncIterator[ThreadPool]:
    pool = ThreadPool(asyncio.get_running_loop(), RunnerOptions(threads=size, queue_limit=0))
    pool.start()
    try:
        yield pool
    finally:
        pool.close()
        async with asyncio.timeout(10):
            while any(thread.is_alive() for thread in pool._threads):
                await asyncio.sleep(0.01)


async def test_everything_is_done_and_posted_in_order() -> None:
    total = 20_000
    posts: list[int] = []
    done = asyncio.get_running_loop().create_future()

    def note(number: int) -> None:
        posts.append(number)
        if len(posts) == total:
            done.set_result(None)

    async with running(1) as pool:
        for number in range(total):
            submit(pool, lambda number=number: pool.post(note, number))  # type: ignore[misc]
            if number % 97 == 0:
                await asyncio.sleep(0)
        await asyncio.wait_for(done, 20)
    assert posts == list(range(total))


async def test_work_that_waits_for_other_work_gets_it() -> None:
    """As many pieces as there are threads run at once, also when each waits for all the others."""
    size = 16
    barrier = threading.Barrier(size)
    finished: asyncio.Queue[bool] = asyncio.Queue()

    async with running(size) as pool:

        def work() -> None:
            barrier.wait(10)
            pool.post(finished.put_nowait, True)

        for _ in range(20):
            for _ in range(size):
                submit(pool, work)
            for _ in range(size):
                await asyncio.wait_for(finished.get(), 10)


async def test_waking_and_parking_do_not_lose_each_other() -> None:
    """One piece at a time, each submitted when the threads are about to sleep."""
    finished: asyncio.Queue[None] = asyncio.Queue()
    async with running(4) as pool:
        for _ in range(5000):
            submit(pool, lambda: pool.post(finished.put_nowait, None))
            await asyncio.wait_for(finished.get(), 10)


class Prompt(ThreadPool):
    """Whoever is woken is at work before the loop goes on."""

    def _release(self, number: int) -> None:
        before = len(self._work)
        super()._release(number)
        while before and len(self._work) == before:
            time.sleep(0.001)


async def test_who_is_woken_for_two_pieces_may_be_blocked_by_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ThreadPool", Prompt)
    second = threading.Event()
    finished: asyncio.Queue[bool] = asyncio.Queue()
    async with running(2) as pool:
        while len(pool._idle) < 2:
            await asyncio.sleep(0.001)
        submit(pool, lambda: pool.post(finished.put_nowait, second.wait(10)))
        submit(pool, second.set)
        assert await asyncio.wait_for(finished.get(), 20)


async def test_a_call_that_returns_does_not_hold_up_a_request() -> None:
    """The thread that it returns to has just been woken for that request."""
    places: asyncio.Queue[int] = asyncio.Queue()
    second = threading.Event()
    finished: asyncio.Queue[bool] = asyncio.Queue()
    async with running(2) as pool:
        for _ in range(100):
            second.clear()
            submit(pool, lambda: pool.post(places.put_nowait, threading.get_ident()))
            place = await asyncio.wait_for(places.get(), 10)
            while len(pool._idle) < 2:
                await asyncio.sleep(0.001)
            _, bell = pool._returns[place]
            pool._idle.remove(bell)
            pool._idle.append(bell)  # the next one to be woken, in the loop's next turn
            submit(pool, second.set)
            blocking = lambda: pool.post(finished.put_nowait, second.wait(10))  # noqa: E731
            asyncio.get_running_loop().call_soon(pool.return_to, place, blocking)
            assert await asyncio.wait_for(finished.get(), 20)


async def test_a_bell_is_heard_before_and_while_somebody_waits() -> None:
    bell = Bell()
    bell.ring()
    bell.wait()
    waiting = threading.Thread(target=bell.wait)
    waiting.start()
    bell.ring()
    waiting.join(10)
    assert not waiting.is_alive()
    bell.close()


async def test_signals_do_not_wake_a_thread() -> None:
    finished: asyncio.Queue[None] = asyncio.Queue()
    previous = signal.signal(signal.SIGUSR2, lambda number, frame: None)
    try:
        async with running(1) as pool:
            while not pool._idle:
                await asyncio.sleep(0.001)
            for _ in range(100):
                signal.pthread_kill(pool._threads[0].ident or 0, signal.SIGUSR2)
                await asyncio.sleep(0)
            submit(pool, lambda: pool.post(finished.put_nowait, None))
            await asyncio.wait_for(finished.get(), 10)
    finally:
        signal.signal(signal.SIGUSR2, previous)


async def test_a_pool_leaves_no_descriptors() -> None:
    gc.collect()  # what other tests have left
    descriptors = len(os.listdir("/dev/fd"))
    for _ in range(2):
        async with running(4) as pool:
            while len(pool._idle) < 4:
                await asyncio.sleep(0.001)
            assert len(os.listdir("/dev/fd")) >= descriptors + 4
    assert len(os.listdir("/dev/fd")) <= descriptors


async def test_nothing_is_kept_of_what_is_done() -> None:
    finished: asyncio.Queue[None] = asyncio.Queue()
    async with running(2) as pool:
        for _ in range(50):
            work = Work(lambda: pool.post(finished.put_nowait, None))
            done = weakref.ref(work)
            pool.submit(work)  # type: ignore[arg-type]
            del work
            await asyncio.wait_for(finished.get(), 10)
            async with asyncio.timeout(10):
                while done() is not None:
                    await asyncio.sleep(0.001)


async def test_context_variables_do_not_leak() -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen: asyncio.Queue[int] = asyncio.Queue()

    async with running(1) as pool:

        def work() -> None:
            value = variable.get()
            variable.set(value + 1)
            pool.post(seen.put_nowait, value)

        for _ in range(3):
            submit(pool, work)
            assert await asyncio.wait_for(seen.get(), 10) == 0


async def test_calls_return_to_the_thread_that_was_asked() -> None:
    """Whether it sleeps, or is at work with requests that do not end; each call once."""
    done: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    async with running(3) as pool:
        barrier = threading.Barrier(3)

        def meet() -> None:
            barrier.wait(10)
            pool.post(done.put_nowait, (threading.get_ident(), 0))

        for _ in range(3):
            submit(pool, meet)
        threads = {(await asyncio.wait_for(done.get(), 10))[0] for _ in range(3)}
        assert len(threads) == 3
        for number in range(300):
            for thread in threads:

                def call(thread: int = thread) -> None:
                    loop.call_soon_threadsafe(done.put_nowait, (thread, threading.get_ident()))

                pool.return_to(thread, call)
                if number % 3:
                    submit(pool, lambda: None)
            if number % 2:
                await asyncio.sleep(0)
        for _ in range(900):
            wanted, found = await asyncio.wait_for(done.get(), 10)
            assert wanted == found
        assert done.empty()


@pytest.mark.parametrize(("before", "after"), [(0.005, SWITCH_INTERVAL), (0.002, 0.002)])
async def test_the_switch_interval(before: float, after: float) -> None:
    """Shorter than the interpreter's own, but an application's is left alone."""
    found = sys.getswitchinterval()
    sys.setswitchinterval(before)
    try:
        async with running(1):
            assert sys.getswitchinterval() == pytest.approx(after)
    finally:
        sys.setswitchinterval(found)
