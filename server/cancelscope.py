"""A part of a task that can be broken off: at a deadline, or when somebody says so."""

from __future__ import annotations

import asyncio
import math
from types import TracebackType


class CancelScope:
    """What is awaited in its block is cancelled once; the task then goes on behind the block.

    In difference to `asyncio.timeout` it can be cancelled by hand, and at any time: before the block, which
    is left at its first wait then, and after it, which has no effect. anyio's scope, which can do more, is
    only used inside other programs: to import it takes as long as an eighth of a server's start.
    """

    __slots__ = ("_cancelled", "_timeout", "cancelled_caught", "deadline")

    def __init__(self) -> None:
        self._cancelled = False
        self._timeout: asyncio.Timeout | None = None
        self.deadline = math.inf
        """When it is cancelled by itself (seconds of the loop's clock); set it before the block."""
        self.cancelled_caught = False
        """Was the block left because of this scope?"""

    def cancel(self) -> None:
        """Break the block off."""
        self._cancelled = True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(-math.inf)

    async def __aenter__(self) -> None:
        deadline = None if self.deadline == math.inf else self.deadline
        self._timeout = asyncio.timeout_at(-math.inf if self._cancelled else deadline)
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        assert self._timeout is not None
        timeout, self._timeout = self._timeout, None
        try:
            await timeout.__aexit__(kind, error, traceback)
        except TimeoutError:  # its own: one out of the block is not raised here
            self.cancelled_caught = True
        return self.cancelled_caught
