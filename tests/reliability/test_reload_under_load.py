"""Reloads while clients are at work: not one request may fail."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, wait_until
from tests.reliability.load import Load, reload_under_load, wait_line
from tests.support.footprint import needs_proc
from tests.support.pool import FLAVOURS, GREENLETS, Flavour

VERSIONS = ["one", "two", "three", "four"]


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
    write = functools.partial(code.write, interface, on_import="time.sleep(0.3)")
    load = await reload_under_load(server, VERSIONS, write)
    assert load.answers.total() > 200
    print(f"{load.answers.total()} answers, slowest new connection {load.longest:.3f} s")


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
async def test_no_request_fails_in_twenty_reloads(serve: Serve, code: Code, interface: str) -> None:
    code.write(interface, "version-1")
    server = serve("-w", "4", "main:app")
    load = Load(server.target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    for generation in range(2, 22):
        code.write(interface, f"version-{generation}")
        server.signal(signal.SIGHUP)
        await wait_line(server, f"reload complete: gen={generation} ")
    over.set()
    await running
    assert load.failures == [], f"{len(load.failures)} of {load.answers.total()}\n{server.output()}"
    assert len(load.answers) > 15


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


def clients_of(pid: int) -> set[int]:
    """Return the ports of those who are connected to a process (IPv4)."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            inodes.add(str(entry.readlink()).removeprefix("socket:[").rstrip("]"))
    # number local remote state queues timer retransmissions uid timeout inode
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(fields[2].rpartition(":")[2], 16) for fields in lines if fields[9] in inodes} - {0}


def _stands_still(state: Path) -> bool:
    return " T " in state.read_text()


@needs_proc
async def test_random_kills_only_cost_the_requests_of_that_worker(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "3", "main:app")
    load = Load(server.target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    lost: set[int] = set()
    for _ in range(3):
        await asyncio.sleep(0.3)
        pid = server.worker_pids()[0]
        os.kill(pid, signal.SIGSTOP)  # so that it takes no more
        wait_until(functools.partial(_stands_still, Path(f"/proc/{pid}/stat")), "it stands still")
        lost |= clients_of(pid)
        os.kill(pid, signal.SIGKILL)
        await wait_line(server, rf"pid={pid} died: signal SIGKILL$")
        before = load.answers.total()
        while load.answers.total() < before + 50:  # it goes on
            await asyncio.sleep(0.01)
    over.set()
    await running
    assert load.failed, "nothing was going on in those workers"
    assert set(load.failed) <= lost, load.failures
