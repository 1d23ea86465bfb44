"""Reloads: new code is picked up, and bad code leaves the old in service."""

from __future__ import annotations

import os
import re
import shutil
import signal

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, pid_of, wait_until, worker_log
from tests.support.client import RawClient, request


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_reload_picks_up_new_code(serve: Serve, code: Code, interface: str) -> None:
    code.write(interface)
    server = serve("-w", "2", "main:app")
    old = server.worker_pids()
    code.write(interface, "two")
    before = server.mark()
    server.signal(signal.SIGHUP)
    server.wait_line(r"reload started: gen=2$", since=before)
    server.wait_line(r"reload complete: gen=2 in \d+\.\d\d s$")
    for number in (0, 1):
        server.wait_line(rf"worker={number} gen=1 pid=\d+ exited$")
    assert {ask(server) for _ in range(6)} == {"two"}
    assert not set(server.worker_pids()) & set(old)
    # One at a time, no old one goes before its successor is ready, and the reload is complete
    # when no old one takes connections any more.
    events = [line.partition(":")[0] for line in worker_log(server)]
    when = [
        events.index(f"worker={number} gen=2 {event}") for number in (0, 1) for event in ("booting", "ready")
    ]
    assert when == sorted(when)
    complete = next(index for index, event in enumerate(events) if event.startswith("reload complete"))
    for number in (0, 1):
        draining = events.index(f"worker={number} gen=1 draining")
        assert events.index(f"worker={number} gen=2 ready") < draining < complete


def test_modules_of_the_application_are_new_as_well(serve: Serve, code: Code) -> None:
    package = code.folder / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("NAME = 'old'\n")
    code.asgi(on_import="import shop; VERSION = shop.NAME")
    server = serve("main:app")
    assert ask(server) == "old"
    (package / "__init__.py").write_text("from shop.names import NAME\n")
    (package / "names.py").write_text("NAME = 'new'\n")  # a file that was not there before
    server.signal(signal.SIGHUP)
    server.wait_line("worker=0 gen=1 .* exited")
    assert ask(server) == "new"


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_request_in_the_old_worker_is_finished_there(serve: Serve, code: Code, interface: str) -> None:
    code.write(interface)
    server = serve("main:app")
    with RawClient(server.target) as waiting, RawClient(server.target) as idle:
        assert idle.ask(request()).text == "one"
        waiting.send(request(target="/wait"))
        waiting.read_head()
        code.write(interface, "two")
        server.signal(signal.SIGHUP)
        server.wait_line("reload complete: gen=2")
        assert ask(server) == "two"
        # A connection that was idle is not closed under its client: one more answer, and the end.
        last = idle.ask(request())
        assert last.text == "one"
        assert "close" in last.connection
        assert idle.read_until_closed() == b""
        code.go()
        assert b"one" in waiting.read_bytes(len(b"6\r\nbegun \r\n3\r\none\r\n"))
        waiting.incoming.data.clear()
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")


def _broken(code: Code, how: str) -> None:
    match how:
        case "import":
            code.broken("import gone_for_good  # deliberate\n")
        case "syntax":
            code.broken("def app(:  # deliberate\n")
        case "attribute":
            code.broken("x = 1\n")
        case "lifespan":
            code.asgi("bad", on_startup="raise RuntimeError('deliberate')")
        case "exit":
            code.broken("import os; os._exit(0)\n")
        case "killed":
            code.broken("import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n")
        case "hangs":
            code.asgi("bad", on_import="time.sleep(3600)")
        case "hangs in lifespan":
            code.asgi("bad", on_startup="await asyncio.sleep(3600)")


BROKEN = {
    "import": "importing 'main' failed: No module named 'gone_for_good': is it installed for .*",
    "syntax": "importing 'main' failed: SyntaxError: .*",
    "attribute": "module 'main' has no attribute 'app'.*",
    "lifespan": ".*RuntimeError: deliberate.*",
    "exit": "the worker died while it booted: status 0",
    "killed": "the worker died while it booted: signal SIGKILL",
    "hangs": r"not ready within 2 s \(--boot-timeout\)",
    "hangs in lifespan": r"not ready within 2 s \(--boot-timeout\)",
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_code_leaves_the_old_workers_in_service(serve: Serve, code: Code, how: str) -> None:
    code.asgi()
    server = serve("-w", "2", "--boot-timeout", "2", "--lifespan", "on", "main:app")
    old = server.worker_pids()
    _broken(code, how)
    server.signal(signal.SIGHUP)
    server.wait_line(rf"\[ERROR\] reload abandoned: gen=2: {BROKEN[how]}$")
    server.wait_line(r"worker=0 gen=2 pid=\d+ (exited|died: signal SIG(KILL|ABRT)|died: status 0)$")
    assert server.worker_pids() == old
    assert {ask(server) for _ in range(6)} == {"one"}
    if how in ("import", "syntax", "lifespan"):
        assert any("main.py" in text for text in server.lines("stderr"))
    if how.startswith("hangs"):
        server.wait_line(r'File ".*", line \d+ in ')
    assert sum("booting" in text for text in server.lines("stderr")) == 3, "it was tried again"
    # and a later one can succeed
    code.asgi("two")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=3")
    for number in (0, 1):
        server.wait_line(rf"worker={number} gen=1 pid=\d+ exited$")
    assert {ask(server) for _ in range(6)} == {"two"}


def test_a_working_folder_that_is_gone(serve: Serve, code: Code) -> None:
    """No traceback of ours; and when it is back, a reload finds it."""
    code.asgi()
    server = serve("main:app")
    shutil.rmtree(code.folder)
    server.signal(signal.SIGHUP)
    server.wait_line(r"reload abandoned: gen=2: no module named 'main'")
    assert ask(server) == "one"
    code.folder.mkdir()
    code.asgi("two")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=3 ")
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")
    assert ask(server) == "two"


def test_code_that_breaks_half_way_through_a_reload(serve: Serve, code: Code) -> None:
    """The first new worker is in service already; it stays, and so does the second old one."""
    code.asgi()
    server = serve("-w", "2", "main:app")
    code.asgi(
        "two",
        on_import="if (FOLDER / 'second').exists(): raise RuntimeError('deliberate')\n"
        "(FOLDER / 'second').touch()",
    )
    server.signal(signal.SIGHUP)
    server.wait_line(r"reload abandoned: gen=2: importing 'main' failed: RuntimeError: deliberate$")
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")
    server.wait_line(r"worker=1 gen=2 pid=\d+ exited$")
    assert len(server.worker_pids()) == 2
    (code.folder / "second").unlink()
    code.asgi("three")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=3")
    wait_until(lambda: len(server.worker_pids()) == 2, "the old workers have ended")
    assert {ask(server) for _ in range(6)} == {"three"}


def test_new_code_that_dies_as_soon_as_it_serves(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    code.asgi(
        "two",
        on_startup="(FOLDER / 'go').exists() or asyncio.get_running_loop().call_later(0.05, os._exit, 7)",
        on_import="time.sleep(0.3)",
    )
    server.signal(signal.SIGHUP)
    server.wait_line(r"reload abandoned: gen=2: a new worker died: status 7$")
    assert ask(server) == "one"  # the second old worker has not been replaced
    code.go()


def test_hups_during_a_reload_become_one_more_reload(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    code.asgi("two", on_import="while not (FOLDER / 'go').exists(): time.sleep(0.01)")
    server.signal(signal.SIGHUP)
    server.wait_line(r"worker=0 gen=2 pid=\d+ booting$")
    for _ in range(5):
        server.signal(signal.SIGHUP)
    code.asgi("three")  # the worker that boots has read the file already, or not: it is replaced
    code.go()
    server.wait_line("reload complete: gen=3")
    wait_until(lambda: len(server.worker_pids()) == 2, "the old workers have ended")
    assert {ask(server) for _ in range(6)} == {"three"}
    assert sum("reload started" in text for text in server.lines("stderr")) == 2


def test_a_hup_during_the_boot_is_not_lost(serve: Serve, code: Code) -> None:
    code.asgi(on_import="while not (FOLDER / 'go').exists(): time.sleep(0.01)\nsay('late')")
    server = serve("-w", "2", "main:app", ready=False)
    server.wait_line("worker=1 gen=1 pid=\\d+ booting")
    server.signal(signal.SIGHUP)
    code.go()
    server.wait_line("ready: 2 workers")
    server.wait_line("reload complete: gen=2")
    events = worker_log(server)
    assert not any(
        "reload" in event for event in events[: [e.startswith("ready:") for e in events].index(True)]
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_during_a_reload(serve: Serve, code: Code, number: signal.Signals) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    code.asgi("two", on_import="say('importing'); time.sleep(3600)")
    server.signal(signal.SIGHUP)
    server.wait_line("^importing$")
    server.stop(number, timeout=10)
    assert not any("abandoned" in text or "died" in text for text in server.lines("stderr"))


def test_an_old_worker_that_dies_during_a_reload_is_replaced_by_new_code(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    code.asgi("two", on_import="while not (FOLDER / 'go').exists(): time.sleep(0.01)")
    server.signal(signal.SIGHUP)
    server.wait_line(r"worker=0 gen=2 pid=\d+ booting$")
    os.kill(pid_of(server, 1), signal.SIGKILL)
    server.wait_line(r"worker=1 gen=2 pid=\d+ booting$")
    code.go()
    server.wait_line("reload complete: gen=2")
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")
    assert {ask(server) for _ in range(6)} == {"two"}


def test_the_worker_that_boots_is_killed_during_a_reload(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    code.asgi("two", on_import="time.sleep(3600)")
    server.signal(signal.SIGHUP)
    pid = int(server.wait_line(r"worker=0 gen=2 pid=(\d+) booting$")[1])
    os.kill(pid, signal.SIGKILL)
    server.wait_line(r"reload abandoned: gen=2: the worker died while it booted: signal SIGKILL$")
    assert ask(server) == "one"


def test_twenty_reloads_in_a_row(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    for generation in range(2, 22):
        code.asgi(f"version {generation}")
        server.signal(signal.SIGHUP)
        server.wait_line(f"reload complete: gen={generation} ")
    wait_until(lambda: len(server.worker_pids()) == 2, "the old workers have ended")
    assert {ask(server) for _ in range(6)} == {"version 21"}
    died = [text for text in server.lines("stderr") if re.search("died|ERROR", text)]
    assert died == server.warnings() == []
