"""--preload: one process imports the application, and the workers are forked from it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, ask
from tests.reliability.load import Load, wait_line
from tests.reliability.test_reload_under_load import VERSIONS
from tests.support.footprint import proportional
from tests.support.process import ServerProcess

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="--preload needs Linux")

TELL_IMPORT = "print(f'imported in {os.getpid()}', flush=True)"


def mold_pid(server: ServerProcess, generation: int = 1) -> int:
    return int(server.wait_line(rf"mold gen={generation} pid=(\d+) ready").group(1))


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_one_import_for_all_workers(serve: Serve, code: Code, interface: str) -> None:
    code.write(interface, on_import=TELL_IMPORT)
    server = serve("--preload", "-w", "3", "main:app")
    assert server.output().count("imported in ") == 1
    assert f"imported in {mold_pid(server)}" in server.output()
    assert len({*server.worker_pids()}) == 3
    assert ask(server) == "one"


def test_a_reload_brings_new_code_and_a_new_mold(serve: Serve, code: Code) -> None:
    code.asgi("one")
    server = serve("--preload", "-w", "2", "main:app")
    before = mold_pid(server)
    code.asgi("two, and longer")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=2 ")
    assert ask(server) == "two, and longer"
    server.wait_line(rf"mold gen=1 pid={before} exited")


def test_broken_code_leaves_the_old_mold_and_workers(serve: Serve, code: Code) -> None:
    code.asgi("one")
    server = serve("--preload", "-w", "2", "main:app")
    code.broken("raise ValueError('deliberate')")
    server.signal(signal.SIGHUP)
    server.wait_line("reload abandoned: gen=2: importing 'main' failed: ValueError: deliberate")
    assert ask(server) == "one"
    first = server.mark()
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    server.wait_line("worker=. gen=1 .* died: signal SIGKILL")
    server.wait_line("worker=. gen=1 .* ready", since=first)
    assert ask(server) == "one"  # from the mold, which still has the code that works
    code.asgi("three")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=3 ")
    assert ask(server) == "three"


def test_a_mold_that_dies_takes_nobody_with_it(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("--preload", "-w", "2", "main:app")
    pid = mold_pid(server)
    os.kill(pid, signal.SIGKILL)
    server.wait_line(rf"mold gen=1 pid={pid} died: signal SIGKILL")
    assert ask(server) == "one"
    worker = server.worker_pids()[0]
    os.kill(worker, signal.SIGKILL)
    server.wait_line(rf"mold gen=1 pid=(?!{pid}\b)\d+ ready")
    server.wait_line(rf"worker=. gen=1 pid=(?!{worker}\b)\d+ ready")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "from threading import *\nThread(target=Event().wait, name='poller', daemon=True).start()",
            r"its import has started threads \(poller\)",
        ),
        (
            "import _thread, time\n_thread.start_new_thread(time.sleep, (60,))\ntime.sleep(0.1)",
            r"its import has started threads \(unnamed\)",
        ),
        ("import asyncio\nloop = asyncio.new_event_loop()", "its import has opened an event loop"),
        ("import uvloop\nloop = uvloop.new_event_loop()", "its import has opened an event loop"),
    ],
    ids=["thread", "unnamed", "asyncio", "uvloop"],
)
def test_what_cannot_be_copied_is_refused(serve: Serve, code: Code, source: str, reason: str) -> None:
    code.broken(f"{source}\nasync def app(scope, receive, send): ...")
    server = serve("--preload", "main:app", ready=False)
    assert server.wait() == 3
    assert "--preload cannot be used with this application" in server.output()
    server.wait_line(reason)


def test_an_application_that_cannot_be_loaded(serve: Serve, code: Code) -> None:
    code.broken("raise ValueError('deliberate')")
    server = serve("--preload", "main:app", ready=False)
    assert server.wait() == 4
    server.wait_line("not started: importing 'main' failed: ValueError: deliberate")


async def test_reloads_under_load(serve: Serve, code: Code) -> None:
    code.asgi(VERSIONS[0])
    server = serve("--preload", "-w", "2", "main:app")
    load = Load(server.target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    for generation, version in enumerate(VERSIONS[1:], 2):
        await asyncio.sleep(0.2)
        code.asgi(version, on_import="time.sleep(0.3)")
        server.signal(signal.SIGHUP)
        await wait_line(server, f"reload complete: gen={generation} ")
        async with asyncio.timeout(20):
            while version not in load.answers:  # nobody may have asked since then
                await asyncio.sleep(0.01)
    over.set()
    await running
    assert load.failures == [], server.output()
    assert set(load.answers) == set(VERSIONS)


def test_the_end_of_the_supervisor_is_the_end_of_all(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("--preload", "-w", "2", "main:app")
    pids = [mold_pid(server), *server.worker_pids()]
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
@pytest.mark.parametrize("app", ["tests.apps.django_app:application", "tests.apps.fastapi_app:app"])
def test_workers_share_the_memory_of_the_import(serve: Serve, app: str) -> None:
    sums = []
    for options in ((), ("--preload",)):
        server = serve("-w", "4", "--chdir", str(ROOT), *options, app)
        sums.append(sum(proportional(pid) for pid in server.worker_pids()))
        server.stop()
    assert sums[1] < 0.7 * sums[0], sums
