"""What workers of one arbiter see of each other, across a fork."""

from __future__ import annotations

import os

from aserve.workertable import WorkerState, WorkerTable


def test_states_are_seen_by_the_others_only() -> None:
    table = WorkerTable()
    first, second = table.take(), table.take()
    assert second.any_other(WorkerState.STARTING)
    first.enter(WorkerState.SERVING)
    assert second.any_other(WorkerState.SERVING)
    assert not first.any_other(WorkerState.SERVING)
    assert not second.any_other(WorkerState.STARTING)


def test_a_place_that_is_given_back_is_nobodys() -> None:
    table = WorkerTable()
    first, second = table.take(), table.take()
    first.enter(WorkerState.SERVING)
    table.give_back(first)
    assert not any(second.any_other(state) for state in WorkerState)
    assert table.take().slot.index == first.slot.index


def test_a_fork_sees_what_happens_later() -> None:
    table = WorkerTable()
    parents, childs = table.take(), table.take()
    pid = os.fork()
    if not pid:
        childs.enter(WorkerState.LEAVING)
        os._exit(0)
    os.waitpid(pid, 0)
    assert parents.any_other(WorkerState.LEAVING)
