"""Started and stopped a hundred times: nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
from pathlib import Path

import pytest

import aserve
from tests.embedding.apps import Steps, ask, wsgi
from tests.embedding.programs import python
from tests.support.footprint import needs_proc

ROUNDS = 100
ROOT = Path(__file__).parents[2]


@needs_proc
async def test_a_hundred_times_on_this_loop() -> None:
    def held() -> tuple[int, ...]:
        gc.collect()
        return len(asyncio.all_tasks()), threading.active_count(), len(os.listdir("/proc/self/fd"))

    before = held()
    for _ in range(ROUNDS):
        async with (
            aserve.Server(Steps(), bind="127.0.0.1:0") as one,
            aserve.Server(wsgi, bind="127.0.0.1:0", threads=2) as two,
        ):
            for server in (one, two):
                assert (await ask(server.port)).status == 200
    assert held() == before


@needs_proc
@pytest.mark.slow
def test_a_hundred_times_with_every_warning_an_error() -> None:
    done = python(
        ROOT,
        *("-W", "error", "-m", "tests.embedding.leaks", str(ROUNDS)),
        timeout=120,
        env={"PYTHONASYNCIODEBUG": "1"},
    )
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert complaints == []
    counts = json.loads(done.stdout)
    for name in ("tasks", "threads", "descriptors"):
        assert set(counts[name][1:]) == {counts[name][-1]}, name
    assert (counts["tasks"][-1], counts["threads"][-1]) == (1, 1)
    # What is cached for the first rounds is there from then on.
    warm = ROUNDS // 5
    assert counts["objects"][-1] - counts["objects"][warm] < ROUNDS, counts["objects"]
    assert counts["memory"][-1] - counts["memory"][warm] < 1024 * 1024, counts["memory"]
