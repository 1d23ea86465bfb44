"""The server's own threads: everything is done, in no more threads than allowed, and its result arrives."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from aserve.protocols.threads import Threads


async def test_results_and_errors_arrive() -> None:
    threads = Threads(2)
    assert await threads.submit(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.submit(divmod, 7, 0)


async def test_as_many_at_once_as_there_may_be_threads() -> None:
    threads = Threads(3)
    barrier = threading.Barrier(3)
    seen: set[int] = set()

    def meet() -> int:
        barrier.wait(10)
        seen.add(threading.get_ident())
        return len(seen)

    await asyncio.gather(*(threads.submit(meet) for _ in range(30)))
    assert len(seen) == 3


async def test_one_thread_is_enough_for_one_call_after_the_other() -> None:
    threads = Threads(3)
    seen = {await threads.submit(threading.get_ident) for _ in range(20)}
    assert len(seen) == 1


async def test_nobody_waits_any_more() -> None:
    threads = Threads(1)
    go = threading.Event()
    first = threads.submit(go.wait, 10)
    first.cancel()
    go.set()
    assert await threads.submit(divmod, 7, 2) == (3, 1)


async def test_an_idle_thread_holds_on_to_nothing() -> None:
    class Thing:
        pass

    threads = Threads(1)
    thing = Thing()
    gone = weakref.ref(thing)
    await threads.submit(id, thing)
    del thing
    await threads.submit(id, None)
    gc.collect()
    assert gone() is None


def test_a_loop_that_was_closed_meanwhile() -> None:
    threads = Threads(1)
    go = threading.Event()

    async def leave() -> None:
        _ = threads.submit(go.wait, 10)

    async def ask() -> tuple[int, int]:
        return await threads.submit(divmod, 7, 2)

    asyncio.run(leave())
    go.set()
    assert asyncio.run(ask()) == (3, 1)
