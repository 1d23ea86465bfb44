"""What workers leave to each other (server/balance.py)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from aserve.balance import FRESH, LONGEST_LEAD, MEMORY, PATIENCE, SLACK, Balance
from aserve.sharedpage import SharedPage, Slot

Crowd = Callable[..., tuple[Balance, list[Slot]]]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved on by the test."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def crowd(now: list[float]) -> Crowd:
    """Make workers with so many connections each, all of them alive, and the first one's balance."""

    def made(*connections: int | None) -> tuple[Balance, list[Slot]]:
        page = SharedPage()
        slots = [page.take() for _ in connections]
        for slot in slots:
            slot.beat = now[0]
            slot.offer(0)
        balance = Balance(slots[0])
        assert balance.room(0) > 0
        for slot, count in zip(slots, connections, strict=True):
            slot.taken = count or 0
            slot.offer(count)
        return balance, slots

    return made


def go_on(now: list[float], slots: list[Slot], seconds: float) -> None:
    """Let time pass for workers that are alive."""
    now[0] += seconds
    for slot in slots:
        slot.beat = now[0]


def test_who_is_alone_has_always_room(crowd: Crowd) -> None:
    balance, _ = crowd(1000)
    assert balance.room(1000) > 0
    balance, _ = crowd(1000, None)
    assert balance.room(1000) > 0, "one that takes none does not count"


def test_few_connections_are_not_worth_a_wait(crowd: Crowd) -> None:
    balance, _ = crowd(SLACK - 1, 0)
    assert balance.room(SLACK - 1) > 0


@pytest.mark.parametrize(("connections", "room"), [(112, 0), (100, 12), (113, -1)])
def test_one_with_clearly_more_leaves_them_to_the_others(crowd: Crowd, connections: int, room: int) -> None:
    balance, _ = crowd(connections, 100, 113)
    assert balance.room(connections) == room


def test_one_without_a_sign_of_life_does_not_count(crowd: Crowd, now: list[float]) -> None:
    balance, (mine, silent) = crowd(100, 0)
    assert balance.room(100) < 1
    go_on(now, [mine], FRESH)
    assert balance.room(100) > 0
    silent.beat = now[0]
    assert balance.room(100) < 1


def test_one_that_does_not_come_is_waited_for_less_and_less(crowd: Crowd, now: list[float]) -> None:
    balance, slots = crowd(SLACK, 0)
    mine, absent = slots
    waits = 0
    while mine.taken < 1000:
        if (room := balance.room(mine.taken)) > 0:
            mine.taken += room
            mine.offer(mine.taken)
        elif balance.leaves(mine.taken):
            waits += 1
            go_on(now, slots, PATIENCE)
    assert waits < 20
    absent.taken += 1
    assert balance.room(mine.taken) < 1, "it is there again"


def test_one_that_comes_is_waited_for_again_and_again(crowd: Crowd, now: list[float]) -> None:
    balance, slots = crowd(100, 0)
    for _ in range(50):
        assert balance.leaves(100)
        go_on(now, slots, PATIENCE)
        slots[1].taken += 1


def test_one_that_stands_back_itself_is_not_taken_for_absent(crowd: Crowd, now: list[float]) -> None:
    balance, slots = crowd(125, 111, 0)
    assert balance.leaves(125)
    go_on(now, slots, PATIENCE)
    assert balance.leaves(125)
    slots[2].offer(None)
    assert balance.room(125) < 1


def test_one_with_idle_connections_takes_its_part_of_those_that_end_soon(crowd: Crowd) -> None:
    """Or a worker that has just been started would have all the work."""
    balance, (mine, fresh) = crowd(200, 0)
    mine.taken, fresh.taken = 0, 0  # long ago
    parts = [0, 0]
    for _ in range(1000):
        if balance.room(200) > 0:
            mine.taken += 1
            parts[0] += 1
        else:
            fresh.taken += 1
            parts[1] += 1
    assert min(parts) > 400


def test_one_that_was_busy_does_not_get_all_that_comes_after(crowd: Crowd, now: list[float]) -> None:
    balance, (mine, busy) = crowd(1000, 0)
    mine.offer(200)
    before = busy.taken
    while balance.room(200) < 1:
        busy.taken += 1
    assert busy.taken - before <= LONGEST_LEAD
    # And what was long ago does not count.
    mine.taken += 30
    assert balance.room(200) < 1
    for _ in range(3):
        go_on(now, [mine, busy], MEMORY)
        balance.room(200)
    assert balance.room(200) > 0
