"""Binary upgrades: another supervisor takes over, with all that is installed anew, and nobody notices."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import aserve
from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, wait_until
from tests.reliability.load import Load
from tests.reliability.test_systemd import Manager
from tests.support.client import RawClient, request
from tests.support.host import group_members
from tests.support.process import ServerProcess

WAITS = "say('importing', os.getpid())\nwhile not (FOLDER / 'go').exists(): time.sleep(0.01)"


class Succession:
    """A server, and the supervisors that it has had."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.pid = server.pid

    def wait_line(self, pattern: str, since: int = 0) -> re.Match[str]:
        """Return the first line like that, also from a supervisor whose predecessor has ended."""
        found: list[re.Match[str]] = []

        def there() -> bool:
            matches = (re.search(pattern, text) for text in self.server.lines(since=since))
            found[:] = [match for match in matches if match]
            return bool(found)

        try:
            wait_until(there, f"a line like {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.server.output()}") from None
        return found[0]

    def begin(self) -> int:
        """Begin an upgrade; return the new supervisor's pid."""
        since = self.server.mark()
        os.kill(self.pid, signal.SIGUSR2)
        return int(self.wait_line(rf"\[{self.pid}\] \[INFO\] upgrade started: pid=(\d+)$", since)[1])

    def complete(self, new: int) -> None:
        """Wait until supervisor `new` has taken over and the old one has ended."""
        self.wait_line(rf"\[{new}\] \[INFO\] upgrade complete: took over from pid={self.pid} in [\d.]+ s$")
        self.wait_line(rf"\[{self.pid}\] \[INFO\] stopping: replaced by pid={new}$")
        self.gone(self.pid)
        self.pid = new

    def abandoned(self, new: int, reason: str) -> None:
        """Wait until the upgrade has failed for that reason, and see that the old one serves."""
        self.wait_line(rf"\[{self.pid}\] \[ERROR\] upgrade abandoned: pid={new}: {reason}$")
        self.gone(new)
        assert ask(self.server) == "one"

    def gone(self, pid: int) -> None:
        """Wait until the supervisor has ended, and with it all its workers."""
        wait_until(lambda: pid not in group_members(self.server.pid), f"{pid} has ended")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop the server, whoever leads it now, and see that nothing is left."""
        os.kill(self.pid, number)
        self.all_gone()
        assert self.server.wait() == 0

    def all_gone(self) -> None:
        """Wait until nobody is left."""
        try:
            wait_until(lambda: not group_members(self.server.pid), "everybody has ended")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.server.output()}") from None

    def environment(self, pid: int) -> str:
        return Path(f"/proc/{pid}/environ").read_text()


@pytest.fixture
def succeed(serve: Serve) -> Iterator[Callable[..., Succession]]:
    """Start a server; whoever leads it at the end is stopped."""
    made: list[Succession] = []

    def start(*args: str, **rest: object) -> Succession:
        made.append(Succession(serve(*args, **rest)))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for succession in made:
        if group_members(succession.server.pid):
            succession.stop()


Succeed = Callable[..., Succession]


def descriptors(pid: int) -> list[str]:
    return sorted(os.readlink(link).partition(":")[0] for link in Path(f"/proc/{pid}/fd").iterdir())


# -- success --------------------------------------------------------------------------------------


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_another_supervisor_takes_over(succeed: Succeed, code: Code, preload: tuple[str, ...]) -> None:
    code.asgi()
    server = succeed("-w", "2", *preload, "main:app")
    before = descriptors(server.pid)
    for version in ("two", "three"):
        code.asgi(version, on_import="say([name for name in os.environ if 'HANDOVER' in name])")
        old, new = server.pid, server.begin()
        server.complete(new)
        assert ask(server.server) == version
        assert descriptors(new) == before
        lines = server.server.lines("stderr")
        assert sum(f"[{new}] [INFO] worker=" in text and "ready" in text for text in lines) == 2
        assert sum(f"[{old}] [INFO] worker=" in text and "exited" in text for text in lines) == 2
        assert server.wait_line(r"^\[.*\]$").string == "[]"
    assert server.server.wait() == 0
    assert lines[-1].endswith(f"[{old}] [INFO] stopped")


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:load.sock"])
@pytest.mark.parametrize(("interface", "loop"), [("asgi", "uvloop"), ("asgi", "asyncio"), ("wsgi", "uvloop")])
async def test_no_request_fails(
    succeed: Succeed, code: Code, interface: str, loop: str, bind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(code.folder)  # where the client finds the unix socket
    code.write(interface)
    server = succeed("-w", "2", "--loop", loop, "main:app", bind=bind)
    load = Load(server.server.target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    for version in ("two", "three"):
        await asyncio.sleep(0.2)
        code.write(interface, version)
        new = await asyncio.to_thread(server.begin)
        await asyncio.to_thread(server.complete, new)
    await asyncio.sleep(0.2)
    over.set()
    await running
    assert load.failures == [], f"{len(load.failures)} of {load.answers.total()}\n{server.server.output()}"
    assert set(load.answers) == {"one", "two", "three"}
    assert load.answers.total() > 200


def test_what_has_begun_is_finished_by_the_old_one(succeed: Succeed, code: Code) -> None:
    code.asgi()
    server = succeed("main:app")
    with RawClient(server.server.target) as slow, RawClient(server.server.target) as idle:
        slow.send(request(target="/wait"))
        slow.read_head()
        assert idle.ask(request()).text == "one"
        code.asgi("two")
        old, new = server.pid, server.begin()
        server.wait_line(rf"\[{new}\] \[INFO\] upgrade complete")
        assert ask(server.server) == "two"
        server.wait_line(rf"\[{old}\] \[INFO\] worker=0 gen=1 pid=\d+ draining$")  # it is told only then
        answer = idle.ask(request())  # a kept connection is not closed under its client
        assert (answer.text, answer.connection) == ("one", {"close"})
        server.pid = new
        new = server.begin()  # the old one is not in the way of the next
        server.complete(new)
        code.go()
        assert b"one" in slow.read_until_closed()
    server.gone(old)


def test_a_new_version_of_aserve(succeed: Succeed, code: Code, tmp_path: Path) -> None:
    code.asgi()
    package = tmp_path / "lib" / "aserve"
    shutil.copytree(Path(aserve.__file__).parent, package, symlinks=False)
    server = succeed("main:app", env={"PYTHONPATH": str(package.parent)})
    start = package / "__init__.py"
    start.write_text(start.read_text().replace(aserve.__version__, "99.0.1"))
    new = server.begin()
    server.wait_line(rf"\[{new}\] \[INFO\] aserve 99\.0\.1 starting: app=main:app workers=1 pid={new} ")
    server.complete(new)
    # aserve itself is gone, as while it is being installed: the old one serves on
    package.rename(tmp_path / "away")
    (package.parent / "aserve.py").write_text("raise ImportError('deliberate')")
    new = server.begin()
    server.abandoned(new, "it ended before it was ready: status 1")
    (package.parent / "aserve.py").unlink()
    (tmp_path / "away").rename(package)
    server.complete(server.begin())


def test_an_installed_command_in_a_folder_that_is_a_link(
    succeed: Succeed, code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder and the command are found by the names that they were started with."""
    code.asgi()
    releases = [tmp_path / "release-1", tmp_path / "release-2"]
    for number, release in enumerate(releases, 1):
        shutil.copytree(code.folder, release)
        text = (release / "main.py").read_text().replace("'one'", f"'release {number}'")
        (release / "main.py").write_text(text)
        command = release / "serve"
        python = ServerProcess(cwd=release).command[0]
        command.write_text(f"#!{python}\nfrom aserve.cli import main\nmain()\n")
        command.chmod(0o755)
    current = tmp_path / "current"
    current.symlink_to(releases[0])
    process = ServerProcess("--chdir", ".", "main:app", cwd=current, env={"PWD": str(current)})
    process.command[: process.command.index("aserve") + 1] = [str(current / "serve")]
    with process.start():
        server = Succession(process)
        assert ask(process) == "release 1"
        current.unlink()
        current.symlink_to(releases[1])
        server.complete(server.begin())
        assert ask(process) == "release 2"
        assert os.readlink(f"/proc/{server.pid}/cwd") == str(releases[1])
        server.stop()


def test_a_unix_socket_stays(succeed: Succeed, code: Code) -> None:
    code.asgi()
    path = code.folder / "a.sock"
    server = succeed("main:app", bind=f"unix:{path}")
    before = path.stat().st_ino
    server.complete(server.begin())
    code.broken("raise RuntimeError('deliberate')")
    server.abandoned(server.begin(), r".*status 4 \(the application cannot be loaded\)")
    assert path.stat().st_ino == before
    code.asgi("two")
    server.complete(server.begin())
    assert path.stat().st_ino == before
    server.stop()
    assert not path.exists()


def test_the_pid_file_is_right_all_the_time(succeed: Succeed, code: Code) -> None:
    code.asgi()
    path = code.folder / "a.pid"
    server = succeed("--pid", "a.pid", "main:app")
    wrong: list[str] = []
    seen: dict[int, None] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            try:
                text = path.read_text()
                seen[int(text)] = None
                os.kill(int(text), 0)
            except (OSError, ValueError) as error:
                wrong.append(f"{error!r} {text!r}")

    watching = threading.Thread(target=watch)
    watching.start()
    pids = [server.pid]
    try:
        for _ in range(3):
            new = server.begin()
            server.complete(new)
            pids.append(new)
        code.broken("raise RuntimeError('deliberate')")
        server.abandoned(server.begin(), ".*")
    finally:
        over.set()
        watching.join()
    assert wrong == []
    assert list(seen) == pids
    assert sorted(file.name for file in code.folder.iterdir()) == ["a.pid", "main.py"]
    server.stop()
    assert not path.exists()


def test_the_successors_pid_is_beside_it_meanwhile(succeed: Succeed, code: Code) -> None:
    code.asgi()
    server = succeed("--pid", "a.pid", "main:app")
    code.asgi("two", on_import=WAITS)
    new = server.begin()
    beside = code.folder / "a.pid.2"
    wait_until(beside.exists, "the new one's file")
    assert beside.read_text() == f"{new}\n"
    assert (code.folder / "a.pid").read_text() == f"{server.pid}\n"
    code.go()
    server.complete(new)
    assert not beside.exists()


def test_a_reload_and_a_death_after_an_upgrade(succeed: Succeed, code: Code) -> None:
    """The new one is a supervisor like any other."""
    code.asgi()
    server = succeed("-w", "2", "main:app")
    server.complete(server.begin())
    code.asgi("two")
    os.kill(server.pid, signal.SIGHUP)
    server.wait_line(rf"\[{server.pid}\] \[INFO\] reload complete: gen=2 ")
    assert ask(server.server) == "two"
    os.kill(server.server.worker_pids()[-1], signal.SIGKILL)
    server.wait_line(rf"\[{server.pid}\] \[ERROR\] worker=\d gen=2 pid=\d+ died: signal SIGKILL$")
    assert ask(server.server) == "two"
    server.stop(signal.SIGINT)


# -- failure --------------------------------------------------------------------------------------


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_an_application_that_is_broken(succeed: Succeed, code: Code, preload: tuple[str, ...]) -> None:
    code.asgi()
    server = succeed("-w", "2", *preload, "--pid", "a.pid", "--lifespan", "on", "main:app")
    before = descriptors(server.pid)
    code.broken("raise RuntimeError('deliberate')")
    new = server.begin()
    server.abandoned(new, r"it ended before it was ready: status 4 \(the application cannot be loaded\)")
    server.wait_line(rf"\[{new}\] \[ERROR\] not started: ")
    server.wait_line("^RuntimeError: deliberate$")
    code.asgi("one", on_startup="raise RuntimeError('deliberate')")
    server.abandoned(server.begin(), r"it ended before it was ready: status 3 \(it did not start\)")
    assert not (code.folder / "a.pid.2").exists()
    assert descriptors(server.pid) == before
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(children) == 2 + len(preload)  # the workers and the mold, no zombie
    code.asgi("two")
    server.complete(server.begin())
    assert ask(server.server) == "two"


def test_an_application_that_hangs(succeed: Succeed, code: Code) -> None:
    code.asgi()
    server = succeed("--boot-timeout", "1", "main:app")
    code.asgi("two", on_import="time.sleep(60)")
    new = server.begin()
    server.abandoned(new, r"it ended before it was ready: status 3 \(it did not start\)")
    server.wait_line(rf"\[{new}\] \[ERROR\] not started: not ready within 1 s \(--boot-timeout\)")


@pytest.mark.slow
def test_a_supervisor_that_hangs(succeed: Succeed, code: Code) -> None:
    code.asgi()
    (code.folder / "sitecustomize.py").write_text(
        "import os, signal, time\n"
        "if 'ASERVE_HANDOVER' in os.environ:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    time.sleep(60)\n"
    )
    server = succeed("--boot-timeout", "0.5", "main:app", env={"PYTHONPATH": str(code.folder)})
    server.abandoned(server.begin(), r"it was not ready within 0\.5 s \(--boot-timeout\)")


def test_a_setting_that_is_wrong_by_now(succeed: Succeed, code: Code) -> None:
    code.asgi()
    (code.folder / "more").mkdir()
    server = succeed("--chdir", "more", "--pythonpath", "..", "main:app")
    (code.folder / "more").rename(code.folder / "less")
    server.abandoned(server.begin(), r"it ended before it was ready: status 2 \(a setting is wrong\)")


def test_a_command_that_is_gone(succeed: Succeed, code: Code, tmp_path: Path) -> None:
    code.asgi()
    command = tmp_path / "serve"
    process = ServerProcess("main:app", cwd=code.folder)
    command.write_text(f"#!{process.command[0]}\nfrom aserve.cli import main\nmain()\n")
    command.chmod(0o755)
    process.command[: process.command.index("aserve") + 1] = [str(command)]
    with process.start():
        command.unlink()
        process.signal(signal.SIGUSR2)
        process.wait_line(
            rf"\[ERROR\] upgrade abandoned: cannot execute {re.escape(str(command))}: No such file"
        )
        assert ask(process) == "one"


def test_a_successor_that_is_killed(succeed: Succeed, code: Code) -> None:
    code.asgi()
    server = succeed("--pid", "a.pid", "main:app")
    code.asgi("two", on_import=WAITS)
    new = server.begin()
    server.wait_line(rf"\[{new}\] \[INFO\] worker=0 gen=1 pid=\d+ booting$")
    os.kill(new, signal.SIGKILL)
    server.abandoned(new, "it ended before it was ready: signal 9")
    code.go()
    server.complete(server.begin())  # the file that it has left is no obstacle
    assert sorted(file.name for file in code.folder.iterdir()) == ["a.pid", "go", "main.py"]


# -- signals on the way ---------------------------------------------------------------------------


@pytest.fixture
def halfway(succeed: Succeed, code: Code) -> tuple[Succession, int]:
    """A server whose successor boots until `code.go()`, and the successor's pid."""
    code.asgi()
    server = succeed("-w", "2", "--pid", "a.pid", "main:app")
    code.asgi("two", on_import=WAITS)
    new = server.begin()
    for worker in (0, 1):
        pid = server.wait_line(rf"\[{new}\] \[INFO\] worker={worker} gen=1 pid=(\d+) booting$")[1]
        server.wait_line(f"^importing {pid}$")  # so the code on disk may change
    return server, new


Halfway = tuple[Succession, int]


def test_a_second_one_is_refused(halfway: Halfway, code: Code) -> None:
    server, new = halfway
    os.kill(server.pid, signal.SIGUSR2)
    server.wait_line(rf"\[{server.pid}\] \[WARNING\] upgrade refused: one is under way$")
    os.kill(new, signal.SIGUSR2)
    server.wait_line(
        rf"\[{new}\] \[WARNING\] upgrade refused: this supervisor is one, and has not taken over"
    )
    code.go()
    server.complete(new)
    assert sum("upgrade started" in text for text in server.server.lines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_of_the_old_one_stops_everything(halfway: Halfway, code: Code, number: int) -> None:
    """Until the takeover it is the server: so does what has its pid expect."""
    server, new = halfway
    os.kill(server.pid, number)
    server.wait_line(rf"\[{server.pid}\] \[ERROR\] upgrade abandoned: pid={new}: the server stops$")
    server.all_gone()
    assert server.server.wait() == 0
    assert sorted(file.name for file in code.folder.iterdir()) == ["main.py"]


def test_a_stop_of_the_new_one_leaves_the_old_one(halfway: Halfway, code: Code) -> None:
    server, new = halfway
    os.kill(new, signal.SIGTERM)
    server.abandoned(new, "it ended before it was ready: status 0")
    assert (code.folder / "a.pid").read_text() == f"{server.pid}\n"


def test_the_new_one_is_on_its_own_if_the_old_one_dies(halfway: Halfway, code: Code) -> None:
    server, new = halfway
    code.asgi("one and a half")
    os.kill(server.pid, signal.SIGHUP)
    server.wait_line(rf"\[{server.pid}\] \[INFO\] reload complete: gen=2 ")
    with RawClient(server.server.target) as client:
        # A worker of the old one outlives it, one that was forked when there was the new one already.
        client.send(request(target="/wait"))
        client.read_head()
        os.kill(server.pid, signal.SIGKILL)
        server.wait_line(rf"\[{new}\] \[INFO\] upgrade complete: took over from pid={server.pid} ")
        wait_until(lambda: (code.folder / "a.pid").read_text() == f"{new}\n", "the pid file is the new one's")
        client.incoming.data.clear()
    code.go()
    wait_until(lambda: ask(server.server) == "two", "the new one serves")
    os.kill(new, signal.SIGTERM)
    server.all_gone()
    assert server.server.wait() == -signal.SIGKILL
    assert not (code.folder / "a.pid").exists()


def test_a_reload_of_the_old_one(halfway: Halfway, code: Code) -> None:
    server, new = halfway
    code.asgi("one and a half")
    os.kill(server.pid, signal.SIGHUP)
    server.wait_line(rf"\[{server.pid}\] \[INFO\] reload complete: gen=2 ")
    assert ask(server.server) == "one and a half"
    code.go()
    server.complete(new)
    assert ask(server.server) == "two"


def test_a_reload_of_the_new_one(halfway: Halfway, code: Code) -> None:
    server, new = halfway
    os.kill(new, signal.SIGHUP)
    code.go()
    server.complete(new)
    server.wait_line(rf"\[{new}\] \[INFO\] reload complete: gen=2 ")


def test_signals_before_it_has_handlers(succeed: Succeed, code: Code) -> None:
    """What is sent to a whole group of processes must not end the new one."""
    code.asgi()
    server = succeed("main:app")
    new = server.begin()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN):
        os.kill(new, number)
    server.complete(new)
    server.wait_line(rf"\[{new}\] \[INFO\] reload complete: gen=2 ")


def test_an_upgrade_waits_for_a_reload(succeed: Succeed, code: Code) -> None:
    code.asgi()
    server = succeed("main:app")
    code.asgi("two", on_import=WAITS)
    server.server.signal(signal.SIGHUP)
    server.wait_line("worker=0 gen=2 pid=.* booting$")
    server.server.signal(signal.SIGUSR2)
    server.wait_line(r"\[INFO\] upgrade waits: a reload is under way$")
    server.server.signal(signal.SIGUSR2)
    server.wait_line("upgrade refused: one is under way$")
    assert not any("upgrade started" in text for text in server.server.lines())
    code.go()
    new = int(server.wait_line(r"upgrade started: pid=(\d+)$")[1])
    lines = server.server.lines()
    assert lines.index(server.wait_line("reload complete").string) < lines.index(
        server.wait_line("upgrade started").string
    )
    server.complete(new)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_gunicorns_procedure_by_hand(halfway: Halfway, code: Code, number: int) -> None:
    """USR2, then WINCH and TERM or QUIT to the old one, here even before the new one is ready."""
    server, new = halfway
    os.kill(server.pid, signal.SIGWINCH)
    for worker in (0, 1):
        server.wait_line(rf"\[{server.pid}\] \[INFO\] worker={worker} gen=1 pid=\d+ exited$")
    with RawClient(server.server.target) as client:
        client.send(request(headers=[("Connection", "close")]))  # it waits in the queue
        os.kill(server.pid, number)
        server.complete(new)
        assert (code.folder / "a.pid").read_text() == f"{new}\n"
        code.go()
        assert client.read().text == "two"


def test_back_to_the_old_one_by_hand(halfway: Halfway, code: Code) -> None:
    """WINCH to the old one, then HUP to it and TERM to the new one."""
    server, new = halfway
    os.kill(server.pid, signal.SIGWINCH)
    server.wait_line(rf"\[{server.pid}\] \[INFO\] workers wanted: 0$")
    code.asgi()
    os.kill(server.pid, signal.SIGHUP)
    os.kill(new, signal.SIGTERM)
    server.wait_line(rf"\[{server.pid}\] \[INFO\] reload complete: gen=2 ")
    server.abandoned(new, "it ended before it was ready: status 0")


# -- together with others -------------------------------------------------------------------------


def test_systemd_learns_of_it(succeed: Succeed, code: Code, tmp_path: Path) -> None:
    code.asgi()
    manager = Manager(str(tmp_path / "notify"))
    try:
        environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"}
        server = succeed("main:app", env=environment)
        manager.wait("READY", "1")
        code.asgi("two", on_import=WAITS)
        new = server.begin()
        upgrading = manager.wait("STATUS", "1 worker, upgrading")
        assert "WATCHDOG_PID" not in server.environment(new)
        code.go()
        main = manager.wait("MAINPID", str(new))
        # The new one is not heard before that.
        assert {key for message in manager.messages[upgrading:main] for key in message} <= {
            "WATCHDOG",
            "STATUS",
        }
        ready = manager.wait("READY", "1", since=main)
        manager.wait("WATCHDOG", "1", since=ready)
        server.complete(new)
        server.stop()
        stopping = manager.wait("STOPPING", "1")
        assert stopping > ready
        assert manager.kinds().count("STOPPING") == 1
    finally:
        manager.close()


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="needs systemd-socket-activate")
def test_sockets_of_a_service_manager(code: Code, tmp_path: Path) -> None:
    code.asgi()
    path = tmp_path / "web.sock"
    prefix = ["systemd-socket-activate", "-l", str(path), "--fdname=web"]
    process = ServerProcess("main:app", cwd=code.folder, bind="fd://web", prefix=prefix).start(ready=False)
    try:
        process.wait_line("Listening on ")
        with RawClient(str(path)) as client:
            assert client.ask(request()).text == "one"
        process.wait_ready()
        server = Succession(process)
        code.asgi("three")  # of another length: the environment that has it compiled anew is not passed on
        server.complete(server.begin())
        assert ask(process) == "three"
        server.complete(server.begin())
        server.stop()
        assert path.exists()
    finally:
        process.kill()


def test_a_daemon_stays_one(code: Code) -> None:
    code.asgi()
    log = code.folder / "log"
    options = ("--daemon", "--pid", "a.pid", "--error-logfile", "log")
    command = ServerProcess(*options, "main:app", cwd=code.folder, bind="unix:a.sock").start(ready=False)
    assert command.wait() == 0
    first = int((code.folder / "a.pid").read_text())
    second = first
    try:
        os.kill(first, signal.SIGUSR2)
        wait_until(lambda: " [INFO] upgrade complete: " in log.read_text(), "the upgrade is complete")
        wait_until(lambda: not (code.folder / "a.pid.2").exists(), "the pid file is in its place")
        second = int((code.folder / "a.pid").read_text())
        assert second != first
        assert os.readlink(f"/proc/{second}/fd/2") == os.devnull
        wait_until(lambda: not Path(f"/proc/{first}").exists(), "the first one has ended")
        os.kill(second, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{second}").exists(), "the second one has ended")
    finally:
        for pid in {first, second}:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)
    assert not (code.folder / "a.sock").exists()
    assert "Traceback" not in log.read_text()


def test_two_upgrades_at_once_of_a_stopped_supervisor(succeed: Succeed, code: Code) -> None:
    """The old one cannot answer for a while: the new one serves beside it, and waits."""
    code.asgi()
    server = succeed("main:app")
    code.asgi("two", on_import=WAITS)
    new = server.begin()
    os.kill(server.pid, signal.SIGSTOP)
    code.go()
    server.wait_line(rf"\[{new}\] \[INFO\] ready: 1 worker in ")
    time.sleep(0.1)
    assert not any("upgrade complete" in text for text in server.server.lines())
    os.kill(server.pid, signal.SIGCONT)
    server.complete(new)
