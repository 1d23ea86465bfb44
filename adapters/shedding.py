"""How long a request may wait for the application, under load and under more than that.

The idea is CoDel's (RFC 8289): a queue that empties now and then only evens out the load, however long it is
at times; one in which every request of an interval has waited only makes all of them late. So what
counts is the least wait within an interval. While that is above the target, a request that has waited twice
the target is not worked on any more, which keeps those quick that are.
"""

from __future__ import annotations

from math import inf
from typing import Final

INTERVAL: Final = 5
"""Targets in an interval: as long as a burst may last."""

CALM: Final = 2
"""Intervals with a quick request in them until the overload counts as over: the first who is begun after many
have been turned away was quick because of that."""

SHARE: Final = 0.1
"""The target, if it is not given, as a share of the timeout."""


class Shedding:
    """Decides from waits; all times are in seconds, of one and the same clock.

    timeout: a request may never wait longer, 0 for no limit. target: what every wait may become under
    overload, None for a share of the timeout, 0 for no shedding.
    least: the shortest wait of the interval, so far. patience: how long a request may have waited and
    still be worked on, at present.
    """

    __slots__ = ("_calm", "_end", "_interval", "_short", "_timeout", "least", "patience", "target")

    def __init__(self, timeout: float, target: float | None = None) -> None:
        self._timeout = timeout or inf
        if target is None:
            target = SHARE * timeout
        self.target = target or inf
        self._short = min(self._timeout, 2 * self.target)
        self._interval = INTERVAL * self.target
        self.least = inf
        self._end = 0.0
        self._calm = 0
        self.patience = self._timeout

    @property
    def needed(self) -> bool:
        """Is there any limit?"""
        return self._short != inf

    @property
    def overloaded(self) -> bool:
        """Has everybody waited for too long?"""
        return self.patience < self._timeout

    @property
    def step(self) -> float:
        """Seconds after which those that wait should be looked at again."""
        return self._short / 4

    def note(self, wait: float) -> None:
        """A request that has waited so long is begun, or turned away.

        May be called from any thread: if two of them are here at once, one of the waits may be missed.
        """
        if wait < self.least:
            self.least = wait

    def begin(self, now: float) -> None:
        """The first request for some time waits: an interval begins."""
        self.least = inf
        self._end = now + self._interval

    def look(self, now: float, empty: bool) -> None:
        """Decide anew if the interval is over. To be called every `step`; empty: nobody waits."""
        if now < self._end or (self.least == inf and not empty):
            return  # nobody was begun, so there is nothing to decide by
        if self.target < self.least < inf:
            self.patience = self._short
            self._calm = 0
        else:
            self._calm += 1
            if self._calm >= CALM:
                self.patience = self._timeout
        self.begin(now)
