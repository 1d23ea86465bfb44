"""Signals to the supervisor other than those that stop and reload: see docs/signals.md."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import HEARS_SIGNALS, Code, ask, wait_until
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess


def count(server: ServerProcess) -> int:
    """Return how many workers are there, those that drain included."""
    return len(server.worker_pids())


# -- more and less ----------------------------------------------------------------------------


def test_one_worker_more_and_one_less(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    server.signal(signal.SIGTTIN)
    server.wait_line(r"workers wanted: 3$")
    server.wait_line(r"worker=2 gen=1 pid=\d+ ready: ")
    server.signal(signal.SIGTTOU)
    server.wait_line(r"workers wanted: 2$")
    server.wait_line(r"worker=2 gen=1 pid=\d+ exited$")
    server.signal(signal.SIGTTOU)
    server.wait_line(r"worker=1 gen=1 pid=\d+ exited$")
    assert count(server) == 1
    server.signal(signal.SIGTTOU)
    server.signal(signal.SIGUSR1)
    server.wait_line("log files reopened")  # TTOU has been taken, too: the last worker stays
    assert count(server) == 1
    before = server.mark()
    server.signal(signal.SIGTTIN)
    server.wait_line(r"worker=1 gen=1 pid=\d+ ready: ", since=before)
    assert ask(server) == "one"
    assert sum("wanted: 1" in text for text in server.lines("stderr")) == 1


def test_one_worker_less_finishes_its_requests(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        server.signal(signal.SIGTTIN)  # so that there is one that may take the place of either
        server.wait_line(r"worker=2 gen=1 pid=\d+ ready: ")
        for wanted in (2, 1):
            server.signal(signal.SIGTTOU)
            server.wait_line(rf"workers wanted: {wanted}$")
        server.wait_line(r"worker=2 gen=1 pid=\d+ draining$")
        server.wait_line(r"worker=1 gen=1 pid=\d+ draining$")
        assert ask(server) == "one"
        code.go()
        assert b"one" in client.read_bytes(len(b"6\r\nbegun \r\n3\r\none\r\n"))
        client.incoming.data.clear()


def test_a_reload_brings_the_number_of_the_settings_back(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    server.signal(signal.SIGTTIN)
    server.wait_line(r"worker=2 gen=1 pid=\d+ ready: ")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=2")
    wait_until(lambda: count(server) == 2, "the third worker has ended")
    assert not any("worker=2 gen=2" in text for text in server.lines("stderr"))


def test_an_abandoned_reload_does_not(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    server.signal(signal.SIGTTIN)
    server.wait_line(r"worker=1 gen=1 pid=\d+ ready: ")
    code.broken("raise RuntimeError('deliberate')\n")
    server.signal(signal.SIGHUP)
    server.wait_line("reload abandoned: gen=2")
    assert count(server) == 2


def test_more_workers_during_a_reload_run_the_new_code(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    code.asgi("two", on_import="while not (FOLDER / 'go').exists(): time.sleep(0.01)")
    server.signal(signal.SIGHUP)
    server.wait_line(r"worker=0 gen=2 pid=\d+ booting$")
    server.signal(signal.SIGTTIN)
    server.wait_line(r"worker=1 gen=2 pid=\d+ booting$")
    code.go()
    server.wait_line("reload complete: gen=2")
    wait_until(lambda: count(server) == 2, "two workers")


def test_a_worker_that_boots_can_be_one_too_many(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    code.asgi("two", on_import="say('importing'); time.sleep(3600)")
    server.signal(signal.SIGTTIN)
    server.wait_line("^importing$")
    server.signal(signal.SIGTTOU)
    server.wait_line(r"worker=1 gen=1 pid=\d+ exited$")
    assert count(server) == 1


# -- no workers -------------------------------------------------------------------------------


@pytest.mark.parametrize("back", [signal.SIGHUP, signal.SIGTTIN])
def test_all_workers_drain_and_the_supervisor_stays(serve: Serve, code: Code, back: signal.Signals) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    with RawClient(server.target) as waiting:
        waiting.send(request(target="/wait"))
        waiting.read_head()
        server.signal(signal.SIGWINCH)
        server.wait_line(r"workers wanted: 0$")
        for number in (0, 1):
            server.wait_line(rf"worker={number} gen=1 pid=\d+ draining$")
        code.go()
        assert b"one" in waiting.read_until_closed()
    wait_until(lambda: count(server) == 0, "both have ended")
    assert server.running
    # Who connects meanwhile waits, and is served when there are workers again.
    with RawClient(server.target) as client:
        client.send(request())
        code.asgi("two")
        server.signal(back)
        assert client.read().text == "two"
        before = 2 if back == signal.SIGHUP else 1
        wait_until(lambda: count(server) == before, "workers are back")
    if back == signal.SIGHUP:
        server.wait_line("reload complete: gen=2")
    else:
        server.wait_line(r"workers wanted: 1$")


def test_a_reload_is_given_up_for_it(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    code.asgi("two", on_import="say('importing'); time.sleep(3600)")
    server.signal(signal.SIGHUP)
    server.wait_line("^importing$")
    server.signal(signal.SIGWINCH)
    server.wait_line(r"reload abandoned: gen=2: signal SIGWINCH$")
    wait_until(lambda: count(server) == 0, "all have ended")
    server.wait_line(r"worker=0 gen=2 pid=\d+ exited$")
    code.asgi("three")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=3")
    assert ask(server) == "three"


def test_a_server_without_workers_can_be_stopped(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    server.signal(signal.SIGWINCH)
    wait_until(lambda: count(server) == 0, "it has ended")
    server.stop()


def test_a_window_that_changes_its_size_ends_nobody(code: Code) -> None:
    """At a terminal the kernel sends WINCH, and nobody means it."""
    code.asgi()
    with ServerProcess("--log-level", "debug", "main:app", cwd=code.folder, prefix=_AT_A_TERMINAL) as server:
        server.signal(signal.SIGWINCH)
        server.wait_line(r"signal SIGWINCH ignored: a window may have changed its size$")
        assert ask(server) == "one"


# Makes a terminal the one of the program that follows, and keeps it for as long as that runs.
_AT_A_TERMINAL = (
    sys.executable,
    "-c",
    "import fcntl, os, pty, sys, termios\n"
    "master, slave = pty.openpty()\n"
    "fcntl.ioctl(slave, termios.TIOCSCTTY, 0)\n"
    "os.set_inheritable(master, True)\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n",
)


# -- log files --------------------------------------------------------------------------------


@pytest.fixture
def logged(serve: Serve, code: Code) -> ServerProcess:
    """A server of two workers with both logs in files."""
    code.asgi()
    return serve(
        *("-w", "2", "--error-logfile", "error.log", "--access-logfile", "access.log"),
        *("--access-logformat", "%(p)s %(U)s", "main:app"),
        ready=False,
    )


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_log_files_are_reopened_after_a_rotation(logged: ServerProcess, code: Code) -> None:
    error, access = code.folder / "error.log", code.folder / "access.log"
    wait_until(lambda: any("ready: 2 workers" in line for line in lines(error)), "it is ready")
    port = int(next(line for line in lines(error) if "listening" in line).rpartition(":")[2])

    def ask_all(path: str) -> set[str]:
        """Ask until both workers have answered; return their pids."""
        pids: set[str] = set()
        for _ in range(200):
            with RawClient(("127.0.0.1", port)) as client:
                pids.add(client.ask(request(target="/pid", headers=[("Connection", "close")])).text)
                client.close()
            if len(pids) == 2:
                break
        for _ in range(10):
            with RawClient(("127.0.0.1", port)) as client:
                client.ask(request(target=path, headers=[("Connection", "close")]))
        return pids

    ask_all("/before")
    error.rename(code.folder / "error.log.1")
    access.rename(code.folder / "access.log.1")
    ask_all("/between")  # goes to the old file
    logged.signal(signal.SIGUSR1)
    wait_until(lambda: any("log files reopened" in line for line in lines(error)), "the error log is new")
    pids = ask_all("/after")
    assert len(pids) == 2, "both workers were asked"
    wait_until(lambda: any("/after" in line for line in lines(access)), "the access log is new")
    for pid in pids:
        os.kill(int(pid), signal.SIGTERM)
    wait_until(lambda: sum("exited" in line for line in lines(error)) == 2, "the rest is in the new one")
    logged.stop()
    old, new = lines(code.folder / "access.log.1"), lines(access)
    for path in ("/before", "/between", "/after"):
        assert sum(path in line for line in [*old, *new]) == 10, f"{path}: {old} {new}"
    assert all(" /" in line for line in [*old, *new]), "a line was torn"
    assert any("stopped" in line for line in lines(error))
    assert not any("exited" in line for line in lines(code.folder / "error.log.1"))


def test_a_worker_that_boots_during_the_rotation_logs_to_the_new_file(serve: Serve, code: Code) -> None:
    code.asgi(on_import="import logging")
    server = serve("--error-logfile", "error.log", "main:app", ready=False)
    error = code.folder / "error.log"
    wait_until(lambda: any("ready: 1 worker" in line for line in lines(error)), "it is ready")
    code.asgi(
        on_import="import logging; while_ = (FOLDER / 'importing').touch()\n"
        "while not (FOLDER / 'go').exists(): time.sleep(0.01)",
        on_shutdown="logging.getLogger('aserve').warning('said by the worker')",
    )
    server.signal(signal.SIGHUP)
    wait_until((code.folder / "importing").exists, "the new worker imports")
    error.rename(code.folder / "error.log.1")
    server.signal(signal.SIGUSR1)
    wait_until(error.exists, "the log is new")
    code.go()
    wait_until(lambda: any("reload complete" in line for line in lines(error)), "it is in service")
    server.stop()
    assert any("said by the worker" in line for line in lines(error))


def test_a_log_file_that_cannot_be_made_leaves_the_old_one(serve: Serve, code: Code) -> None:
    code.asgi()
    folder = code.folder / "logs"
    folder.mkdir()
    server = serve("--error-logfile", "logs/error.log", "main:app", ready=False)
    wait_until(lambda: any("ready: 1 worker" in line for line in lines(folder / "error.log")), "it is ready")
    folder.rename(code.folder / "gone")
    server.signal(signal.SIGUSR1)
    old = code.folder / "gone" / "error.log"
    wait_until(lambda: any("cannot" in line for line in lines(old)), "it says so")
    server.stop()
    assert any("stopped" in line for line in lines(old))


def test_a_reload_reopens_the_log_as_well(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("--error-logfile", "error.log", "main:app", ready=False)
    error = code.folder / "error.log"
    wait_until(lambda: any("ready: 1 worker" in line for line in lines(error)), "it is ready")
    error.rename(code.folder / "error.log.1")
    server.signal(signal.SIGHUP)
    wait_until(lambda: any("reload complete" in line for line in lines(error)), "it goes on there")


# -- signals of the application's own ---------------------------------------------------------


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_handlers_that_the_application_gives_to_the_loop_are_called(
    serve: Serve, code: Code, loop: str
) -> None:
    code.broken(HEARS_SIGNALS)
    server = serve("--loop", loop, "main:app")
    assert ask(server) == "heard"
    [pid] = server.worker_pids()
    os.kill(pid, signal.SIGTERM)  # and the server's own are as well
    server.wait_line(rf"pid={pid} exited$")
