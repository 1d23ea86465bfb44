"""What workers leave to each other (server/balance.py)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from aserve.balance import FRESH, PATIENCE, SLACK, Balance
from aserve.sharedpage import SharedPage, Slot

Crowd = Callable[..., list[Slot]]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved on by the test."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def crowd(now: list[float]) -> Crowd:
    """Make workers with so many connections each, all of them alive."""

    def made(*connections: int | None) -> list[Slot]:
        page = SharedPage()
        slots = [page.take() for _ in connections]
        for slot, count in zip(slots, connections, strict=True):
            slot.beat = now[0]
            slot.offer(count)
        return slots

    return made


def test_who_is_alone_has_always_room(crowd: Crowd) -> None:
    assert Balance(crowd(1000)[0]).room(1000) > 0
    assert Balance(crowd(1000, None)[0]).room(1000) > 0, "one that takes none does not count"


def test_few_connections_are_not_worth_a_wait(crowd: Crowd) -> None:
    assert Balance(crowd(SLACK - 1, 0)[0]).room(SLACK - 1) > 0


def test_one_with_clearly_more_leaves_them_to_the_others(crowd: Crowd) -> None:
    slots = crowd(112, 100, 113)
    assert Balance(slots[0]).room(112) == 0
    assert Balance(slots[1]).room(100) == 12
    assert Balance(slots[2]).room(113) < 1
    slots[1].offer(101)
    assert Balance(slots[0]).room(112) == 1


def test_one_without_a_sign_of_life_does_not_count(crowd: Crowd, now: list[float]) -> None:
    mine, silent = crowd(100, 0)
    balance = Balance(mine)
    assert balance.room(100) < 1
    now[0] += FRESH
    mine.beat = now[0]
    assert balance.room(100) > 0
    silent.beat = now[0]
    assert balance.room(100) < 1


def test_one_that_does_not_come_is_waited_for_less_and_less(crowd: Crowd, now: list[float]) -> None:
    mine, absent = crowd(SLACK, 0)
    balance = Balance(mine)
    taken, waits = SLACK, 0
    while taken < 1000:
        if (room := balance.room(taken)) > 0:
            taken += room
            mine.offer(taken)
        elif balance.leaves(taken):
            waits += 1
            now[0] += PATIENCE
            mine.beat = absent.beat = now[0]
    assert waits < 20
    absent.taken += 1
    assert balance.room(taken) < 1, "it is there again"


def test_one_that_comes_is_waited_for_again_and_again(crowd: Crowd, now: list[float]) -> None:
    mine, other = crowd(100, 0)
    balance = Balance(mine)
    for _ in range(50):
        assert balance.leaves(100)
        now[0] += PATIENCE
        mine.beat = other.beat = now[0]
        other.taken += 1


def test_one_that_stands_back_itself_is_not_taken_for_absent(crowd: Crowd, now: list[float]) -> None:
    mine, _waiting, absent = crowd(125, 111, 0)
    balance = Balance(mine)
    assert balance.leaves(125)
    now[0] += PATIENCE
    assert balance.leaves(125)
    absent.offer(None)
    assert balance.room(125) < 1
