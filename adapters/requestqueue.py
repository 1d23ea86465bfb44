"""Requests that wait until an application has time for them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from aserve.adapters.shedding import Shedding

if TYPE_CHECKING:
    from aserve.adapters.waiting import WaitingExchange


class RequestQueue:
    """A queue that is bounded, in number and in time.

    Everything is the loop's business but `take` and what `shedding` allows: a single operation of a
    deque is never seen by halves.
    waiting: those in it. limit: how many may wait, 0 for any number. shedding: for how long.
    begun, waited: how many have been worked on, and the seconds that they have waited, in all.
    declined: how many were answered with 503 instead.
    """

    __slots__ = ("begun", "declined", "limit", "shedding", "take", "waited", "waiting")

    def __init__(self, limit: int, shedding: Shedding) -> None:
        self.limit = limit
        self.shedding = shedding
        self.waiting: deque[WaitingExchange] = deque()
        self.take = self.waiting.popleft
        """Take the next one; raises IndexError if there is none."""
        self.begun = 0
        self.waited = 0.0
        self.declined = 0

    def __len__(self) -> int:
        return len(self.waiting)

    def remove(self, exchange: WaitingExchange) -> bool:
        """Take `exchange` out; False if somebody else has."""
        try:
            self.waiting.remove(exchange)
        except (ValueError, IndexError):  # the second: another one was taken meanwhile
            return False
        return True

    def expired(self, now: float) -> list[WaitingExchange]:
        """Take out those that have waited for too long, `now` being the time."""
        waiting = self.waiting
        shedding = self.shedding
        late = []
        while waiting and now - waiting[0].queued > shedding.patience:
            try:
                exchange = waiting.popleft()
            except IndexError:  # it was just taken
                break
            if now - exchange.queued <= shedding.patience:
                waiting.appendleft(exchange)  # it was the one behind
                break
            shedding.note(now - exchange.queued)
            late.append(exchange)
        return late
