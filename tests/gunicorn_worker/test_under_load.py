"""gunicorn's signals while clients are at work: not one request may fail, and not one log line be lost."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.gunicorn_worker.conftest import Gunicorn, with_both
from tests.gunicorn_worker.process import GunicornProcess, oldest
from tests.reliability.conftest import Code
from tests.reliability.load import Load
from tests.support.client import Target
from tests.support.host import group_members

SLOW_IMPORT = "time.sleep(0.3)"


@asynccontextmanager
async def under_load(server: GunicornProcess, target: Target | None = None) -> AsyncIterator[Load]:
    """Ask the server all the time; nothing may fail. Arguments: `target` is where, if it does not say so."""
    load = Load(target or server.target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    await asyncio.sleep(0.2)
    yield load
    await asyncio.sleep(0.2)
    over.set()
    await running
    assert load.failures == [], f"{len(load.failures)} of {load.answers.total()}\n{server.output()}"
    assert len(load.kinds) == 4, load.kinds
    print(f"{load.answers.total()} answers, slowest new connection {load.longest:.3f} s")


async def reload(server: GunicornProcess) -> None:
    """Send HUP, and return when all workers have been replaced."""
    old, since = server.worker_pids(), server.mark()
    server.signal(signal.SIGHUP)
    await asyncio.to_thread(server.wait_workers, len(old), since)
    for pid in old:
        await asyncio.to_thread(server.wait_exit, pid)


async def wait(server: GunicornProcess, pattern: str, since: int) -> None:
    """Wait for a line while clients are at work."""
    await asyncio.to_thread(functools.partial(server.wait_line, pattern, since=since))


@with_both
async def test_hup_ttin_ttou_and_usr1(gunicorn: Gunicorn, code: Code, interface: str) -> None:
    code.write(interface)
    server = gunicorn(
        *("-w", "2", "--threads", "8", "--access-logfile", "access.log", "main:app"), interface=interface
    )
    async with under_load(server) as load:
        for name in ("two", "three"):
            code.write(interface, name, on_import=SLOW_IMPORT)
            await reload(server)
        since = server.mark()
        server.signal(signal.SIGTTIN)
        await wait(server, r"Worker ready", since)
        log = code.folder / "access.log"
        log.rename(code.folder / "access.log.1")
        server.signal(signal.SIGUSR1)
        while not log.exists():
            await asyncio.sleep(0.01)
        since = server.mark()
        server.signal(signal.SIGTTOU)
        await wait(server, r"Worker exiting", since)
    assert set(load.answers) == {"one", "two", "three"}
    server.stop()
    files = [Path(code.folder / name).read_text() for name in ("access.log", "access.log.1")]
    assert all(files)
    assert sum(text.count("\n") for text in files) == load.answers.total()


@with_both
async def test_an_upgrade(gunicorn: Gunicorn, code: Code, interface: str) -> None:
    """USR2, and TERM to the old arbiter. WINCH between them is for daemons only, see below."""
    code.write(interface)
    server = gunicorn(
        *("-w", "2", "--threads", "8", "--pid", "gunicorn.pid", "main:app"), interface=interface
    )
    async with under_load(server) as load:
        code.write(interface, "two", on_import=SLOW_IMPORT)
        old, since = server.worker_pids(), server.mark()
        server.signal(signal.SIGUSR2)
        (first, _) = await asyncio.to_thread(server.wait_workers, 2, since)
        successor = int((code.folder / "gunicorn.pid.2").read_text())
        assert os.getpgid(first) == server.pid
        server.signal(signal.SIGTERM)
        for pid in old:
            await asyncio.to_thread(server.wait_exit, pid)
        assert await asyncio.to_thread(server.wait) == 0
    assert set(load.answers) == {"one", "two"}
    os.kill(successor, signal.SIGTERM)
    await wait(server, r"Shutting down: Master$", since)
    while group_members(server.pid):
        await asyncio.sleep(0.01)


@with_both
async def test_workers_are_replaced_after_so_many_requests(
    gunicorn: Gunicorn, code: Code, interface: str
) -> None:
    code.write(interface)
    server = gunicorn(
        *("-w", "2", "--threads", "8", "--max-requests", "150", "--max-requests-jitter", "20", "main:app"),
        interface=interface,
    )
    async with under_load(server):
        for _ in range(3):
            since = server.mark()
            await wait(server, r"Autorestarting worker after current request", since)
            await wait(server, r"Worker ready", since)


@pytest.mark.slow
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
async def test_an_upgrade_of_a_daemon(
    app_dir: Path, tmp_path: Path, code: Code, version: str, interface: str, request: pytest.FixtureRequest
) -> None:
    """USR2, WINCH and QUIT, in the order of gunicorn's documentation."""
    code.write(interface)
    server = GunicornProcess(
        *("-w", "2", "--threads", "8", "--pid", "gunicorn.pid", "--error-logfile", "error.log"),
        *("--daemon", "main:app"),
        interface=interface,
        cwd=app_dir,
        home=tmp_path,
        path=oldest(request.config) if version == "oldest" else None,
    ).start(ready=False)
    log, pidfile = app_dir / "error.log", app_dir / "gunicorn.pid"

    async def told(text: str, times: int) -> None:
        async with asyncio.timeout(20):
            while not log.exists() or log.read_text().count(text) < times:
                await asyncio.sleep(0.01)

    await asyncio.to_thread(server.wait)
    await told("Worker ready", 2)
    first = int(pidfile.read_text())
    pids = [first]
    try:
        async with under_load(server, server.target_of(log)) as load:
            code.write(interface, "two", on_import=SLOW_IMPORT)
            os.kill(first, signal.SIGUSR2)
            await told("Worker ready", 4)
            pids.append(int((app_dir / "gunicorn.pid.2").read_text()))
            os.kill(first, signal.SIGWINCH)
            await told("Worker exiting", 2)
            os.kill(first, signal.SIGQUIT)
            await told("Shutting down: Master", 1)
            pids.remove(first)
        assert set(load.answers) == {"one", "two"}
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
    await told("Shutting down: Master", 2)
