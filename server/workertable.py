"""What the workers of one arbiter know of each other: gunicorn tells them nothing of that.

The memory is shared by fork, made by the arbiter before it has a worker. Each worker writes to its own place.
"""

from __future__ import annotations

import enum
import mmap
from typing import Final

from aserve.sharedpage import SLOT_COUNT, SharedPage, Slot

_NOBODY: Final = 0


class WorkerState(enum.IntEnum):
    """How far a worker is."""

    STARTING = 1
    """It loads and starts the application."""
    SERVING = 2
    """It takes connections."""
    LEAVING = 3
    """It has been told to end."""


class Place:
    """One worker's place. Arguments: `slot` is where connections are counted, `states` are those of all."""

    def __init__(self, slot: Slot, states: mmap.mmap) -> None:
        self.slot = slot
        self._states = states

    def enter(self, state: WorkerState) -> None:
        """Tell the others."""
        self._states[self.slot.index] = state

    def any_other(self, state: WorkerState) -> bool:
        """Return whether another worker is in that state."""
        own = self.slot.index
        return state in self._states[:own] or state in self._states[own + 1 :]


class WorkerTable:
    """All places of an arbiter's workers. Make it before the first fork."""

    def __init__(self) -> None:
        self._page = SharedPage()
        self._states = mmap.mmap(-1, SLOT_COUNT)

    def take(self) -> Place:
        """Return a place for a worker that is about to be forked. Raises PageFullError."""
        place = Place(self._page.take(), self._states)
        place.enter(WorkerState.STARTING)
        return place

    def give_back(self, place: Place) -> None:
        """Make the place of a worker that has ended free again."""
        self._states[place.slot.index] = _NOBODY
        self._page.give_back(place.slot)
