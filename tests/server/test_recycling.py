"""When a worker has served enough (server/recycling.py), on a made-up table."""

from __future__ import annotations

import dataclasses
import math
import mmap
import os
import subprocess
import sys
from typing import Any

import pytest

from aserve import recycling
from aserve.children import Child
from aserve.generation import Generation
from aserve.lifecycle import ChildState
from aserve.options import Settings
from aserve.recycling import LOOK_INTERVAL, Recycling
from tests.server.test_children import make_child

NOW = 1000.0


def ready(pid: int = 1, **settings: Any) -> Child:
    """Return a child that has been ready since NOW."""
    child = make_child(0, Generation(1, Settings(app="main:app", **settings)), pid, state=ChildState.READY)
    child.ready_at = NOW
    child.tires_at = NOW + recycling.lifetime(child.generation.settings)
    return child


def test_without_limits_there_is_nothing_to_look_at() -> None:
    child = ready()
    assert Recycling().due([child]) == math.inf
    assert list(Recycling().look([child], NOW + 1e9)) == []
    assert recycling.most_requests(child.generation.settings) == math.inf


def test_a_lifetime() -> None:
    child = ready(max_lifetime=60.0)
    watch = Recycling()
    assert watch.due([child]) == NOW + 60.0
    assert list(watch.look([child], NOW + 59.9)) == []
    assert list(watch.look([child], NOW + 60.4)) == [(child, "60 s in service (--max-lifetime)")]


@pytest.mark.parametrize("state", [ChildState.DRAINING, ChildState.ABORTING, ChildState.KILLED])
def test_who_is_on_its_way_out_is_left_alone(state: ChildState) -> None:
    child = ready(max_lifetime=60.0, max_rss=1)
    child.move(state)
    assert Recycling().due([child]) == math.inf
    assert list(Recycling().look([child], NOW + 100.0)) == []


def test_who_is_tired_already_is_not_said_to_be_so_again() -> None:
    child = ready(max_lifetime=60.0)
    child.tired = "before"
    assert Recycling().due([child]) == math.inf
    assert list(Recycling().look([child], NOW + 100.0)) == []


def test_memory_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {1: 90, 2: 300 * 2**20}
    asked: list[int] = []

    def resident(pid: int) -> int:
        asked.append(pid)
        return sizes[pid]

    monkeypatch.setattr(recycling, "resident", resident)
    small, large, other = ready(1, max_rss=100), ready(2, max_rss=100), ready(3)
    watch = Recycling()
    assert list(watch.look([small, large, other], NOW)) == [(large, "300 MiB resident (--max-rss)")]
    assert asked == [1, 2]
    assert watch.due([small, other]) == NOW + LOOK_INTERVAL
    sizes[1] = 200
    assert list(watch.look([small], NOW + LOOK_INTERVAL / 2)) == []
    assert [child for child, _ in watch.look([small], NOW + LOOK_INTERVAL)] == [small]


def test_jitter_is_added_and_is_never_too_much() -> None:
    settings = Settings(
        app="main:app", max_lifetime=10.0, max_lifetime_jitter=5.0, max_requests=100, max_requests_jitter=50
    )
    lifetimes = [recycling.lifetime(settings) for _ in range(500)]
    assert min(lifetimes) >= 10.0 and max(lifetimes) <= 15.0
    assert max(lifetimes) - min(lifetimes) > 4.0
    requests = [recycling.most_requests(settings) for _ in range(500)]
    assert min(requests) >= 100 and max(requests) <= 150
    assert len(set(requests)) > 40
    plain = dataclasses.replace(settings, max_lifetime_jitter=0.0, max_requests_jitter=0)
    assert (recycling.lifetime(plain), recycling.most_requests(plain)) == (10.0, 100)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_a_process_holds() -> None:
    before = recycling.resident(os.getpid())
    with mmap.mmap(-1, 50_000_000) as area:  # new memory, which the heap may have no need of
        area.write(bytes(50_000_000))
        assert recycling.resident(os.getpid()) - before > 40_000_000
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert recycling.resident(ended.pid) == 0
