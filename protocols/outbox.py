"""What leaves together, at the end of a turn of the loop."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, Protocol

# Seconds for which complete responses may wait for others.
SPAN: Final = 0.001
# When they have waited for more than twice as long, none waits for that many times of what was too much.
_PAUSE: Final = 20


class Holder(Protocol):
    """Who does not send everything at once: more may come that can leave together with it."""

    def flush(self) -> None:
        """Send what is held, if that has not happened yet."""


class Outbox:
    """What a group's connections hold back for a moment.

    A head waits for its body, messages wait for others of the same connection, and complete responses for
    those of other connections: written one behind the other they cost the system much less than each
    between two requests, and their clients are not put to sleep and woken for each. They only do so in
    turns with several requests, and while applications are quick (and also what these do behind their
    responses). After one that has kept others waiting all responses leave at once for a time.

    open: complete responses are to be held. until: when those which are have waited for long enough.
    """

    __slots__ = ("_due", "_held", "_loop", "_until_open", "open", "until")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: list[Holder] = []
        self._due = False  # the loop will call `flush`
        self._until_open = 0.0
        self.open = False
        self.until = 0.0

    def hold(self, holder: Holder) -> None:
        """Have `holder.flush()` called at the end of this turn, or soon."""
        self._held.append(holder)
        if not self._due:
            self._due = True
            self._loop.call_soon(self.flush)

    def begin(self) -> None:
        """Hold complete responses until the turn's end, if this is not its first request.

        To be called when an application gets a request, if this is not open or `until` is over.
        """
        if not self._due:
            self._due = True
            self._loop.call_soon(self.flush)
        else:
            self.begin_batch()

    def begin_batch(self) -> None:
        """Hold complete responses until the caller calls `flush`."""
        now = monotonic()
        if self.open:
            if now > self.until:
                self._release(now)
                self.until = now + SPAN
        elif now >= self._until_open:
            self._due = True
            self.open = True
            self.until = now + SPAN

    def flush(self) -> None:
        """Send what is held."""
        self._due = False
        if self.open:
            self.open = False
            self._release(monotonic())
        else:
            self._send()

    def _release(self, now: float) -> None:
        late = now - self.until
        if late > SPAN:
            self.open = False
            self._until_open = now + _PAUSE * late
        self._send()

    def _send(self) -> None:
        held, self._held = self._held, []
        for holder in held:
            holder.flush()
