"""What a worker shows of itself in the shared page (server/service.py)."""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import Any

from aserve.adapters.requestqueue import RequestQueue
from aserve.adapters.shedding import Shedding
from aserve.options import Settings
from aserve.overseer import Supervision
from aserve.service import Service
from aserve.sharedpage import SharedPage, Slot


class Shown:
    """Stands for an adapter."""

    def __init__(self, queue: RequestQueue | None, held_since: float = inf) -> None:
        self.queue = queue
        self.held_since = held_since


async def show(adapter: Any, slot: Slot) -> None:
    nothing: Any = None
    settings = Settings(app="main:app")
    service = Service(
        settings,
        adapter,
        listeners=nothing,
        overseer=Supervision(settings, nothing, slot, "worker=0"),
        name="worker=0",
        loop_name="asyncio",
    )
    await asyncio.sleep(0)
    service._show_life()


async def test_the_queue() -> None:
    queue = RequestQueue(0, Shedding(1.0))
    waiting: Any = object()
    queue.waiting.extend([waiting] * 3)
    queue.begun, queue.waited, queue.declined = 5, 1.25, 2
    slot = SharedPage(1).take()
    await show(Shown(queue), slot)
    assert (slot.queued, slot.queue_begun, slot.queue_wait, slot.queue_declined) == (3, 5, 1_250_000, 2)


async def test_without_a_queue() -> None:
    slot = SharedPage(1).take()
    await show(Shown(None), slot)
    assert (slot.queued, slot.queue_begun, slot.queue_wait, slot.queue_declined) == (0, 0, 0, 0)
    assert slot.beat > 0


async def test_who_holds_all_others_shows_no_life() -> None:
    slot = SharedPage(1).take()
    since = time.monotonic() - 100
    await show(Shown(None, since), slot)
    assert slot.beat == since
