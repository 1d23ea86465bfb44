"""Reloads while clients are at work: not one request may fail."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code
from tests.reliability.load import KEEP_ALIVE_CLIENTS, SLOW_CLIENTS, Load
from tests.support.pool import FLAVOURS, GREENLETS, Flavour
from tests.support.process import ServerProcess

VERSIONS = ["one", "two", "three", "four"]


async def wait_line(server: ServerProcess, pattern: str) -> None:
    await asyncio.to_thread(server.wait_line, pattern)


@pytest.mark.parametrize(
    ("interface", "flavour", "bind"),
    [
        *itertools.product(["asgi", "wsgi"], FLAVOURS, ["127.0.0.1:0", "unix:load.sock"]),
        *(("wsgi", flavour, "127.0.0.1:0") for flavour in GREENLETS if isinstance(flavour, Flavour)),
    ],
    ids=str,
)
async def test_no_request_fails(
    serve: Serve, code: Code, interface: str, flavour: Flavour, bind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(code.folder)  # where the client finds the unix socket
    code.write(interface, VERSIONS[0])
    server = serve("-w", "2", *flavour.options, "main:app", bind=bind)
    load = Load(server.target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    for generation, version in enumerate(VERSIONS[1:], 2):
        await asyncio.sleep(0.2)
        code.write(interface, version, on_import="time.sleep(0.3)")
        server.signal(signal.SIGHUP)
        await wait_line(server, f"reload complete: gen={generation} ")
    await asyncio.sleep(0.2)
    over.set()
    await running
    assert load.failures == [], f"{len(load.failures)} of {load.answers.total()}\n{server.output()}"
    assert set(load.answers) == set(VERSIONS)
    assert load.answers.total() > 200
    assert len(load.kinds) == 4, load.kinds
    print(f"{load.answers.total()} answers, slowest new connection {load.longest:.3f} s")


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
async def test_workers_that_are_told_to_stop_one_by_one(serve: Serve, code: Code, interface: str) -> None:
    """TERM to a worker cuts nothing off either, apart from connections that are kept open but idle."""
    code.write(interface)
    server = serve("-w", "2", "main:app")
    load = Load(server.target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    for _ in range(4):
        await asyncio.sleep(0.2)
        (pid, *_) = server.worker_pids()
        os.kill(pid, signal.SIGTERM)
        await wait_line(server, rf"pid={pid} exited$")
    over.set()
    await running
    cut_off = [failure for failure in load.failures if "a kept connection" not in failure]
    assert cut_off == [], server.output()


async def test_random_kills_only_cost_the_requests_of_that_worker(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "3", "main:app")
    load = Load(server.target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    for _ in range(3):
        await asyncio.sleep(0.3)
        pid = server.worker_pids()[0]
        os.kill(pid, signal.SIGKILL)
        await wait_line(server, rf"pid={pid} died: signal SIGKILL$")
        before = load.answers.total()
        while load.answers.total() < before + 50:  # it goes on
            await asyncio.sleep(0.01)
    over.set()
    await running
    # Those of the killed worker's connections, and at most a request that was just being accepted
    assert len(load.failures) <= 3 * (KEEP_ALIVE_CLIENTS + 2 * SLOW_CLIENTS + 4), load.failures
