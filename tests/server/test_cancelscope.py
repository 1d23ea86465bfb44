"""A part of a task that can be broken off (server/cancelscope.py)."""

from __future__ import annotations

import asyncio

import pytest

from aserve.cancelscope import CancelScope


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_cancelled_from_outside() -> None:
    scope = CancelScope()
    asyncio.get_running_loop().call_soon(scope.cancel)
    async with scope:
        await for_ever()
    assert scope.cancelled_caught
    await asyncio.sleep(0)  # the task itself is not


async def test_cancelled_before_its_block() -> None:
    scope = CancelScope()
    scope.cancel()
    begun = False
    async with scope:
        begun = True
        await for_ever()
    assert begun and scope.cancelled_caught


async def test_a_block_that_does_not_wait_is_not_broken_off() -> None:
    scope = CancelScope()
    scope.cancel()
    async with scope:
        pass
    assert not scope.cancelled_caught
    await asyncio.sleep(0)


async def test_over_at_its_deadline() -> None:
    scope = CancelScope()
    scope.deadline = asyncio.get_running_loop().time()
    async with scope:
        await for_ever()
    assert scope.cancelled_caught


async def test_cancelled_after_its_block() -> None:
    scope = CancelScope()
    async with scope:
        await asyncio.sleep(0)
    scope.cancel()
    await asyncio.sleep(0)
    assert not scope.cancelled_caught


async def test_cancelled_again_while_its_block_cleans_up() -> None:
    scope = CancelScope()
    scope.deadline = asyncio.get_running_loop().time()
    async with scope:
        try:
            await for_ever()
        finally:
            scope.cancel()
            await asyncio.sleep(0)  # it is cancelled once
            cleaned = True
    assert cleaned and scope.cancelled_caught


async def test_what_the_block_raises_comes_through() -> None:
    scope = CancelScope()
    with pytest.raises(TimeoutError, match="my own"):
        async with scope:
            raise TimeoutError("my own")
    assert not scope.cancelled_caught


async def test_what_the_block_raises_on_its_way_out_comes_through() -> None:
    scope = CancelScope()
    scope.cancel()
    with pytest.raises(ValueError, match="on its way out"):
        async with scope:
            await fail_when_cancelled()
    assert not scope.cancelled_caught


async def fail_when_cancelled() -> None:
    try:
        await for_ever()
    finally:
        raise ValueError("on its way out")


async def test_who_cancels_the_task_itself_has_the_last_word() -> None:
    scope = CancelScope()
    behind = False

    async def work() -> None:
        nonlocal behind
        async with scope:
            await for_ever()
        behind = True

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    scope.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not behind
