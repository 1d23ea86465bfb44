"""Reloads that change the settings: what is taken over, what stays, and what leaves everything as it was."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.reliability.conftest import Code, ask, pid_of, wait_until, worker_log
from tests.support.client import RawClient, Target, request
from tests.support.process import ServerProcess

# The command, with a file of settings as another source of them.
_PROGRAM = """
import json, os, pathlib, sys
from aserve import cli, config

def load():
    values = json.loads(pathlib.Path("settings.json").read_text())  # deliberate
    return config.resolve({"app": "main:app", **values}, os.environ)

sys.exit(cli.run(load(), None, load))
"""

Configured: TypeAlias = Callable[..., ServerProcess]


def write(code: Code, **settings: object) -> None:
    """Write the settings that hold from the next reload on."""
    new = code.folder / "settings.json.new"
    new.write_text(json.dumps({"bind": "127.0.0.1:0", **settings}))
    new.replace(code.folder / "settings.json")


@pytest.fixture
def configured(code: Code) -> Iterator[Configured]:
    """Start a server whose settings can be written again."""
    servers: list[ServerProcess] = []

    def start(*, ready: bool = True, **settings: object) -> ServerProcess:
        code.asgi()
        (code.folder / "program.py").write_text(_PROGRAM)
        write(code, **settings)
        server = ServerProcess(cwd=code.folder)
        server.command[1:] = ["-W", "always::ResourceWarning", "program.py"]
        servers.append(server)
        return server.start(ready=ready)

    yield start
    for server in servers:
        server.finish()


def reload(server: ServerProcess, generation: int) -> None:
    server.signal(signal.SIGHUP)
    server.wait_line(f"reload complete: gen={generation} ")


def answer(target: Target) -> str:
    with RawClient(target) as client:
        return client.ask(request(headers=[("Connection", "close")])).text


def refused(target: Target) -> bool:
    family = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
    with socket.socket(family) as sock:
        return sock.connect_ex(target) != 0


# -- workers ----------------------------------------------------------------------------------


def test_more_workers(configured: Configured, code: Code) -> None:
    server = configured(workers=1)
    write(code, workers=3)
    reload(server, 2)
    wait_until(lambda: len(server.worker_pids()) == 3, "three workers")
    assert {int(number) for number in re.findall(r"worker=(\d) gen=2 .* ready", server.output())} == {0, 1, 2}


def test_fewer_workers(configured: Configured, code: Code) -> None:
    """Those that are too many go last, when it is known that the new ones come up."""
    server = configured(workers=3)
    write(code, workers=1)
    reload(server, 2)
    wait_until(lambda: len(server.worker_pids()) == 1, "one worker")
    events = [line.partition(":")[0] for line in worker_log(server)]
    assert events.index("worker=0 gen=2 ready") < events.index("worker=2 gen=1 draining")
    assert events.index("worker=2 gen=1 draining") < events.index(
        next(event for event in events if event.startswith("reload complete"))
    )


def test_more_workers_of_broken_code(configured: Configured, code: Code) -> None:
    server = configured(workers=1)
    old = server.worker_pids()
    write(code, workers=3)
    code.broken("raise RuntimeError('deliberate')\n")
    server.signal(signal.SIGHUP)
    server.wait_line(r"reload abandoned: gen=2: importing 'main' failed: RuntimeError: deliberate$")
    booted = {int(pid) for pid in re.findall(r"gen=2 pid=(\d+) booting", server.output())}
    for pid in booted:
        server.wait_line(rf"pid={pid} exited$")
    assert server.worker_pids() == old
    assert ask(server) == "one"


def test_other_code(configured: Configured, code: Code) -> None:
    server = configured()
    (code.folder / "other.py").write_text((code.folder / "main.py").read_text().replace("'one'", "'two'"))
    write(code, app="other:app")
    reload(server, 2)
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")
    assert ask(server) == "two"


def test_each_generation_keeps_its_times(configured: Configured, code: Code) -> None:
    server = configured(graceful_timeout="0.5", timeout="30")
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        write(code, graceful_timeout="60", timeout="1")
        reload(server, 2)
        server.wait_line(r"gen=1 pid=\d+: 0\.5 s are over, connections cut off: 1$")
        client.incoming.data.clear()
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")
    with RawClient(server.target) as client:
        client.send(request(target="/block"))
        client.read_head()
        server.wait_line(r"worker=0 gen=2 pid=\d+ silent for 1 s: aborting it$")
        server.wait_line(r"worker=0 gen=2 pid=\d+ died: signal SIGABRT$")
        client.incoming.data.clear()
    # Who replaces it runs with the new ones, too.
    wait_until(
        lambda: sum("gen=2" in text and "ready:" in text for text in server.lines()) == 2, "it is ready"
    )


# -- addresses --------------------------------------------------------------------------------


def target_of(server: ServerProcess, index: int) -> tuple[str, int]:
    return "127.0.0.1", int(server.addresses[index].rpartition(":")[2])


def test_an_address_more(configured: Configured, code: Code) -> None:
    server = configured()
    write(code, bind=["127.0.0.1:0", "127.0.0.1:0", "unix:new.sock"])
    reload(server, 2)
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")
    assert len(server.addresses) == 3, "the first one was opened again"
    path = os.path.relpath(code.folder / "new.sock")
    assert [answer(target) for target in (target_of(server, 0), target_of(server, 1), path)] == ["one"] * 3
    server.stop()
    assert not (code.folder / "new.sock").exists()


def test_an_address_less(configured: Configured, code: Code) -> None:
    server = configured(bind=["127.0.0.1:0", "unix:old.sock"], workers=2)
    path = os.path.relpath(code.folder / "old.sock")
    assert answer(path) == "one"
    with RawClient(server.target) as kept:
        assert kept.ask(request()).text == "one"
        write(code)
        reload(server, 2)
        server.wait_line(r"no longer listening on unix:.*old\.sock$")
        assert kept.ask(request()).text == "one"
    assert not (code.folder / "old.sock").exists()
    assert ask(server) == "one"
    write(code, bind=["127.0.0.1:0", "unix:old.sock"])
    reload(server, 3)
    assert answer(path) == "one"


def test_who_waits_at_an_address_that_goes_is_served(configured: Configured, code: Code) -> None:
    """By the last of the old workers: nobody else could."""
    server = configured(bind=["127.0.0.1:0", "127.0.0.1:0"], timeout="0")
    (pid,) = server.worker_pids()
    target = target_of(server, 1)
    os.kill(pid, signal.SIGSTOP)
    clients = [RawClient(target) for _ in range(100)]
    for client in clients:
        client.send(request())
    write(code)
    server.signal(signal.SIGHUP)
    server.wait_line("no longer listening on")
    os.kill(pid, signal.SIGCONT)
    for client in clients:
        with client:
            assert client.read().text == "one"
    server.wait_line("reload complete: gen=2")
    wait_until(lambda: refused(target), "nobody listens any more")
    assert ask(server) == "one"


def test_an_address_that_cannot_be_had_leaves_everything_as_it_was(
    configured: Configured, code: Code
) -> None:
    server = configured()
    old = server.worker_pids()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write(code, bind=["127.0.0.1:0", "unix:new.sock", f"127.0.0.1:{port}"], workers=3)
        server.signal(signal.SIGHUP)
        server.wait_line(
            rf"reload abandoned: gen=2: cannot listen on 127\.0\.0\.1:{port}: the address is in use"
        )
    assert not (code.folder / "new.sock").exists()
    assert server.worker_pids() == old
    assert not any("booting" in line for line in server.lines("stderr")[-2:])
    reload(server, 3)
    assert len(server.worker_pids()) >= 3


def test_the_addresses_of_an_abandoned_reload_are_closed(configured: Configured, code: Code) -> None:
    server = configured()
    code.broken("raise RuntimeError('deliberate')\n")
    write(code, bind=["127.0.0.1:0", "127.0.0.1:0"])
    server.signal(signal.SIGHUP)
    server.wait_line("reload abandoned: gen=2")
    target = target_of(server, 1)
    server.wait_line(rf"no longer listening on http://127.0.0.1:{target[1]}$")
    wait_until(lambda: refused(target), "it is closed")
    assert ask(server) == "one"


def test_both_generations_serve_their_addresses_when_a_reload_gets_stuck_half_way(
    configured: Configured, code: Code
) -> None:
    server = configured(workers=2, bind=["127.0.0.1:0", "127.0.0.1:0"])
    code.asgi(
        "two",
        on_import="if (FOLDER / 'second').exists(): raise RuntimeError('deliberate')\n"
        "(FOLDER / 'second').touch()",
    )
    write(code, workers=2, bind=["127.0.0.1:0", "unix:new.sock"])
    server.signal(signal.SIGHUP)
    server.wait_line("reload abandoned: gen=2")
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")
    path = os.path.relpath(code.folder / "new.sock")
    assert answer(path) == "two"
    assert answer(target_of(server, 1)) == "one"
    assert {ask(server) for _ in range(50)} == {"one", "two"}
    # When the last worker with the new address is gone, so is the address.
    code.asgi("three")
    os.kill(pid_of(server, 0, 2), signal.SIGKILL)
    server.wait_line(r"no longer listening on unix:.*new\.sock$")
    wait_until(lambda: not (code.folder / "new.sock").exists(), "it is removed")
    assert answer(target_of(server, 1)) in ("one", "three")


# -- what does not load -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '{"workers": "many"}',
            "--workers: 'many' is not a whole number: write a whole number from 1 on, or auto",
        ),
        ("{", "the configuration cannot be loaded: JSONDecodeError: .*"),
        ('{"error_logfile": "no/where"}', "--error-logfile: cannot write to 'no/where': .*"),
        ('{"access_logfile": "no/where"}', "--access-logfile: cannot write to 'no/where': .*"),
        ('{"chdir": "nowhere"}', "--chdir: cannot change to 'nowhere': .*"),
    ],
)
def test_settings_that_do_not_hold(configured: Configured, code: Code, text: str, reason: str) -> None:
    server = configured()
    server.allowed_tracebacks.append("JSONDecodeError")
    old = server.worker_pids()
    code.asgi("two")
    (code.folder / "settings.json").write_text(text)
    server.signal(signal.SIGHUP)
    server.wait_line(rf"\[ERROR\] reload abandoned: gen=2: {reason}$")
    assert ask(server) == "one"
    # Who dies is replaced with the settings that still hold.
    os.kill(old[0], signal.SIGKILL)
    wait_until(lambda: len(server.worker_pids()) == 1 and server.worker_pids() != old, "a new worker")
    write(code)
    reload(server, 3)
    assert ask(server) == "two"


# -- logs, folder -----------------------------------------------------------------------------


def lines(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_other_logs(configured: Configured, code: Code) -> None:
    server = configured(error_logfile="one.log", ready=False)
    first, second, access = (code.folder / name for name in ("one.log", "two.log", "access.log"))
    wait_until(lambda: "ready: 1 worker" in lines(first), "it is ready")
    write(code, error_logfile="two.log", access_logfile="access.log", log_level="debug")
    server.signal(signal.SIGHUP)
    wait_until(lambda: "reload complete: gen=2" in lines(second), "it is in the new file")
    assert "reload started: gen=2" in lines(first)
    match = re.search(r"listening on http://127.0.0.1:(\d+)", lines(first))
    assert match
    wait_until(
        lambda: answer(("127.0.0.1", int(match[1]))) == "one" and "GET / " in lines(access), "it is logged"
    )
    server.stop()
    assert "stopped" in lines(second)
    assert "stopped" not in lines(first)


def test_logs_of_an_abandoned_reload_are_not_taken(configured: Configured, code: Code) -> None:
    server = configured()
    code.broken("raise RuntimeError('deliberate')\n")
    write(code, error_logfile="two.log")
    server.signal(signal.SIGHUP)
    server.wait_line("reload abandoned: gen=2")
    server.stop()
    assert server.lines("stderr")[-1].endswith("stopped")


def test_a_link_that_leads_elsewhere_by_now(code: Code, tmp_path: Path) -> None:
    """What `current` of a deployment is: the name counts, for --chdir and for the folder of the start."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Code(tmp_path / name).asgi(name)
    link = tmp_path / "current"
    link.symlink_to("one")
    for args, cwd in ((("--chdir", "current"), tmp_path), ((), link)):
        server = ServerProcess(*args, "main:app", cwd=cwd, env={"PWD": str(cwd)})
        with server:
            assert ask(server) == "one"
            (tmp_path / "next").symlink_to("two")
            (tmp_path / "next").replace(link)
            reload(server, 2)
            server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")
            assert ask(server) == "two"
        link.unlink()
        link.symlink_to("one")


def test_the_environment_is_read_as_it_was(configured: Configured) -> None:
    """A plain HUP without a configuration file changes nothing but the code."""
    server = ServerProcess("main:app", cwd=Path(configured().cwd), env={"ASERVE_WORKERS": "2"})
    with server:
        reload(server, 2)
        wait_until(lambda: len(server.worker_pids()) == 2, "two workers again")


# -- watched files ----------------------------------------------------------------------------


def test_the_watcher_comes_and_goes_with_the_settings(configured: Configured, code: Code) -> None:
    (code.folder / "src").mkdir()
    server = configured()
    write(code, reload=True, reload_engine="poll")
    reload(server, 2)
    first = server.wait_line(r"watcher pid=(\d+) ready: 2 files in 2 folders, polling$")[1]
    write(code, reload=True, reload_engine="poll", reload_dirs="src")
    reload(server, 3)
    server.wait_line(rf"watcher pid={first} exited$")
    second = server.wait_line(r"watcher pid=(\d+) ready: 0 files in 1 folder, polling$")[1]
    (code.folder / "src" / "names.py").touch()
    server.wait_line(r"\] changed: src/names\.py$")
    server.wait_line("reload complete: gen=4 ")
    write(code)
    reload(server, 5)
    server.wait_line(rf"watcher pid={second} exited$")
    server.stop()
    assert sum(" watcher " in text and "booting" in text for text in server.lines("stderr")) == 2
