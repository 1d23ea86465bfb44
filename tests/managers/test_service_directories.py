"""s6 and runit: a folder with a program called `run`, which stays in the foreground."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.managers.load import under_load
from tests.managers.manager import EXAMPLES, Manager, Site, Start, needs, needs_proc
from tests.reliability.conftest import wait_until

needs_s6 = needs("s6-supervise", "s6")
needs_runit = needs("runsv", "runit")
pytestmark = needs_proc


def directory(site: Site, kind: str, without: str) -> Path:
    """Return a service directory that is a copy of the example's."""
    for path in (EXAMPLES / kind).rglob("*"):
        if path.is_file():
            name = str(path.relative_to(EXAMPLES))
            site.example(name, without if path.name == "run" and path.parent.name == kind else "")
    return site.folder / kind


class S6:
    """s6-supervise over the example."""

    def __init__(self, manage: Start, site: Site) -> None:
        self.service = str(directory(site, "s6", "s6-setuidgid www-data "))
        self.manager: Manager = manage("s6-supervise", self.service)
        wait_until(lambda: self.state("up") in ("true", "false"), "s6 is there")

    def state(self, *fields: str) -> str:
        return self.manager.run("s6-svstat", "-o", ",".join(fields), self.service).strip()

    def tell(self, *words: str) -> str:
        return self.manager.run("s6-svc", *words, self.service)


@needs_s6
async def test_s6(manage: Start, site: Site) -> None:
    """Ready when a worker serves and not before; HUP loses nothing; a stop lets a request end."""
    waits = "while not (FOLDER / 'go').exists(): await asyncio.sleep(0.01)"
    site.code.asgi(on_startup=waits)
    s6 = S6(manage, site)
    s6.manager.wait_line("worker=0 .* booting$")
    assert s6.state("up", "ready") == "true false"
    site.code.go()
    assert s6.manager.run("s6-svwait", "-U", "-t", "15000", s6.service) == ""
    assert s6.state("up", "ready") == "true true"
    assert site.ask() == "one"
    s6.manager.wait_line("ready: 2 workers in ")
    async with under_load(site.target) as load:
        site.code.asgi("two")
        s6.tell("-h")
        s6.manager.wait_line("reload complete: gen=2 ")
    assert set(load.answers) == {"one", "two"}
    (site.code.folder / "go").unlink()
    with site.begin("/wait") as client:
        s6.tell("-d")
        s6.manager.wait_line("stopping: signal SIGTERM")
        site.code.go()
        assert b"two" in client.read_until_closed()
    wait_until(lambda: s6.state("up", "wantedup") == "false false", "it is down")
    assert s6.state("exitcode") == "0"
    assert s6.manager.tracebacks() == []


@needs_s6
def test_s6_and_code_that_does_not_start(manage: Start, site: Site) -> None:
    site.code.broken("raise RuntimeError('deliberate')")
    s6 = S6(manage, site)
    s6.manager.wait_line("RuntimeError: deliberate")
    wait_until(lambda: s6.state("up") == "false", "it is down")
    assert s6.state("exitcode") == "4"
    wait_until(lambda: s6.state("wantedup") == "false", "it is not started again")


class Runit:
    """runsv over the example."""

    def __init__(self, manage: Start, site: Site) -> None:
        self.service = str(directory(site, "runit", "chpst -u www-data "))
        self.manager: Manager = manage("runsv", self.service)

    def tell(self, *words: str) -> str:
        return self.manager.run("sv", "-w", "15", *words, self.service).strip()


@needs_runit
async def test_runit(manage: Start, site: Site) -> None:
    """Logs arrive at svlogd; HUP loses nothing; a stop lets a request end."""
    runit = Runit(manage, site)
    site.wait_log("ready: 2 workers in ", "current")
    async with under_load(site.target) as load:
        site.code.asgi("two")
        assert runit.tell("hup").startswith("ok: ")
        site.wait_log("reload complete: gen=2 ", "current")
    assert set(load.answers) == {"one", "two"}
    with site.begin("/wait") as client:
        runit.manager.signal(signal.SIGTERM)
        site.wait_log("stopping: signal SIGTERM", "current")
        site.code.go()
        assert b"two" in client.read_until_closed()
    assert runit.manager.wait() == 0
    site.wait_log(" stopped$", "current")


@needs_runit
def test_runit_and_code_that_does_not_start(manage: Start, site: Site) -> None:
    site.code.broken("raise RuntimeError('deliberate')")
    runit = Runit(manage, site)
    site.wait_log("RuntimeError: deliberate", "current")
    wait_until(lambda: runit.tell("status").startswith("down: "), "it is not started again")
    assert site.log("current").count("not started: ") == 1
