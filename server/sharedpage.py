"""A piece of memory that the supervisor and all workers share: heartbeats and counters.

It is an anonymous mapping, so it has no name in the file system, is inherited by fork and goes
with the last process. Every worker writes to a slot of its own and to nothing else; every number
is aligned and eight bytes wide, so that a reader never sees half of a write.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Final, NamedTuple

SLOT_COUNT: Final = 16_384
"""Slots in a page: more than there can be children. Memory is only used for what is touched."""

_FIELDS: Final = 16
_WIDTH: Final = 8
# A slot fills cache lines, so that no two workers write to the same one.
_SLOT_SIZE: Final = _FIELDS * _WIDTH

_BEAT, _REQUESTS, _CONNECTIONS, _LOAD, _TAKEN = range(5)
_QUEUED, _QUEUE_BEGUN, _QUEUE_WAIT, _QUEUE_DECLINED = range(5, 9)

# Before the first slot: how many slots have ever been in use, which is how far a reader has to look.
_USED = 0


class PageFullError(RuntimeError):
    """More children at once than the page has slots."""


class Peer(NamedTuple):
    """What workers can know of one that takes connections."""

    slot: int
    beat: float
    connections: int
    taken: int


class Slot:
    """One worker's part of the page, and its view of the others'.

    The times are seconds of `time.monotonic()`, which is the same clock in all processes of a
    machine.
    """

    __slots__ = ("_base", "_counters", "_times", "index")

    def __init__(self, index: int, times: memoryview[float], counters: memoryview[int]) -> None:
        self.index = index
        self._base = (1 + index) * _FIELDS
        self._times = times
        self._counters = counters

    @property
    def beat(self) -> float:
        """When the worker last showed that its loop runs (0.0: not yet).

        A time to come is a promise: the worker will be busy, for instance with its own end, and
        asks not to be counted as silent before.
        """
        return self._times[self._base + _BEAT]

    @beat.setter
    def beat(self, when: float) -> None:
        self._times[self._base + _BEAT] = when

    @property
    def requests(self) -> int:
        """Requests that the worker has taken so far."""
        return self._counters[self._base + _REQUESTS]

    @requests.setter
    def requests(self, count: int) -> None:
        self._counters[self._base + _REQUESTS] = count

    @property
    def connections(self) -> int:
        """Connections that the worker holds now."""
        return self._counters[self._base + _CONNECTIONS]

    @connections.setter
    def connections(self, count: int) -> None:
        self._counters[self._base + _CONNECTIONS] = count

    @property
    def taken(self) -> int:
        """Connections that the worker has accepted so far."""
        return self._counters[self._base + _TAKEN]

    @taken.setter
    def taken(self, count: int) -> None:
        self._counters[self._base + _TAKEN] = count

    def offer(self, connections: int | None) -> None:
        """Have the others know that this worker takes connections, and has so many (None: it takes none)."""
        self._counters[self._base + _LOAD] = 0 if connections is None else connections + 1

    def fewest(self) -> int:
        """Return how many connections the worker has that has the fewest of those that take some.

        This one has to be among them.
        """
        return min(filter(None, self._counters[self._column(_LOAD)].tolist())) - 1

    def peers(self) -> Iterator[Peer]:
        """Yield all workers that take connections, this one among them."""
        beats = self._times[self._column(_BEAT)].tolist()
        taken = self._counters[self._column(_TAKEN)].tolist()
        for index, load in enumerate(self._counters[self._column(_LOAD)].tolist()):
            if load:
                yield Peer(index, beats[index], load - 1, taken[index])

    def _column(self, field: int) -> slice:
        return slice(_FIELDS + field, (1 + self._counters[_USED]) * _FIELDS, _FIELDS)

    @property
    def queued(self) -> int:
        """Requests that wait for the application now (WSGI)."""
        return self._counters[self._base + _QUEUED]

    @queued.setter
    def queued(self, count: int) -> None:
        self._counters[self._base + _QUEUED] = count

    @property
    def queue_begun(self) -> int:
        """Requests that have waited so far and were then worked on."""
        return self._counters[self._base + _QUEUE_BEGUN]

    @queue_begun.setter
    def queue_begun(self, count: int) -> None:
        self._counters[self._base + _QUEUE_BEGUN] = count

    @property
    def queue_wait(self) -> int:
        """Microseconds that those have waited, in all."""
        return self._counters[self._base + _QUEUE_WAIT]

    @queue_wait.setter
    def queue_wait(self, count: int) -> None:
        self._counters[self._base + _QUEUE_WAIT] = count

    @property
    def queue_declined(self) -> int:
        """Requests that were answered with 503 instead."""
        return self._counters[self._base + _QUEUE_DECLINED]

    @queue_declined.setter
    def queue_declined(self, count: int) -> None:
        self._counters[self._base + _QUEUE_DECLINED] = count


class SharedPage:
    """The memory and its slots.

    Arguments: `slot_count` is how many children can have a slot at the same time.

    Make it before the first fork; take a slot before the fork of the child that is to have it, and
    give it back only when that child has been reaped: until then it can still write.
    """

    def __init__(self, slot_count: int = SLOT_COUNT) -> None:
        self._memory = mmap.mmap(-1, (1 + slot_count) * _SLOT_SIZE)
        view = memoryview(self._memory)
        self._bytes = view
        self._times: memoryview[float] = view.cast("d")
        self._counters: memoryview[int] = view.cast("Q")
        self._slot_count = slot_count
        # Used slots are used again first, and new ones in order: neighbours share a page of memory.
        self._free: list[int] = []
        self._untouched = 0

    def take(self) -> Slot:
        """Return a slot in which everything is zero; raise PageFullError if there is none."""
        if self._free:
            index = self._free.pop()
        elif self._untouched < self._slot_count:
            index = self._untouched
            self._untouched += 1
            self._counters[_USED] = self._untouched
        else:
            raise PageFullError(f"all {self._slot_count} slots of the shared page are in use")
        self._wipe(index)
        return Slot(index, self._times, self._counters)

    def slot(self, index: int) -> Slot:
        """Return the slot `index`, which somebody has taken, in another process."""
        return Slot(index, self._times, self._counters)

    def give_back(self, slot: Slot) -> None:
        """Make the slot of a child that has been reaped free again."""
        self._wipe(slot.index)  # who was killed has not said that it takes no connections any more
        self._free.append(slot.index)

    def _wipe(self, index: int) -> None:
        start = (1 + index) * _SLOT_SIZE
        self._bytes[start : start + _SLOT_SIZE] = bytes(_SLOT_SIZE)
