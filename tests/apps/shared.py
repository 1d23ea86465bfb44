"""What the test applications share: a journal that tests read and write, and a planned exception.

The journal is how a test and an application wait for each other without sleeping for luck: an
application notes what happened to it (`closed-KEY`), or waits until the test notes something
(`go-KEY`). Every application has two routes for it: `GET /journal/NAME?count=N` waits for N notes
and returns them all, `POST /journal/NAME` adds one. It lives in one process: one worker.
"""

from __future__ import annotations

import asyncio
import threading
import time

PATIENCE = 10.0
"""Seconds after which a wait ends, with whatever there is."""


class DeliberateError(Exception):
    """Raised on purpose; a traceback that says `deliberate` is one that a test asked for."""

    def __init__(self, what: str) -> None:
        super().__init__(f"deliberate: {what}")


class Journal:
    """Named lists of notes, for threads and coroutines alike."""

    def __init__(self) -> None:
        self._notes: dict[str, list[str]] = {}
        self._changed = threading.Condition()

    def note(self, name: str, value: str = "") -> None:
        """Add a note."""
        with self._changed:
            self._notes.setdefault(name, []).append(value)
            self._changed.notify_all()

    def notes(self, name: str) -> list[str]:
        """Return the notes there are."""
        with self._changed:
            return list(self._notes.get(name, ()))

    def wait(self, name: str, count: int = 1) -> list[str]:
        """Return the notes once there are `count`, blocking the thread."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._notes.get(name, ())) >= count, PATIENCE)
            return list(self._notes.get(name, ()))

    async def wait_async(self, name: str, count: int = 1) -> list[str]:
        """Return the notes once there are `count`."""
        deadline = time.monotonic() + PATIENCE
        while len(self.notes(name)) < count and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        return self.notes(name)


journal = Journal()


def block(size: int, number: int = 0) -> bytes:
    """Return `size` bytes that tell where they belong: wrong order or loss changes the hash."""
    unit = b"%08d" % number
    return (unit * (size // len(unit) + 1))[:size]
