"""Workers that die, hang, or are told to stop by somebody else; and what they must not inherit."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, pid_of, wait_until, worker_log
from tests.support.client import RawClient, request
from tests.support.footprint import needs_proc, resident
from tests.support.host import group_members
from tests.support.process import ServerProcess

HARMLESS = [
    *(signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH),
]

_BACKTRACKING = """
import re

async def app(scope, receive, send):
    re.match(r"(a+)+$", 60 * "a" + "b")
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_a_worker_that_is_killed_is_replaced(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    first, second = pid_of(server, 0), pid_of(server, 1)
    before = server.mark()
    os.kill(first, signal.SIGKILL)
    server.wait_line(rf"\[ERROR\] worker=0 gen=1 pid={first} died: signal SIGKILL$")
    match = server.wait_line(r"worker=0 gen=1 pid=(\d+) ready: ", since=before)
    assert server.worker_pids() == [second, int(match[1])]
    assert ask(server) == "one"


def test_all_workers_are_killed_at_the_same_moment(serve: Serve, code: Code) -> None:
    """Several ends may be told by one CHLD signal."""
    code.asgi()
    server = serve("-w", "4", "main:app")
    old = server.worker_pids()
    os.kill(server.pid, signal.SIGSTOP)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    os.kill(server.pid, signal.SIGCONT)
    wait_until(
        lambda: len(server.worker_pids()) == 4 and not set(server.worker_pids()) & set(old),
        "four new workers",
    )
    assert worker_log(server).count("worker=3 gen=1 died: signal SIGKILL") == 1
    assert ask(server) == "one"


def test_a_worker_that_leaves_without_being_told_is_replaced(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/exit"))
        client.read_until_closed()
    server.wait_line(r"\[ERROR\] worker=0 gen=1 pid=\d+ died: status 0$")
    wait_until(lambda: len(server.worker_pids()) == 1, "a new worker")
    assert ask(server) == "one"


def test_a_crash_leaves_its_stack_in_the_log(serve: Serve, code: Code) -> None:
    code.asgi(on_shutdown="import faulthandler; faulthandler._sigsegv()")
    server = serve("main:app")
    (pid,) = server.worker_pids()
    server.stop()
    server.wait_line(rf"worker=0 gen=1 pid={pid} died: signal SIGSEGV$")
    server.wait_line(r"File \"main.py|main\.py\", line \d+ in app")


def test_a_worker_that_dies_again_and_again_is_replaced_more_and_more_slowly(
    serve: Serve, code: Code
) -> None:
    code.asgi()
    server = serve("main:app")
    code.broken("raise RuntimeError('deliberate')\n")
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    for delay in ("1", "2"):  # the one that was killed was young as well
        server.wait_line(
            rf"\[ERROR\] worker=0 gen=1 pid=\d+ failed: importing 'main' failed: "
            rf"RuntimeError: deliberate; next try in {delay} s$"
        )
    code.asgi("repaired")
    server.wait_line(r"worker=0 gen=1 pid=\d+ ready: ", since=server.mark())
    assert ask(server) == "repaired"


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_worker_whose_loop_hangs_is_killed_and_replaced(serve: Serve, code: Code, loop: str) -> None:
    code.asgi()
    server = serve("--timeout", "1", "--loop", loop, "main:app")
    (pid,) = server.worker_pids()
    with RawClient(server.target) as client:
        client.send(request(target="/block"))
        client.read_head()
        server.wait_line(rf"\[ERROR\] worker=0 gen=1 pid={pid} silent for 1 s: aborting it$")
        server.wait_line(rf"\[ERROR\] worker=0 gen=1 pid={pid} died: signal SIGABRT$")
        client.incoming.data.clear()
    server.wait_line(r"main\.py\", line \d+ in app$")  # where it hangs
    wait_until(lambda: len(server.worker_pids()) == 1, "a new worker")
    assert ask(server) == "one"


def test_the_stacks_of_a_loop_that_never_lets_go_of_the_interpreter(serve: Serve, code: Code) -> None:
    """No Python code can run then, not even a signal's handler."""
    code.broken(_BACKTRACKING)
    server = serve("--timeout", "1", "--lifespan", "off", "main:app")
    (pid,) = server.worker_pids()
    with RawClient(server.target) as client:
        client.send(request())
        server.wait_line(rf"worker=0 gen=1 pid={pid} died: signal SIGABRT$")
    server.wait_line(r"re/__init__\.py\", line \d+ in match$")
    server.wait_line(r"main\.py\", line \d+ in app$")
    wait_until(lambda: len(server.worker_pids()) == 1, "a new worker")


def test_a_worker_that_is_stopped_is_killed_and_replaced(serve: Serve, code: Code) -> None:
    """ABRT does nothing to a process that was stopped by STOP: KILL follows."""
    code.asgi()
    server = serve("--timeout", "1", "main:app")
    (pid,) = server.worker_pids()
    os.kill(pid, signal.SIGSTOP)
    server.wait_line(rf"worker=0 gen=1 pid={pid} silent for 1 s: aborting it$")
    server.wait_line(rf"worker=0 gen=1 pid={pid} does not end: killing it$")
    server.wait_line(rf"worker=0 gen=1 pid={pid} died: signal SIGKILL$")
    assert ask(server) == "one"


def test_an_idle_or_busy_worker_is_not_taken_for_a_hanging_one(serve: Serve, code: Code) -> None:
    """Start-up and import may block for longer than the timeout; so may a WSGI request."""
    code.wsgi(on_import="time.sleep(1.5)")
    server = serve("--timeout", "1", "main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        with pytest.raises(AssertionError, match="within 2"):
            server.wait_line("silent|died", timeout=2)
        code.go()
        assert b"one" in client.read_bytes(len(b"6\r\nbegun \r\n3\r\none\r\n0\r\n\r\n"))


def test_a_start_up_that_blocks_the_loop_for_longer_than_the_timeout(serve: Serve, code: Code) -> None:
    code.asgi(on_startup="time.sleep(1.5)")
    server = serve("--timeout", "1", "main:app")
    assert ask(server) == "one"
    assert not any("silent" in text for text in server.lines("stderr"))


def test_a_supervisor_that_was_stopped_loses_no_worker(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "--timeout", "1", "main:app")
    pids = server.worker_pids()
    server.signal(signal.SIGSTOP)
    with pytest.raises(AssertionError, match="within 2"):
        server.wait_line("not to be seen", timeout=2)
    assert ask(server) == "one"  # nobody needs it for that
    server.signal(signal.SIGHUP)
    server.signal(signal.SIGCONT)
    server.wait_line("reload complete: gen=2 ")
    for pid in pids:
        server.wait_line(rf"pid={pid} exited$")
    assert not any("silent" in text or "died" in text for text in server.lines("stderr"))


@linux
def test_a_whole_server_that_was_suspended_loses_no_worker(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "--timeout", "1", "main:app")
    pids = server.worker_pids()
    os.killpg(server.pid, signal.SIGSTOP)
    with pytest.raises(AssertionError, match="within 2"):  # as long as a laptop's lid is closed
        server.wait_line("not to be seen", timeout=2)
    # The supervisor goes on first, and finds heartbeats that are two seconds old.
    os.kill(server.pid, signal.SIGCONT)
    wait_until(lambda: Path(f"/proc/{server.pid}/wchan").exists(), "there is /proc")
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    with pytest.raises(AssertionError, match="within 1.5"):
        server.wait_line("silent|died", timeout=1.5)
    assert server.worker_pids() == pids


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_or_quit_to_a_worker_ends_it_at_once_and_it_is_replaced(
    serve: Serve, code: Code, number: signal.Signals
) -> None:
    code.asgi()
    server = serve("main:app")
    (pid,) = server.worker_pids()
    with RawClient(server.target) as client:
        client.send(request(target="/cancelled"))
        client.read_head()
        os.kill(pid, number)
        server.wait_line(rf"worker=0 gen=1 pid={pid} exited$")
        client.incoming.data.clear()
    assert "cancelled" in server.lines("stdout")
    assert f"shutdown {pid}" in server.lines("stdout")
    wait_until(lambda: len(server.worker_pids()) == 1, "a new worker is ready")
    assert ask(server, "/pid") != str(pid)


def test_term_to_a_worker_is_graceful_and_it_is_replaced(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    (pid,) = server.worker_pids()
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        os.kill(pid, signal.SIGTERM)
        server.wait_line(rf"worker=0 gen=1 pid={pid} draining$")
        wait_until(lambda: len(server.worker_pids()) == 2, "the new worker is ready meanwhile")
        assert ask(server, "/pid") != str(pid)
        code.go()
        assert b"one" in client.read_until_closed()
    server.wait_line(rf"worker=0 gen=1 pid={pid} exited$")
    assert not any("died" in text for text in server.lines("stderr"))


@pytest.mark.parametrize("number", HARMLESS)
def test_a_signal_for_the_supervisor_does_not_harm_a_worker(
    serve: Serve, code: Code, number: signal.Signals
) -> None:
    code.asgi()
    server = serve("main:app")
    pids = server.worker_pids()
    os.kill(pids[0], number)
    assert ask(server, "/pid") == str(pids[0])
    assert server.worker_pids() == pids


@pytest.mark.parametrize(
    ("options", "name", "moment"),
    [
        ((), "worker=0", "on_import"),
        ((), "worker=0", "on_startup"),
        (("--preload",), "mold", "on_import"),
        (("--preload",), "worker=0", "on_startup"),
    ],
)
def test_nor_one_that_boots_nor_a_mold(
    serve: Serve, code: Code, options: tuple[str, ...], name: str, moment: str
) -> None:
    wait = "say('begun')\nwhile not (FOLDER / 'go').exists(): time.sleep(0.01)"
    if moment == "on_startup":
        wait = wait.replace("\n", f"\n{8 * ' '}")
    code.asgi(**{moment: wait})
    server = serve(*options, "main:app", ready=False)
    pid = int(server.wait_line(rf"{name} gen=1 pid=(\d+) booting$")[1])
    server.wait_line("^begun$")
    for number in HARMLESS:
        os.kill(pid, number)
    server.signal(signal.SIGUSR1)  # which is passed on to all
    code.go()
    server.wait_ready()
    if options:  # nor a mold that is ready
        pid = int(server.wait_line(r"mold gen=1 pid=(\d+) ready")[1])
        for number in HARMLESS:
            os.kill(pid, number)
        server.signal(signal.SIGTTIN)
        server.wait_line("worker=1 gen=1 pid=.* ready")
    assert ask(server) == "one"
    assert not any("died" in text for text in server.lines("stderr"))


def test_a_draining_worker_that_dies_is_told_and_not_replaced(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    (pid,) = server.worker_pids()
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        server.signal(signal.SIGHUP)
        server.wait_line(r"reload complete: gen=2")
        os.kill(pid, signal.SIGKILL)
        server.wait_line(rf"worker=0 gen=1 pid={pid} died: signal SIGKILL$")
        client.incoming.data.clear()
        while not client.incoming.end:
            client._receive()
        client.incoming.data.clear()
    assert len(server.worker_pids()) == 1
    assert sum("booting" in text for text in server.lines("stderr")) == 2


def descriptors(pid: int) -> dict[int, str]:
    """Return what the open descriptors of a process refer to."""
    folder = Path(f"/proc/{pid}/fd")
    found = {}
    for entry in folder.iterdir():
        try:
            found[int(entry.name)] = os.readlink(entry)
        except FileNotFoundError:
            continue  # the listing's own
    return found


def sockets_of(pid: int) -> set[str]:
    return {target for target in descriptors(pid).values() if target.startswith("socket:")}


@linux
def test_a_worker_holds_its_own_channel_and_nobody_elses(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "3", "--loop", "asyncio", "main:app")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=2")
    wait_until(lambda: len(server.worker_pids()) == 3, "the old workers have ended")
    supervisor = sockets_of(server.pid)
    workers = [sockets_of(pid) for pid in server.worker_pids()]
    (listening,) = set.intersection(supervisor, *workers)
    # the listening socket and one end of each worker's channel
    assert len(supervisor) == 1 + 3
    own = [found - {listening} for found in workers]
    for sockets in own:
        assert len(sockets) == 1 + 2  # the end of its channel, and the loop's own pair
        assert not sockets & supervisor
    assert not own[0] & own[1]
    assert not own[1] & own[2]
    # One file for stacks each; the supervisor has all three.
    memory = [
        [target for target in descriptors(pid).values() if "aserve-stacks" in target]
        for pid in (server.pid, *server.worker_pids())
    ]
    assert [len(found) for found in memory] == [3, 1, 1, 1]


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_fifty_reloads_leave_nothing_behind(serve: Serve, code: Code, options: tuple[str, ...]) -> None:
    """Descriptors, processes, memory: of the supervisor, which stays."""
    code.asgi()
    server = serve(*options, "-w", "2", "main:app")
    count, held = 3 + len(options), len(descriptors(server.pid))
    sizes = {}
    for generation in range(2, 52):
        server.signal(signal.SIGHUP)
        server.wait_line(f"reload complete: gen={generation} ")
        if generation in (11, 51):
            wait_until(lambda: len(group_members(server.pid)) == count, "the old ones have ended")
            wait_until(lambda: len(descriptors(server.pid)) == held, "no descriptor is left over")
            sizes[generation] = resident(server.pid)
    assert sizes[51] - sizes[11] < 500_000, sizes


@linux
def test_reloads_and_deaths_leave_no_descriptor_behind(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    before = len(descriptors(server.pid))
    for generation in range(2, 8):
        server.signal(signal.SIGHUP)
        server.wait_line(f"reload complete: gen={generation} ")
        victim = server.worker_pids()[-1]
        os.kill(victim, signal.SIGKILL)
        server.wait_line(rf"pid={victim} died: signal SIGKILL$")
    wait_until(lambda: len(group_members(server.pid)) == 3, "three processes are left")
    wait_until(lambda: len(server.worker_pids()) == 2, "two of them are ready")
    wait_until(lambda: len(descriptors(server.pid)) == before, "no descriptor is left over")


_PROGRAM = """
import os, pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
"""

_FORK = """
import signal
child = os.fork()
if not child:
    say("forked")
    while True:
        signal.pause()
"""


@linux
@pytest.mark.parametrize("how", [_PROGRAM, _FORK])
def test_a_process_of_the_application_has_neither_channel_nor_listening_socket(
    serve: Serve, code: Code, how: str
) -> None:
    code.asgi(on_import=how + "\nsay('child', child if isinstance(child, int) else child.pid)")
    server = serve("--loop", "asyncio", "main:app", ready=False)
    pid = int(server.wait_line(r"^child (\d+)$")[1])
    server.wait_ready()
    try:
        (worker,) = server.worker_pids()
        wait_until(lambda: not sockets_of(pid) & sockets_of(server.pid), "it has not the listening socket")
        listening = sockets_of(worker) & sockets_of(server.pid)
        assert len(listening) == 1
        (channel,) = {descriptors(worker)[fd] for fd in channel_fds(server, worker)}
        assert channel not in sockets_of(pid)
        # Its parent's handlers would make TERM harmless.
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: pid not in group_members(server.pid), "TERM has ended it")
    finally:
        if pid in group_members(server.pid):
            os.kill(pid, signal.SIGKILL)


def channel_fds(server: ServerProcess, worker: int) -> list[int]:
    """Return the descriptor of a worker's channel: its lowest socket after the listening one."""
    listening = sockets_of(worker) & sockets_of(server.pid)
    own = [
        fd
        for fd, target in sorted(descriptors(worker).items())
        if target.startswith("socket:") and target not in listening
    ]
    return own[:1]


def test_an_application_that_closes_what_is_not_its_own_is_still_looked_after(
    serve: Serve, code: Code
) -> None:
    """Daemon code does so. The channel is lost, signals are not."""
    code.asgi(
        on_import="""
import socket
def close_channel():
    for fd in range(3, 64):
        try:
            with socket.socket(fileno=os.dup(fd)) as copy:
                family = copy.family
        except OSError:
            continue
        if family == socket.AF_UNIX:
            os.close(fd)
            say("closed")
            return
""",
        on_startup="asyncio.get_running_loop().call_later(0.2, close_channel)",
    )
    server = serve("--loop", "asyncio", "main:app")
    server.wait_line("^closed$")
    code.asgi("two")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=2")
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")
    assert ask(server) == "two"
