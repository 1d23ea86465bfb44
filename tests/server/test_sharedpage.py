"""The shared page (server/sharedpage.py)."""

from __future__ import annotations

import pytest

from aserve.sharedpage import PageFullError, SharedPage
from tests.server.conftest import Script


def test_a_slot_starts_with_zeros_and_keeps_what_is_written() -> None:
    slot = SharedPage(4).take()
    assert (slot.beat, slot.requests, slot.connections) == (0.0, 0, 0)
    slot.beat, slot.requests, slot.connections = 12.5, 2**63, 7
    assert (slot.beat, slot.requests, slot.connections) == (12.5, 2**63, 7)


def test_slots_do_not_overlap() -> None:
    page = SharedPage(3)
    slots = [page.take() for _ in range(3)]
    for number, slot in enumerate(slots, 1):
        slot.beat, slot.requests, slot.connections = float(number), number * 10, number * 100
    assert [slot.beat for slot in slots] == [1.0, 2.0, 3.0]
    assert [slot.requests for slot in slots] == [10, 20, 30]
    assert [slot.connections for slot in slots] == [100, 200, 300]


def test_the_counters_of_the_queue() -> None:
    page = SharedPage(2)
    slots = [page.take() for _ in range(2)]
    for number, slot in enumerate(slots, 1):
        slot.queued, slot.queue_begun = number, number * 10
        slot.queue_wait, slot.queue_declined = number * 100, number * 1000
    shown = [(each.queued, each.queue_begun, each.queue_wait, each.queue_declined) for each in slots]
    assert shown == [(1, 10, 100, 1000), (2, 20, 200, 2000)]


def test_a_full_page_says_so_and_a_slot_that_was_given_back_is_clean() -> None:
    page = SharedPage(2)
    first, _second = page.take(), page.take()
    with pytest.raises(PageFullError, match="all 2 slots"):
        page.take()
    first.requests, first.beat = 5, 3.0
    page.give_back(first)
    again = page.take()
    assert again.index == first.index
    assert (again.beat, again.requests) == (0.0, 0)
    with pytest.raises(PageFullError):
        page.take()


def test_what_a_child_writes_its_parent_reads(script: Script) -> None:
    ended = script("""
        import os, time
        from aserve.sharedpage import SharedPage

        page = SharedPage()
        slots = [page.take() for _ in range(3)]
        before = time.monotonic()
        for number, slot in enumerate(slots):
            if not (pid := os.fork()):
                slot.beat, slot.requests = time.monotonic(), 1000 + number
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        assert [slot.requests for slot in slots] == [1000, 1001, 1002]
        assert all(before <= slot.beat <= time.monotonic() for slot in slots)
        """)
    assert ended.status == 0, ended
