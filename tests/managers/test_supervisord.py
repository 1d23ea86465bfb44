"""supervisord, with the two examples: a program that opens its address, and two that get a socket."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from tests.managers.load import under_load
from tests.managers.manager import Manager, Site, Start, needs_proc
from tests.reliability.conftest import wait_until

pytest.importorskip("supervisor", reason="needs supervisor")
pytestmark = needs_proc

MAIN = """
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={folder}/supervisord.pid
childlogdir={folder}
{user}

[unix_http_server]
file={folder}/control

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{folder}/control

[include]
files={example}
"""


class Supervisord:
    """supervisord, which runs an example with some lines changed, and what supervisorctl tells it."""

    def __init__(self, manage: Start, site: Site, example: str, **changes: str) -> None:
        self.site = site
        changes = {"user": "", "startsecs": "1", "stopwaitsecs": "15", **changes}
        copy = site.example(f"supervisord/{example}", **changes)
        self._file = site.folder / "main.conf"
        user = "user=root" if os.geteuid() == 0 else ""
        self._file.write_text(MAIN.format(folder=site.folder, example=copy, user=user))
        self.manager: Manager = manage(*self._command("supervisord"))

    def _command(self, name: str) -> list[str]:
        # The package has warnings of its own about what setuptools is going to drop.
        return [sys.executable, "-W", "ignore", "-m", f"supervisor.{name}", "-c", str(self._file)]

    def tell(self, *words: str) -> str:
        return self.manager.run(*self._command("supervisorctl"), *words).strip()

    async def atell(self, *words: str) -> str:
        return await asyncio.to_thread(self.tell, *words)

    def wait_state(self, state: str) -> str:
        """Wait until each process is in that state, and return what is said about the last one."""
        said = ""

        def reached() -> bool:
            nonlocal said
            said = self.tell("status")
            return all(state in line.split() for line in said.splitlines())

        wait_until(reached, f"the state is {state}")
        return said


# -- a program ------------------------------------------------------------------------------------


async def test_a_program(manage: Start, site: Site) -> None:
    """Logs arrive, HUP loses nothing, and stop lets a request end."""
    supervisord = Supervisord(manage, site, "program.conf")
    site.wait_log("ready: 2 workers in ")
    async with under_load(site.target) as load:
        site.code.asgi("two", on_import="time.sleep(0.3)")
        assert await supervisord.atell("signal", "HUP", "shop") == "shop: signalled"
        await asyncio.to_thread(site.wait_log, "reload complete: gen=2 ")
    assert set(load.answers) == {"one", "two"}
    supervisord.wait_state("RUNNING")

    [supervisor] = supervisord.manager.servers()
    with site.begin("/wait") as client:
        stopping = asyncio.create_task(supervisord.atell("stop", "shop"))
        await asyncio.to_thread(site.wait_log, "stopping: signal SIGTERM")
        site.code.go()
        assert b"two" in client.read_until_closed()
        assert await stopping == "shop: stopped"
    supervisord.manager.wait_line(r"stopped: shop \(exit status 0\)")
    assert not {supervisor, *supervisord.manager.workers()} & set(supervisord.manager.members())
    assert site.refuses()
    assert "GET /stream HTTP/1.1" in site.log("access.log")
    assert "startup" in site.log("access.log")  # what the application prints


@pytest.mark.parametrize(
    ("source", "status", "reason"),
    [
        ("raise RuntimeError('deliberate')", 4, "RuntimeError: deliberate"),
        pytest.param(
            *("async def app(scope, receive, send): raise RuntimeError('deliberate')", 3, "not started: "),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["import", "start-up"],
)
def test_code_that_does_not_start(manage: Start, site: Site, source: str, status: int, reason: str) -> None:
    site.code.broken(source)
    command = f"{site.aserve} --lifespan on --bind 127.0.0.1:{site.port} main:app"
    supervisord = Supervisord(manage, site, "program.conf", startretries="0", command=command)
    supervisord.manager.wait_line(rf"exited: shop \(exit status {status}; not expected\)")
    supervisord.manager.wait_line("gave up: shop entered FATAL state, too many start retries too quickly")
    assert "Exited too quickly" in supervisord.wait_state("FATAL")
    site.wait_log(reason)


@pytest.mark.slow  # honcho does so every time
def test_all_of_a_group_are_told_to_stop(manage: Start, site: Site) -> None:
    """With stopasgroup workers get TERM from two sides, and finish what they have all the same."""
    supervisord = Supervisord(manage, site, "program.conf", stopasgroup="true")
    site.wait_log("ready: 2 workers in ")
    supervisord.wait_state("RUNNING")
    with site.begin("/wait") as client:
        supervisord.manager.signal(signal.SIGTERM)
        site.wait_log("stopping: signal SIGTERM")
        site.wait_log("worker=. .* draining$", count=2)
        site.code.go()
        assert b"one" in client.read_until_closed()
    assert supervisord.manager.wait() == 0
    site.wait_log(" stopped$")


@pytest.mark.slow
def test_an_end_that_takes_too_long(manage: Start, site: Site) -> None:
    """killasgroup ends everybody."""
    supervisord = Supervisord(manage, site, "program.conf", stopwaitsecs="1")
    site.wait_log("ready: 2 workers in ")
    supervisord.wait_state("RUNNING")
    client = site.begin("/wait")
    supervisord.tell("stop", "shop")
    supervisord.manager.wait_line(r"killing 'shop' \(\d+\) with SIGKILL")
    wait_until(
        lambda: supervisord.manager.members() == [supervisord.manager.pid], "workers have ended as well"
    )
    client.close()


@pytest.mark.slow
def test_a_program_that_is_killed(manage: Start, site: Site) -> None:
    """Its workers give up the address at once, and finish what they have."""
    supervisord = Supervisord(manage, site, "program.conf")
    site.wait_log("ready: 2 workers in ")
    supervisord.wait_state("RUNNING")
    workers = supervisord.manager.workers()
    with site.begin("/wait") as client:
        site.code.asgi("two")
        os.kill(supervisord.manager.servers()[0], signal.SIGKILL)
        site.wait_log("ready: 2 workers in ", count=2)
        assert len(set(workers) & set(supervisord.manager.members())) == 1
        assert site.ask() == "two"
        site.code.go()
        assert b"one" in client.read_until_closed()
    wait_until(lambda: not set(workers) & set(supervisord.manager.members()), "the workers have ended")


# -- a socket -------------------------------------------------------------------------------------


async def test_a_rolling_restart(manage: Start, site: Site) -> None:
    """One after the other, and nobody is refused."""
    supervisord = Supervisord(manage, site, "socket.conf")
    for name in ("error_00.log", "error_01.log"):
        site.wait_log("ready: 2 workers in ", name)
    supervisord.wait_state("RUNNING")
    async with under_load(site.target) as load:
        site.code.asgi("two", on_import="time.sleep(0.3)")
        for name in ("shop:shop_00", "shop:shop_01"):
            assert "started" in await supervisord.atell("restart", name)
    assert set(load.answers) == {"one", "two"}
    for number in (0, 1):
        assert "GET / HTTP/1.1" in site.log(f"access_0{number}.log")


@pytest.mark.slow
async def test_a_supervisor_that_is_killed(manage: Start, site: Site) -> None:
    """Its workers finish what they have and end by themselves; the others take what comes."""
    supervisord = Supervisord(manage, site, "socket.conf")
    for name in ("error_00.log", "error_01.log"):
        site.wait_log("ready: 2 workers in ", name)
    supervisord.wait_state("RUNNING")
    async with under_load(site.target) as load:
        workers = supervisord.manager.workers()
        os.kill(supervisord.manager.servers()[0], signal.SIGKILL)
        await asyncio.to_thread(
            wait_until, lambda: len(set(workers) & set(supervisord.manager.members())) == 2, "workers end"
        )
        await asyncio.to_thread(wait_until, lambda: len(supervisord.manager.servers()) == 2, "a new one")
    assert set(load.answers) == {"one"}
