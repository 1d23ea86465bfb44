"""What leaves together, at the end of a turn of the loop."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, Protocol

# Seconds for which complete responses may wait for others.
SPAN: Final = 0.001
# When an application has kept the loop for longer than twice that, no response waits for this many times of
# what was too much: so that is what happens to responses in one part in so many of the time, at most.
_PAUSE: Final = 50


class Holder(Protocol):
    """Who does not send everything at once: more may come that can leave together with it."""

    def flush(self) -> None:
        """Send what is held, if that has not happened yet."""


class Outbox:
    """What a group's connections hold back for a moment.

    Messages wait for others of the same connection, and complete responses for those of other connections:
    written one behind the other they cost the system much less than each between two requests, and
    their clients are not put to sleep and woken for each. They only do so in turns with several requests,
    and while applications are quick, before their responses and behind them. Every turn with requests is
    watched for that: who blocks the loop now and then has all responses sent at once.

    open: complete responses are to be held. until: when those which are have waited for long enough.
    """

    __slots__ = ("_begun", "_due", "_held", "_loop", "_since", "_until_open", "open", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: list[Holder] = []
        self._due = False  # the loop will call `flush`
        self._begun = False  # this turn has had a request
        self._since = 0.0  # when the clock was looked at last
        self._until_open = 0.0
        self.open = False
        self.until = 0.0

    def hold(self, holder: Holder) -> None:
        """Have `holder.flush()` called at the end of this turn, or soon."""
        self._held.append(holder)
        self._see_to_it()

    def begin(self) -> None:
        """Hold complete responses until the turn's end, if this is not its first request.

        To be called when an application gets a request; while this is open, only `until` being over matters.
        """
        now = monotonic()
        if not self._begun:
            self._begun = True
            self._since = now
            self._see_to_it()
            return
        if self.open:
            if now <= self.until:
                return
            self._send()
        quick = self._look(now)
        self.open = quick and now >= self._until_open
        self.until = now + SPAN

    def begin_batch(self, size: int) -> None:
        """Hold complete responses until the caller calls `flush`, if `size` requests are several."""
        self._begun = True
        self._since = now = monotonic()
        self.open = size > 1 and now >= self._until_open
        self.until = now + SPAN

    def flush(self) -> None:
        """Send what is held."""
        self._due = self.open = False
        if self._begun:
            self._begun = False
            self._look(monotonic())
        self._send()

    def _see_to_it(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self.flush)

    def _look(self, now: float) -> bool:
        """Has the loop been free in time since the last look?"""
        late = now - self._since - SPAN
        self._since = now
        if late <= SPAN:
            return True
        self._until_open = max(self._until_open, now + _PAUSE * late)
        return False

    def _send(self) -> None:
        held, self._held = self._held, []
        for holder in held:
            holder.flush()
