"""circus, with examples/circus/circus.ini: it keeps the socket, and passes it to one process or more."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable

import pytest

from tests.managers.load import under_load
from tests.managers.manager import Manager, Site, Start, needs_proc
from tests.reliability.conftest import wait_until

pytest.importorskip("circus", reason="needs circus")
pytestmark = needs_proc

QUICK = {"uid": "", "gid": "", "graceful_timeout": "10"}


class Circus:
    """circusd, which runs the example with some lines changed, and what circusctl tells it."""

    def __init__(self, manage: Start, site: Site, **changes: str) -> None:
        self.site = site
        ini = site.example("circus/circus.ini", **QUICK, **changes)
        self.manager: Manager = manage(sys.executable, "-m", "circus.circusd", str(ini))

    def tell(self, *words: str) -> str:
        endpoint = f"ipc://{self.site.folder}/endpoint"
        said = self.manager.run(
            sys.executable, "-m", "circus.circusctl", "--endpoint", endpoint, "--timeout", "20", *words
        )
        assert "error" not in said.lower(), said
        return said.strip()

    async def atell(self, *words: str) -> str:
        return await asyncio.to_thread(self.tell, *words)

    def wait_ready(self, count: int = 1) -> None:
        self.site.wait_log(r"ready: 2 workers in ", count=count)


async def aready(circus: Circus, count: int) -> None:
    await asyncio.to_thread(circus.wait_ready, count)


async def test_restart_and_reload(manage: Start, site: Site) -> None:
    circus = Circus(manage, site)
    circus.wait_ready()
    site.wait_log(rf"listening on http://127.0.0.1:{site.port}$")
    async with under_load(site.target) as load:
        site.code.asgi("two", on_import="time.sleep(0.3)")
        await circus.atell("restart", "shop", "--waiting")
        await aready(circus, 2)
        site.code.asgi("three", on_import="time.sleep(0.3)")
        await circus.atell("reload", "shop")
        await asyncio.to_thread(site.wait_log, "reload complete: gen=2 ")
        assert load.failures == []
        site.code.asgi("four")
        await circus.atell("incr", "shop")
        await aready(circus, 3)
        await circus.atell("decr", "shop")
        await asyncio.to_thread(site.wait_log, " stopped$", count=2)
    assert set(load.answers) >= {"one", "two", "three", "four"}
    assert "GET /stream HTTP/1.1" in site.log("access.log")


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [("restart",), ("reload",), ("reload", "--sequential"), ("reload", "--terminate")]
)
async def test_two_processes_without_hup(manage: Start, site: Site, how: tuple[str, ...]) -> None:
    """circus' own way of restarting several processes, which share the socket."""
    circus = Circus(manage, site, send_hup="False", numprocesses="2")
    circus.wait_ready(2)
    async with under_load(site.target) as load:
        site.code.asgi("two", on_import="time.sleep(0.3)")
        command, *options = how
        await circus.atell(command, *options, "shop")
        await aready(circus, 4)
        await asyncio.to_thread(site.wait_log, " stopped$", count=2)
    assert set(load.answers) == {"one", "two"}


async def test_a_supervisor_that_is_killed(manage: Start, site: Site) -> None:
    """Its workers finish what they have and end by themselves; what waits is for the next."""
    circus = Circus(manage, site)
    circus.wait_ready()
    [supervisor] = circus.manager.servers()
    workers = circus.manager.workers()
    assert len(workers) == 2
    with site.begin("/wait") as client:
        async with under_load(site.target) as load:
            site.code.asgi("two")
            os.kill(supervisor, signal.SIGKILL)
            await aready(circus, 2)
        assert len(set(circus.manager.members()) & set(workers)) == 1  # the one that is at work
        site.code.go()
        assert b"one" in client.read_until_closed()
    wait_until(lambda: not set(circus.manager.members()) & set(workers), "the workers have ended")
    assert set(load.answers) == {"one", "two"}


async def test_a_circus_that_is_killed(manage: Start, site: Site) -> None:
    """The server goes on, without anybody who reads its log, and ends when it is told to."""
    circus = Circus(manage, site)
    circus.wait_ready()
    [supervisor] = circus.manager.servers()
    circus.manager.signal(signal.SIGKILL)
    assert circus.manager.wait() == -signal.SIGKILL
    assert site.ask() == "one"
    site.code.asgi("two")
    os.kill(supervisor, signal.SIGHUP)
    wait_until(lambda: site.ask() == "two", "the reload is complete")
    os.kill(supervisor, signal.SIGTERM)
    wait_until(lambda: not circus.manager.members(), "all have ended")


def end_statuses(site: Site) -> Callable[[], int]:
    """Return what waits for the exit status of the next process that circus tells the end of."""
    zmq = pytest.importorskip("zmq")
    sock = zmq.Context.instance().socket(zmq.SUB)
    sock.setsockopt(zmq.SUBSCRIBE, b"watcher.shop.reap")
    sock.setsockopt(zmq.LINGER, 0)
    sock.setsockopt(zmq.RCVTIMEO, 15_000)
    sock.connect(f"ipc://{site.folder}/pubsub")

    def wait() -> int:
        with sock:
            status = json.loads(sock.recv_multipart()[1])["exit_code"]
        assert isinstance(status, int)
        return status

    return wait


@pytest.mark.parametrize(
    ("source", "status", "reason"),
    [
        ("raise RuntimeError('deliberate')", 4, "RuntimeError: deliberate"),
        ("async def app(scope, receive, send): raise RuntimeError('deliberate')", 3, "not started: "),
    ],
    ids=["import", "start-up"],
)
def test_code_that_does_not_start(manage: Start, site: Site, source: str, status: int, reason: str) -> None:
    site.code.broken(source)
    command = f"{site.aserve} --lifespan on --bind fd://$(circus.sockets.web) main:app"
    circus = Circus(manage, site, cmd=command)
    assert end_statuses(site)() == status
    site.wait_log(reason)
    assert circus.tell("status", "shop") == "active"  # it will be tried again
