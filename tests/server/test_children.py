"""The children table (server/children.py)."""

from __future__ import annotations

import math
import signal

import pytest

from aserve.children import ABORT_GRACE, Child, Children, how_it_ended
from aserve.generation import Generation
from aserve.lifecycle import ChildState, TransitionError
from aserve.messages import Channel
from aserve.options import Settings
from aserve.sharedpage import SharedPage
from aserve.stacks import StackFile
from tests.server.conftest import Script

_PAGE = SharedPage()
_STACKS = StackFile()


def make_child(
    number: int = 0,
    generation: int | Generation = 1,
    pid: int = 0,
    *,
    state: ChildState = ChildState.BOOTING,
    timeout: float = 30.0,
) -> Child:
    """Return a child without a process."""
    ours, theirs = Channel.pair()
    theirs.close()
    ours.close()
    if isinstance(generation, int):
        generation = Generation(generation, Settings(app="main:app", timeout=timeout))
    child = Child(number, generation, pid, ours, _PAGE.take(), _STACKS, started=0.0, deadline=60.0)
    if state is not ChildState.BOOTING:
        child.move(state)
    return child


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Collect (pid, signal) instead of sending it to a process that is not there."""
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr("aserve.children.os.kill", lambda pid, number: signals.append((pid, number)))
    return signals


def test_its_name_is_the_one_of_the_log_lines() -> None:
    assert str(make_child(2, 3, 400)) == "worker=2 gen=3 pid=400"


def test_a_state_is_entered_with_its_own_deadline() -> None:
    child = make_child()
    assert (child.state, child.deadline, child.serving) == (ChildState.BOOTING, 60.0, True)
    child.move(ChildState.READY)
    assert (child.state, child.deadline, child.serving) == (ChildState.READY, math.inf, True)
    child.move(ChildState.DRAINING, 90.0)
    assert (child.state, child.deadline, child.serving) == (ChildState.DRAINING, 90.0, False)
    with pytest.raises(TransitionError):
        child.move(ChildState.READY)


def test_dismissed_twice_the_shorter_time_holds() -> None:
    child = make_child(state=ChildState.READY)
    child.dismiss(100.0)
    assert (child.state, child.deadline, child.dismissed) == (ChildState.DRAINING, 100.0, True)
    child.dismiss(50.0)
    assert child.deadline == 50.0
    child.dismiss(80.0)
    assert child.deadline == 50.0


def test_one_that_is_being_killed_has_no_deadline_any_more(sent: list[tuple[int, int]]) -> None:
    child = make_child(pid=400, state=ChildState.DRAINING)
    child.kill()
    child.dismiss(50.0)
    assert (child.state, child.deadline) == (ChildState.KILLED, math.inf)
    assert sent == [(400, signal.SIGKILL)]


def test_abort_leaves_time_for_the_stacks(sent: list[tuple[int, int]]) -> None:
    child = make_child(pid=400, state=ChildState.READY)
    child.abort(1000.0)
    assert (child.state, child.deadline) == (ChildState.ABORTING, 1000.0 + ABORT_GRACE)
    assert sent == [(400, signal.SIGABRT)]
    child.kill()
    assert sent[1:] == [(400, signal.SIGKILL)]


@pytest.mark.parametrize(
    ("state", "timeout", "forgiven", "silent_at"),
    [
        (ChildState.READY, 30.0, 0.0, 130.0),
        (ChildState.DRAINING, 30.0, 0.0, 130.0),
        (ChildState.READY, 30.0, 500.0, 530.0),
        (ChildState.READY, 0.0, 0.0, math.inf),
        (ChildState.BOOTING, 30.0, 0.0, math.inf),
        (ChildState.ABORTING, 30.0, 0.0, math.inf),
        (ChildState.KILLED, 30.0, 0.0, math.inf),
    ],
)
def test_when_a_child_counts_as_silent(
    state: ChildState, timeout: float, forgiven: float, silent_at: float
) -> None:
    child = make_child(state=state, timeout=timeout)
    child.slot.beat = 100.0
    assert child.silent_at(forgiven) == silent_at


def test_one_that_has_never_beaten_is_not_silent() -> None:
    assert make_child(state=ChildState.DRAINING).silent_at(0.0) == math.inf


def test_the_table_knows_who_fills_a_place() -> None:
    children = Children()
    old, new = make_child(0, 1, 10), make_child(0, 2, 11)
    draining, other = make_child(0, 1, 12, state=ChildState.DRAINING), make_child(1, 1, 13)
    for child in (old, new, draining, other):
        children.add(child)
    assert children.serving(0) == [old, new]
    assert children.serving(1) == [other]
    assert children.serving(2) == []
    assert len(children) == 4
    children.remove(old)
    assert children.serving(0) == [new]


def test_all_ready_means_that_nobody_boots() -> None:
    children = Children()
    assert children.all_ready()
    child = make_child(pid=10)
    children.add(child)
    assert not children.all_ready()
    child.move(ChildState.READY)
    assert children.all_ready()


def test_the_table_can_change_while_it_is_gone_through() -> None:
    children = Children()
    for pid in (1, 2, 3):
        children.add(make_child(pid=pid))
    seen = []
    for child in children:
        seen.append(child.pid)
        children.remove(child)
    assert seen == [1, 2, 3]
    assert len(children) == 0


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "status 0"),
        (1 << 8, "status 1"),
        (255 << 8, "status 255"),
        (signal.SIGKILL, "signal SIGKILL"),
        (signal.SIGABRT | 0x80, "signal SIGABRT"),  # with a core dump
        (40, "signal 40"),
        (None, "status unknown"),
    ],
)
def test_how_a_process_ended_in_words(status: int | None, words: str) -> None:
    assert how_it_ended(status) == words


def test_every_child_that_has_ended_is_collected_and_nobody_else(script: Script) -> None:
    ended = script("""
        import os, signal
        from aserve.children import Children, how_it_ended
        from tests.server.test_children import make_child

        def fork(status):
            if not (pid := os.fork()):
                if status is None:
                    signal.pause()
                os._exit(status)
            return pid

        children = Children()
        stranger = fork(0)  # not in the table
        pids = [fork(status) for status in (0, 3, None, 4)]
        for pid in pids:
            children.add(make_child(pid=pid))
        for pid in (stranger, pids[0], pids[1], pids[3]):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        found = {child.pid: how_it_ended(status) for child, status in children.reap()}
        assert found == {pids[0]: "status 0", pids[1]: "status 3", pids[3]: "status 4"}, found
        assert [child.pid for child in children] == [pids[2]]
        assert list(children.reap()) == []
        os.kill(pids[2], signal.SIGKILL)
        os.waitpid(pids[2], 0)  # behind the table's back
        ((child, status),) = children.reap()
        assert (child.pid, status) == (pids[2], None)
        assert len(children) == 0
        assert os.waitpid(stranger, 0) == (stranger, 0)
        """)
    assert ended.status == 0, ended


def test_a_signal_to_a_process_that_is_gone_is_no_error(script: Script) -> None:
    ended = script("""
        import os, signal
        from tests.server.test_children import make_child

        if not (pid := os.fork()):
            os._exit(0)
        child = make_child(pid=pid)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        child.signal(signal.SIGTERM)  # a zombie
        os.waitpid(pid, 0)
        child.signal(signal.SIGTERM)
        """)
    assert ended.status == 0, ended
