"""What places beside the loop have in common: how they hear of work, and hand over results.

Wake-ups and changes of the interpreter lock are what a hand-over costs, so there are few: one for what
a turn of the loop has brought, and one for as many results as have gathered.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

from aserve.adapters.runner import RunnerOptions, WaitingRunner


class BatchingRunner(WaitingRunner):
    """A place that is told of work, and tells of results, in batches."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: RunnerOptions) -> None:
        super().__init__(loop, options)
        self._results: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._told = False  # the loop will look for results anyway

    def _wake(self) -> None:
        # Not at once: the loop lets go of the interpreter between two of its callbacks, and a
        # thread that is awake would take it away for each single request.
        self._woken = True
        self.loop.call_soon(self._gathered)

    def _gathered(self) -> None:
        self._woken = False
        self._set_to_work()

    @abstractmethod
    def _set_to_work(self) -> None:
        """On the loop: this turn has brought exchanges into the queue."""

    def post(self, callback: Callable[..., None], *args: Any) -> None:
        """See `WaitingRunner`."""
        self._results.append((callback, args))
        if not self._told:
            self._told = True
            self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # First the flag, then the pieces that are there: later ones wake the loop again, and a thread
        # that posts as quickly as this delivers does not keep the loop from everything else.
        self._told = False
        results = self._results
        for _ in range(len(results)):
            callback, args = results.popleft()
            try:
                callback(*args)
            except Exception as error:  # must not take the other pieces down with it
                context = {
                    "message": "what an application has posted could not be delivered",
                    "exception": error,
                }
                self.loop.call_exception_handler(context)
