"""Which worker is started, which may go (server/staffing.py): decisions on made-up tables."""

from __future__ import annotations

import dataclasses
import math

import pytest

from aserve.children import Child, Children
from aserve.generation import Generation
from aserve.lifecycle import ChildState
from aserve.options import Settings
from aserve.staffing import FIRST_DELAY, LONGEST_DELAY, STABLE_AFTER, Release, Staffing, Start
from tests.server.test_children import make_child

NOW = 1000.0


class Company:
    """A staffing with a table of children, in which what is decided is done."""

    def __init__(self, workers: int) -> None:
        self.staffing = Staffing(Generation(1, Settings(app="main:app", workers=workers)))
        self.children = Children()
        self._last_pid = 0

    def decide(self, now: float = NOW) -> list[str]:
        """Let everything be decided and done; return it as `start 0 gen 1` and `release 0 gen 1`."""
        done = []
        for decision in self.staffing.decide(self.children, now):
            match decision:
                case Start(place, generation):
                    self._last_pid += 1
                    self.children.add(make_child(place.number, generation, self._last_pid))
                    done.append(f"start {place.number} gen {generation.number}")
                case Release(child):
                    child.dismiss(math.inf)
                    child.accepting = False
                    done.append(f"release {child.number} gen {child.generation.number}")
        return done

    def child(self, number: int, generation: int) -> Child:
        """Return the youngest child of that place and generation."""
        wanted = (number, generation)
        return [each for each in self.children if (each.number, each.generation.number) == wanted][-1]

    def ready(self, number: int, generation: int = 1) -> None:
        self.child(number, generation).move(ChildState.READY)
        self.child(number, generation).accepting = True

    def gone(self, number: int, generation: int = 1) -> None:
        self.children.remove(self.child(number, generation))

    def reload(self, workers: int | None = None) -> None:
        settings = self.staffing.current.settings
        if workers is not None:
            settings = dataclasses.replace(settings, workers=workers)
        self.staffing.reload(Generation(self.staffing.next_number(), settings))

    @property
    def staffed(self) -> bool:
        return self.staffing.staffed(self.children)


@pytest.fixture
def two() -> Company:
    """Two workers of generation 1 that are ready."""
    company = Company(2)
    company.decide()
    company.ready(0)
    company.ready(1)
    return company


def test_the_first_workers_start_all_at_once() -> None:
    company = Company(3)
    assert company.decide() == ["start 0 gen 1", "start 1 gen 1", "start 2 gen 1"]
    assert company.decide() == []
    company.ready(0)
    company.ready(1)
    assert not company.staffed
    company.ready(2)
    assert company.staffed
    assert company.decide() == []


def test_an_empty_place_is_filled(two: Company) -> None:
    two.gone(1)
    assert not two.staffed
    assert two.decide() == ["start 1 gen 1"]
    two.ready(1)
    assert two.staffed


@pytest.mark.parametrize("state", [ChildState.DRAINING, ChildState.ABORTING, ChildState.KILLED])
def test_one_that_does_not_serve_any_more_leaves_its_place_empty(two: Company, state: ChildState) -> None:
    two.child(0, 1).move(state)
    assert two.decide() == ["start 0 gen 1"]


def test_a_reload_replaces_one_worker_after_the_other(two: Company) -> None:
    two.reload()
    assert not two.staffed
    assert two.decide() == ["start 0 gen 2"]
    assert two.decide() == []
    two.ready(0, 2)
    assert two.decide() == ["release 0 gen 1", "start 1 gen 2"]
    assert not two.staffed
    two.ready(1, 2)
    assert two.decide() == ["release 1 gen 1"]
    assert two.staffed
    assert two.staffing.finish().number == 2
    assert two.decide() == []


def test_a_reload_is_not_complete_while_an_old_worker_takes_connections(two: Company) -> None:
    two.reload()
    for number in (0, 1):
        two.decide()
        two.ready(number, 2)
    two.decide()
    assert two.staffed
    two.child(1, 1).accepting = True  # it has not answered yet
    assert not two.staffed


def test_an_old_worker_that_is_not_ready_yet_is_waited_for(two: Company) -> None:
    two.gone(1)
    two.decide()
    two.reload()
    assert two.decide() == []
    two.ready(1, 1)
    assert two.decide() == ["start 0 gen 2"]


def test_an_old_worker_that_dies_during_a_reload_is_replaced_by_a_new_one_at_once(two: Company) -> None:
    two.reload()
    two.decide()
    two.gone(1)
    assert two.decide() == ["start 1 gen 2"]
    two.ready(0, 2)
    two.ready(1, 2)
    assert two.decide() == ["release 0 gen 1"]
    assert two.staffed


def test_the_old_worker_of_a_place_dies_while_its_successor_boots(two: Company) -> None:
    two.reload()
    two.decide()
    two.gone(0)
    assert two.decide() == []
    two.ready(0, 2)
    assert two.decide() == ["start 1 gen 2"]


def test_an_abandoned_reload_leaves_the_old_workers(two: Company) -> None:
    two.reload()
    two.decide()
    two.gone(0, 2)
    two.staffing.abandon()
    assert two.staffed
    assert two.decide() == []
    two.gone(0)
    assert two.decide() == ["start 0 gen 1"]


def test_a_reload_that_is_abandoned_half_way_keeps_what_it_has_replaced(two: Company) -> None:
    two.reload()
    two.decide()
    two.ready(0, 2)
    two.decide()
    two.gone(1, 2)
    two.staffing.abandon()
    assert two.staffed
    assert two.decide() == []


def test_a_reload_after_an_abandoned_one_has_a_number_of_its_own(two: Company) -> None:
    two.reload()
    two.decide()
    two.gone(0, 2)
    two.staffing.abandon()
    two.reload()
    assert two.decide() == ["start 0 gen 3"]


def test_a_worker_that_ends_after_long_service_is_replaced_at_once(two: Company) -> None:
    assert two.staffing.settle(0, STABLE_AFTER, NOW) == 0.0
    two.gone(0)
    assert two.decide() == ["start 0 gen 1"]


def test_delays_grow_for_workers_that_end_young_and_end_with_a_stable_one(two: Company) -> None:
    delays = [two.staffing.settle(0, 1.0, NOW) for _ in range(10)]
    assert delays[:4] == [0.0, 2 * FIRST_DELAY, 4 * FIRST_DELAY, 8 * FIRST_DELAY]
    assert delays[-1] == LONGEST_DELAY
    assert two.staffing.settle(0, STABLE_AFTER, NOW) == 0.0
    assert two.staffing.settle(0, 1.0, NOW) == 0.0


def test_a_worker_that_never_was_ready_is_not_tried_again_at_once(two: Company) -> None:
    delays = [two.staffing.settle(0, 0.0, NOW) for _ in range(3)]
    assert delays == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY]


def test_a_reload_begins_without_the_old_failures(two: Company) -> None:
    for _ in range(5):
        two.staffing.settle(0, 0.0, NOW)
    two.gone(0)
    assert two.decide() == []
    two.reload()
    assert two.decide() == ["start 0 gen 2"]
    assert two.staffing.settle(0, 0.0, NOW) == FIRST_DELAY


def test_a_thousand_failures_do_not_overflow(two: Company) -> None:
    for _ in range(2000):
        assert two.staffing.settle(0, 0.0, NOW) <= LONGEST_DELAY


def test_a_place_waits_for_its_delay_and_others_do_not(two: Company) -> None:
    two.staffing.settle(0, 0.0, NOW)
    two.gone(0)
    two.gone(1)
    assert two.decide(NOW) == ["start 1 gen 1"]
    assert two.staffing.next_start(two.children, NOW) == NOW + FIRST_DELAY
    assert two.decide(NOW + FIRST_DELAY - 0.01) == []
    assert two.decide(NOW + FIRST_DELAY) == ["start 0 gen 1"]
    assert two.staffing.next_start(two.children, NOW) == math.inf


# -- how many ---------------------------------------------------------------------------------


def test_one_more_and_one_less(two: Company) -> None:
    assert two.staffing.change(+1)
    assert two.decide() == ["start 2 gen 1"]
    two.ready(2)
    assert two.staffing.change(-1) and two.staffing.change(-1)
    assert two.decide() == ["release 1 gen 1", "release 2 gen 1"]
    assert not two.staffing.change(-1), "the last one stays"
    assert two.decide() == []


def test_none_and_back(two: Company) -> None:
    two.staffing.rest()
    assert two.decide() == ["release 0 gen 1", "release 1 gen 1"]
    assert two.staffed
    assert two.staffing.change(+1)
    assert two.decide() == ["start 0 gen 1"]


def test_none_and_back_by_a_reload(two: Company) -> None:
    two.staffing.rest()
    two.decide()
    two.reload()
    assert two.decide() == ["start 0 gen 2", "start 1 gen 2"]
    two.gone(0, 2)
    two.staffing.abandon()
    assert two.decide() == ["release 1 gen 2"], "there were none before"


def test_a_reload_with_more_workers(two: Company) -> None:
    two.reload(workers=3)
    assert two.decide() == ["start 0 gen 2", "start 2 gen 2"]
    two.ready(2, 2)
    two.ready(0, 2)
    assert two.decide() == ["release 0 gen 1", "start 1 gen 2"]
    two.ready(1, 2)
    assert two.decide() == ["release 1 gen 1"]
    assert two.staffed


def test_a_reload_with_more_workers_that_is_abandoned(two: Company) -> None:
    two.reload(workers=3)
    two.decide()
    two.gone(0, 2)
    two.staffing.abandon()
    assert two.decide() == ["release 2 gen 2"]


def test_a_reload_with_fewer_workers(two: Company) -> None:
    two.reload(workers=1)
    assert two.decide() == ["start 0 gen 2"]
    two.ready(0, 2)
    assert two.decide() == ["release 0 gen 1", "release 1 gen 1"]
    assert two.staffed


def test_a_reload_with_fewer_workers_that_is_abandoned(two: Company) -> None:
    two.reload(workers=1)
    two.decide()
    two.gone(0, 2)
    two.staffing.abandon()
    assert two.decide() == []
    assert two.staffing.count == 2


def test_what_is_changed_during_a_reload_outlives_its_end(two: Company) -> None:
    two.reload()
    two.decide()
    two.staffing.change(+1)
    assert two.decide() == ["start 2 gen 2"]
    two.staffing.abandon()
    assert two.staffing.count == 3


def test_there_is_no_way_back_when_everybody_has_a_successor(two: Company) -> None:
    first = two.staffing.current
    two.reload()
    second = two.staffing.coming
    two.decide()
    assert two.staffing.possible() == [first, second]
    two.ready(0, 2)
    two.decide()
    assert not two.staffing.replaced
    two.ready(1, 2)
    two.decide()
    assert two.staffing.replaced
    assert two.staffing.possible() == [second]
    two.gone(0, 2)
    two.decide()
    assert two.staffing.replaced, "it dies, and is replaced like any other"


# -- tired workers ----------------------------------------------------------------------------


def test_a_tired_worker_is_replaced_before_it_goes(two: Company) -> None:
    tired = two.child(0, 1)
    tired.tired = "old"
    assert two.decide() == ["start 0 gen 1"]
    assert two.decide() == []
    two.ready(0)
    assert two.decide() == ["release 0 gen 1"]
    assert tired.state is ChildState.DRAINING
    assert two.staffed


def test_tired_workers_take_turns_until_each_has_ended(two: Company) -> None:
    first, second = two.child(0, 1), two.child(1, 1)
    first.tired = second.tired = "old"
    assert two.decide() == ["start 0 gen 1"]
    two.ready(0)
    assert two.decide() == ["release 0 gen 1"]
    assert two.decide() == [], "it has not ended yet"
    two.children.remove(first)
    assert two.decide() == ["start 1 gen 1"]


def test_a_reload_comes_before_tired_workers(two: Company) -> None:
    two.reload()
    two.child(1, 1).tired = "old"
    assert two.decide() == ["start 0 gen 2"]
    two.ready(0, 2)
    two.child(0, 2).tired = "too"
    assert two.decide() == ["release 0 gen 1", "start 1 gen 2"]
    two.ready(1, 2)
    assert two.decide() == ["release 1 gen 1"]
    two.staffing.finish()
    two.gone(0, 1)
    two.gone(1, 1)
    assert two.decide() == ["start 0 gen 2"], "now it is replaced as well"


def test_a_successor_that_does_not_come_up_is_tried_again_later(two: Company) -> None:
    two.child(0, 1).tired = "old"
    two.decide()
    two.children.remove(two.child(0, 1))  # the successor
    two.staffing.settle(0, 0.0, NOW)
    assert two.decide() == []
    assert two.staffing.next_start(two.children, NOW) == NOW + FIRST_DELAY
    assert two.decide(NOW + FIRST_DELAY) == ["start 0 gen 1"]
    assert two.staffing.next_start(two.children, NOW + FIRST_DELAY) == math.inf


def test_a_tired_worker_that_has_to_wait_does_not_keep_the_supervisor_busy(two: Company) -> None:
    two.child(0, 1).tired = two.child(1, 1).tired = "old"
    two.decide()
    assert two.staffing.next_start(two.children, NOW) == math.inf
