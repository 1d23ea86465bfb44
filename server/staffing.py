"""Which worker is to be started next, and which one may go: decisions without processes.

There are as many places as workers wanted. Which worker fills a place, and which one should, is all
that a reload, a tired worker and a change of their number come down to. Every turn of the
supervisor's loop looks at the table of children afresh and asks what is to be done, so that no order
of events has to be foreseen: a worker that dies during a reload leaves an empty place, and empty
places are filled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from aserve.children import Child, Children
from aserve.generation import Generation
from aserve.lifecycle import ChildState

STABLE_AFTER: Final = 10.0
"""Seconds of service after which the end of a worker is an accident and not a crash loop."""

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
"""Seconds between two attempts to fill a place; the delay doubles from one failure to the next."""


@dataclass(slots=True)
class Place:
    """A place for a worker, and how those who filled it have fared."""

    number: int
    failures: int = 0
    """Workers in a row that ended young."""
    not_before: float = -math.inf
    """When the next one may be started (monotonic seconds)."""


class Start(NamedTuple):
    """Decision: start a worker of `generation` at `place`."""

    place: Place
    generation: Generation


class Release(NamedTuple):
    """Decision: `child` has a successor and may drain."""

    child: Child


Decision: TypeAlias = Start | Release


class Staffing:
    """The places, the generation that fills them, and the one that is about to.

    Arguments: `generation` is the first one.
    """

    def __init__(self, generation: Generation) -> None:
        self.current = generation
        """What the workers in service run with."""
        self.coming: Generation | None = None
        """What a reload is replacing them with."""
        self.replaced = False
        """Has every place a ready worker of that? Then there is no way back."""
        self.count = generation.settings.workers
        """How many workers are wanted now."""
        self._count_before = self.count  # the reload
        self._places: dict[int, Place] = {}
        self._last_number = generation.number

    @property
    def places(self) -> list[Place]:
        """The places to be filled."""
        return [self._place(number) for number in range(self.count)]

    # -- what is wanted -----------------------------------------------------------------------

    def next_number(self) -> int:
        """Return the number for a new generation. It is used up, whatever becomes of that."""
        self._last_number += 1
        return self._last_number

    def reload(self, generation: Generation) -> None:
        """Begin to replace every worker by one of `generation`, and have as many as its settings say."""
        self.coming = generation
        self.replaced = False
        self._count_before, self.count = self.count, generation.settings.workers
        for place in self._places.values():  # new code is not to pay for the failures of the old
            place.failures, place.not_before = 0, -math.inf

    def abandon(self) -> None:
        """Give the reload up. Workers that it has replaced stay, as do those that it has not."""
        self.coming = None
        self.count = self._count_before

    def finish(self) -> Generation:
        """End a reload that has replaced every worker; return the generation in service."""
        if self.coming is not None:
            self.current, self.coming = self.coming, None
        return self.current

    def change(self, by: int) -> bool:
        """Want `by` workers more, or less if negative, but one at least; return whether that is a change.

        It holds until the next reload; an abandoned one does not end it.
        """
        self._count_before = max(1, self._count_before + by)
        before, self.count = self.count, max(1, self.count + by)
        return self.count != before

    def rest(self) -> None:
        """Want no workers, until there is a reload or a change."""
        self.count = self._count_before = 0

    # -- decisions ----------------------------------------------------------------------------

    def decide(self, children: Children, now: float) -> Iterator[Decision]:
        """Yield what is to be done now. The caller does each thing before it asks for the next.

        One worker is replaced at a time, so that memory for one more is needed; a place that is
        empty is filled at once, or when its delay is over. Who has no place any more may go, but
        during a reload only when that has succeeded for all others.
        """
        generation = self.coming or self.current
        self.replaced = self.replaced or self._all_fresh(children)
        for place in self.places:
            serving = children.serving(place.number)
            stale = [child for child in serving if self._is_stale(child)]
            fresh = [child for child in serving if child not in stale]
            if any(child.state is ChildState.READY for child in fresh):
                for child in stale:
                    yield Release(child)
            elif not serving:
                if now >= place.not_before:
                    yield Start(place, generation)
            elif not fresh and children.all_ready() and self._may_replace(place, children, now):
                yield Start(place, generation)
        if self.coming is None or self.replaced:
            for child in children:
                if child.serving and child.number >= self.count:
                    yield Release(child)

    def staffed(self, children: Children) -> bool:
        """Has every place a worker of the generation that it should have, ready, and no older one?

        Nor may an older one still take connections that has been told to stop: when a reload is
        complete, every new connection gets new code.
        """
        wanted = (self.coming or self.current).number
        if any(child.accepting and child.generation.number < wanted for child in children):
            return False
        return all(
            any(
                child.state is ChildState.READY and child.generation.number >= wanted
                for child in children.serving(place.number)
            )
            for place in self.places
        )

    def next_start(self, children: Children, now: float) -> float:
        """Return when `decide` will next have a place to fill that waits for its delay, or infinity."""
        times = [math.inf]
        for place in self.places:
            serving = children.serving(place.number)
            if not serving or (place.not_before > now and all(child.tired for child in serving)):
                times.append(place.not_before)
        return min(times)

    def possible(self) -> list[Generation]:
        """Return the generations that workers may still be started of."""
        if self.coming is None:
            return [self.current]
        return [self.coming] if self.replaced else [self.current, self.coming]

    def _all_fresh(self, children: Children) -> bool:
        return self.coming is not None and all(
            any(
                child.generation is self.coming and child.state is ChildState.READY
                for child in children.serving(place.number)
            )
            for place in self.places
        )

    def _is_stale(self, child: Child) -> bool:
        """Should somebody else be in its place? During a reload each is replaced once, tired or not."""
        if self.coming is not None:
            return child.generation.number < self.coming.number
        return child.generation.number < self.current.number or bool(child.tired)

    def _may_replace(self, place: Place, children: Children, now: float) -> bool:
        if self.coming is not None:
            return True
        # Only when the one before has ended: what tires workers is mostly memory.
        leaving = any(child.tired and child.state is ChildState.DRAINING for child in children)
        return now >= place.not_before and not leaving

    # -- failures -----------------------------------------------------------------------------

    def settle(self, number: int, served: float, now: float) -> float:
        """Take note that a worker at place `number` has ended, or wants to, without being told to.

        Arguments: `served` is for how many seconds it was ready (0: never), `now` the monotonic
        time. Returns the seconds until the place is filled again: none after a long service or
        the first failure.
        """
        place = self._place(number)
        place.failures = 0 if served >= STABLE_AFTER else place.failures + 1
        delay = 0.0
        if place.failures > 1 or (place.failures and served <= 0):
            delay = min(FIRST_DELAY * 2.0 ** min(place.failures - 1, 10), LONGEST_DELAY)
        place.not_before = now + delay
        return delay

    def not_before(self, number: int) -> float:
        """Return when place `number` may be filled again, after failures (monotonic seconds)."""
        return self._place(number).not_before

    def _place(self, number: int) -> Place:
        return self._places.setdefault(number, Place(number))
