"""When a worker has served enough: by requests, by time, by memory. Nothing is wrong with it.

It goes on serving until its successor is ready, see staffing.py. Requests are counted by the worker
itself, which says so; time and memory are looked at from here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from typing import Final

from aserve.children import Child
from aserve.lifecycle import ChildState
from aserve.options import Settings

LOOK_INTERVAL: Final = 1.0
"""Seconds between two looks at the workers' memory."""

_MEBIBYTE: Final = 1024 * 1024


class Recycling:
    """Looks after the age and the memory of workers."""

    def __init__(self) -> None:
        self._next_look = 0.0

    def look(self, children: Iterable[Child], now: float) -> Iterator[tuple[Child, str]]:
        """Yield each worker that should be replaced, with the reason."""
        looking = now >= self._next_look
        if looking:
            self._next_look = now + LOOK_INTERVAL
        for child in children:
            if not _watched(child):
                continue
            settings = child.generation.settings
            if now >= child.tires_at:
                yield child, f"{now - child.ready_at:.0f} s in service (--max-lifetime)"
            elif looking and settings.max_rss and (size := resident(child.pid)) > settings.max_rss:
                yield child, f"{size / _MEBIBYTE:.0f} MiB resident (--max-rss)"

    def due(self, children: Iterable[Child]) -> float:
        """Return when to look next (monotonic seconds, or infinity)."""
        times = [math.inf]
        for child in filter(_watched, children):
            times.append(child.tires_at)
            if child.generation.settings.max_rss:
                times.append(self._next_look)
        return min(times)


def lifetime(settings: Settings) -> float:
    """Return for how many seconds a worker may serve: its own share of the jitter included."""
    if not settings.max_lifetime:
        return math.inf
    return settings.max_lifetime + settings.max_lifetime_jitter * _chance()


def most_requests(settings: Settings) -> float:
    """Return how many requests a worker may take, in the same way."""
    if not settings.max_requests:
        return math.inf
    return settings.max_requests + round(settings.max_requests_jitter * _chance())


def resident(pid: int) -> int:
    """Return the bytes of memory that process `pid` holds, shared ones included; 0 if that is not known."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            text = file.read()
    except OSError:
        return 0
    return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _watched(child: Child) -> bool:
    return child.is_worker and child.state is ChildState.READY and not child.tired


def _chance() -> float:
    """A number from 0 to 1, another one in each process. (The module random is slow to import.)"""
    return int.from_bytes(os.urandom(4)) / 0xFFFFFFFF
