"""Requests that wait until an application has time for them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aserve.adapters.waiting import WaitingExchange


class RequestQueue:
    """A queue that is bounded.

    limit: how many may wait, 0 for any number. Putting is the loop's business, taking may be
    another thread's: a single operation of a deque is never seen by halves.
    """

    __slots__ = ("limit", "take", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting: deque[WaitingExchange] = deque()
        self.take = self.waiting.popleft
        """Take the next one; raises IndexError if there is none."""

    def put(self, exchange: WaitingExchange) -> bool:
        """Put `exchange` at the end; False if there is no room for it."""
        if self.limit and len(self.waiting) >= self.limit:
            return False
        self.waiting.append(exchange)
        return True

    def __len__(self) -> int:
        return len(self.waiting)
