"""Who is worked on and who is not, under a clock of our own."""

from __future__ import annotations

import random
from collections import deque
from math import inf

import pytest

from aserve.adapters.shedding import INTERVAL, Shedding


def look(shedding: Shedding, now: float, *waits: float, empty: bool = False) -> float:
    for wait in waits:
        shedding.note(wait)
    shedding.look(now, empty)
    return shedding.patience


def test_patience_is_the_timeout_at_first() -> None:
    assert Shedding(3.0).patience == 3.0
    assert Shedding(0.0).patience == inf
    assert not Shedding(0.0).needed
    assert Shedding(0.0, 0.5).needed
    assert Shedding(3.0, 0.0).needed


def test_the_target_is_a_share_of_the_timeout() -> None:
    assert Shedding(3.0).target == pytest.approx(0.3)
    assert Shedding(3.0, 0.1).target == 0.1


def test_everybody_late_for_an_interval_is_overload() -> None:
    shedding = Shedding(10.0, 1.0)
    shedding.begin(100.0)
    assert look(shedding, 104.9, 1.5, 3.0) == 10.0, "the interval is not over"
    assert look(shedding, 105.0, 1.1) == 2.0
    assert shedding.overloaded


def test_one_quick_request_is_enough_to_go_on() -> None:
    shedding = Shedding(10.0, 1.0)
    shedding.begin(100.0)
    assert look(shedding, 105.0, 9.0, 0.9, 9.0) == 10.0
    assert look(shedding, 110.0, 1.1) == 2.0, "the quick one belongs to the interval before"
    assert look(shedding, 115.0, 1.5, 0.2) == 2.0, "who comes after those turned away is quick"
    assert look(shedding, 120.0, 1.5) == 2.0
    assert look(shedding, 125.0, 0.2) == 2.0
    assert look(shedding, 130.0, 0.2) == 10.0
    assert not shedding.overloaded


def test_nobody_begun_decides_nothing_unless_nobody_waits() -> None:
    shedding = Shedding(10.0, 1.0)
    shedding.begin(0.0)
    assert look(shedding, 5.0, 4.0) == 2.0
    assert look(shedding, 10.0) == 2.0, "all threads may be stuck"
    look(shedding, 10.1, empty=True)
    assert look(shedding, 15.1, empty=True) == 10.0


def test_a_burst_that_ends_within_the_interval_is_served() -> None:
    shedding = Shedding(10.0, 1.0)
    shedding.begin(0.0)
    assert look(shedding, 4.0, 3.9, empty=True) == 10.0
    shedding.begin(50.0)  # the next one, much later
    assert look(shedding, 54.0, 3.9, empty=True) == 10.0


def test_without_a_target_nothing_is_shed() -> None:
    shedding = Shedding(10.0, 0.0)
    shedding.begin(0.0)
    assert look(shedding, 1e9, 9.0) == 10.0


class Simulation:
    """A queue before places that need `work` seconds for a request, on a clock of its own.

    served: when each request was begun, and how long it had waited.
    """

    def __init__(self, shedding: Shedding, places: int, work: float) -> None:
        self.shedding = shedding
        self.free_at = [0.0] * places
        self.work = work
        self.served: list[tuple[float, float]] = []
        self.shed = 0

    def run(self, rate: float, seconds: float, seed: int) -> None:
        """Requests arrive at random, `rate` a second, for so long."""
        chance = random.Random(seed)
        arrivals: deque[float] = deque()
        now = 0.0
        while (now := now + chance.expovariate(rate)) < seconds:
            arrivals.append(now)
        looked = 0.0
        self.shedding.begin(0.0)
        while arrivals:
            place = min(range(len(self.free_at)), key=self.free_at.__getitem__)
            begin = max(self.free_at[place], arrivals[0])
            while looked + self.shedding.step < begin:
                looked += self.shedding.step
                self.shedding.look(looked, arrivals[0] > looked)
            wait = begin - arrivals.popleft()
            self.shedding.note(wait)
            if wait > self.shedding.patience:
                self.shed += 1
            else:
                self.served.append((begin, wait))
                self.free_at[place] = begin + self.work


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_three_times_the_capacity(seed: int) -> None:
    """Goodput stays within 90 % of what the places can do, and who is served was served soon."""
    places, work, seconds, target = 4, 0.05, 60.0, 0.1
    capacity = places / work
    simulation = Simulation(Shedding(1.0, target), places, work)
    simulation.run(3 * capacity, seconds, seed)
    assert len(simulation.served) > 0.9 * capacity * seconds
    assert simulation.shed > 1.8 * capacity * seconds
    assert max(wait for begin, wait in simulation.served if begin > 3 * INTERVAL * target) <= 2 * target
    assert max(wait for _, wait in simulation.served) <= 1.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_below_the_capacity_nobody_is_turned_away(seed: int) -> None:
    simulation = Simulation(Shedding(1.0, 0.1), 4, 0.05)
    simulation.run(0.7 * 4 / 0.05, 60.0, seed)
    assert simulation.shed == 0


def test_load_that_goes_down_ends_it() -> None:
    shedding = Shedding(1.0, 0.1)
    Simulation(shedding, 4, 0.05).run(240, 10.0, 1)
    assert shedding.overloaded
    Simulation(shedding, 4, 0.05).run(40, 10.0, 1)
    assert not shedding.overloaded
