"""pm2, with the example: a manager that stops with INT unless it is told otherwise."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.managers.load import under_load
from tests.managers.manager import Manager, Site, Start, needs_proc
from tests.reliability.conftest import wait_until

PM2 = (
    os.environ.get("TEST_PM2")
    or shutil.which("pm2", path="build/pm2/node_modules/.bin")
    or shutil.which("pm2")
)
"""Where it is: TEST_PM2 says it where a missing one is a failure."""

pytestmark = [
    needs_proc,
    pytest.mark.skipif(PM2 is None, reason="needs pm2 (npm install --prefix build/pm2 pm2)"),
]


class Pm2:
    """A pm2 of its own, which runs the example, and what its command says."""

    def __init__(self, manage: Start, site: Site, kill_timeout: int = 40_000) -> None:
        assert PM2 is not None
        file = site.example("pm2/ecosystem.config.js")
        file.write_text(re.sub(r"kill_timeout: \d+", f"kill_timeout: {kill_timeout}", file.read_text()))
        self._pm2 = str(Path(PM2).absolute())
        self._env = {"PM2_HOME": str(site.folder / "home"), "PM2_KILL_SIGNAL": "SIGTERM"}
        command = ("start", str(file), "--no-daemon")
        self.manager: Manager = manage(self._pm2, *command, env=self._env)

    def tell(self, *words: str) -> str:
        return self.manager.run("env", f"PM2_HOME={self._env['PM2_HOME']}", self._pm2, *words)

    def state(self) -> object:
        [app] = json.loads(self.tell("jlist").splitlines()[-1])
        return app["pm2_env"]["status"]


async def test_pm2(manage: Start, site: Site) -> None:
    """HUP loses nothing, a stop lets a request end, and logs arrive."""
    pm2 = Pm2(manage, site)
    site.wait_log("ready: 2 workers in ")
    async with under_load(site.target) as load:
        site.code.asgi("two")
        await asyncio.to_thread(pm2.tell, "sendSignal", "SIGHUP", "shop")
        site.wait_log("reload complete: gen=2 ")
    assert set(load.answers) == {"one", "two"}
    with site.begin("/wait") as client:
        stopping = asyncio.create_task(asyncio.to_thread(pm2.tell, "stop", "shop"))
        await asyncio.to_thread(site.wait_log, "stopping: signal SIGTERM")
        site.code.go()
        assert b"two" in client.read_until_closed()
        await stopping
    site.wait_log(" stopped$")
    assert pm2.state() == "stopped"
    assert "GET /stream HTTP/1.1" in site.log("access.log")
    pm2.tell("kill")
    assert pm2.manager.wait() == 0


def test_code_that_does_not_start(manage: Start, site: Site) -> None:
    site.code.broken("raise RuntimeError('deliberate')")
    pm2 = Pm2(manage, site)
    pm2.manager.wait_line(r"App \[shop:0\] exited with code \[4\]")
    site.wait_log("RuntimeError: deliberate")
    wait_until(lambda: pm2.state() == "stopped", "it is not started again")
    assert site.log().count("not started: ") == 1
    pm2.tell("kill")
    assert pm2.manager.wait() == 0


@pytest.mark.slow
def test_an_end_that_takes_too_long(manage: Start, site: Site) -> None:
    """pm2 kills the supervisor only; its workers end by themselves when they have finished."""
    pm2 = Pm2(manage, site, kill_timeout=500)
    site.wait_log("ready: 2 workers in ")
    [supervisor] = pm2.manager.servers()
    with site.begin("/wait") as client:
        pm2.tell("stop", "shop")
        assert supervisor not in pm2.manager.members()
        site.code.go()
        assert b"one" in client.read_until_closed()
    pm2.tell("kill")
    assert pm2.manager.wait() == 0
