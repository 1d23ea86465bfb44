"""What leaves together, at the end of a turn of the loop."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, Protocol

# Seconds for which complete responses may wait for others, and how often that may be exceeded.
SPAN: Final = 0.001
_LATE: Final = 2 * SPAN
# When one has waited for longer, none waits for that many times as long.
_PAUSE: Final = 20


class Holder(Protocol):
    """Who does not send everything at once: more may come that can leave together with it."""

    def flush(self) -> None:
        """Send what is held, if that has not happened yet."""


class Outbox:
    """What a group's connections hold back for a moment.

    A head waits for its body, messages wait for others of the same connection, and complete responses for
    those of other connections: written one behind the other they cost the system much less than each
    between two requests, and their clients are not put to sleep and woken for each. They only do so
    while applications are quick. After one that has kept others waiting they leave at once for a time.

    open: complete responses are to be held.
    """

    __slots__ = ("_due", "_held", "_loop", "_since", "_until_open", "open")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held: list[Holder] = []
        self._due = False  # the loop will call `flush`
        self._since = 0.0
        self._until_open = 0.0
        self.open = False

    def hold(self, holder: Holder) -> None:
        """Have `holder.flush()` called at the end of this turn, or soon."""
        self._held.append(holder)
        if not self._due:
            self._due = True
            self._loop.call_soon(self.flush)

    def begin(self) -> None:
        """An application gets a request: from now on complete responses are held, until the turn's end."""
        now = monotonic()
        if self.open:
            if now - self._since > SPAN:
                self._release(now)
                self._since = now
        elif now >= self._until_open:
            self.open = True
            self._since = now
            if not self._due:
                self._due = True
                self._loop.call_soon(self.flush)

    def begin_batch(self) -> None:
        """As `begin`, for who gives requests to an application and calls `flush` behind the last one."""
        self._due = True
        self.begin()

    def flush(self) -> None:
        """Send what is held."""
        self._due = False
        if self.open:
            self.open = False
            self._release(monotonic())
        else:
            self._send()

    def _release(self, now: float) -> None:
        if now - self._since > _LATE:
            self.open = False
            self._until_open = now + _PAUSE * (now - self._since)
        self._send()

    def _send(self) -> None:
        held, self._held = self._held, []
        for holder in held:
            holder.flush()
