"""What becomes of connections and processes when gunicorn, or somebody else, sends a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.gunicorn_worker.conftest import Gunicorn, with_both
from tests.reliability.conftest import HEARS_SIGNALS, Code, ask, wait_until
from tests.support.client import RawClient, Target, request
from tests.support.host import group_members


def begin(client: RawClient, path: str) -> None:
    """Send a request for `path`, and wait until the application is at work."""
    client.send(request("GET", path, [("Connection", "close")]))
    assert client.read_head().status == 200
    assert client.read_bytes(11) == b"6\r\nbegun \r\n"


@with_both
def test_a_stop_finishes_what_was_begun(gunicorn: Gunicorn, code: Code, interface: str) -> None:
    code.write(interface)
    server = gunicorn("--threads", "4", "--log-level", "debug", "main:app", interface=interface)
    with RawClient(server.target) as idle, RawClient(server.target) as busy:
        idle.ask(request())
        begin(busy, "/wait")
        server.signal(signal.SIGTERM)
        server.wait_line("Worker draining")
        # Its connection is open, and it cannot know: so it is answered, and told.
        answer = idle.ask(request())
        assert (answer.status, answer.text) == (200, "one")
        assert answer.header("connection") == "close"
        code.go()
        assert busy.read_until_closed().endswith(b"3\r\none\r\n0\r\n\r\n")
    server.stop(0)


@with_both
def test_an_idle_connection_does_not_hold_up_a_stop(gunicorn: Gunicorn, code: Code, interface: str) -> None:
    code.write(interface)
    server = gunicorn("--keep-alive", "60", "main:app", interface=interface)
    with RawClient(server.target) as idle:
        idle.ask(request())
        server.signal(signal.SIGTERM)
        assert idle.read_until_closed() == b""
    server.stop(0)


def test_what_does_not_end_in_time_is_cut_off(gunicorn: Gunicorn, code: Code) -> None:
    """Before gunicorn kills, so that the application can clean up."""
    code.asgi()
    server = gunicorn("--graceful-timeout", "2", "main:app", interface="asgi")
    with RawClient(server.target) as busy:
        begin(busy, "/cancelled")
        server.signal(signal.SIGTERM)
        with pytest.raises(AssertionError, match="reset"):
            busy.read_until_closed()
    server.stop(0)
    assert "cancelled" in server.lines("stdout")
    assert any(line.startswith("shutdown") for line in server.lines("stdout"))
    assert any("1.8 s are over, connections cut off: 1" in line for line in server.lines("stderr"))
    assert not any("SIGKILL" in line for line in server.lines("stderr"))


def test_quit_ends_at_once(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    server = gunicorn("main:app", interface="asgi")
    with RawClient(server.target) as busy:
        begin(busy, "/cancelled")
        server.signal(signal.SIGQUIT)
        server.wait_line("^cancelled$", stream="stdout")
        with pytest.raises(AssertionError, match="reset"):  # it must not look complete
            busy.read_until_closed()
    server.stop(0)
    assert any("shutdown" in line for line in server.lines("stdout"))


@with_both
def test_a_worker_that_is_told_to_end_is_replaced(gunicorn: Gunicorn, code: Code, interface: str) -> None:
    code.write(interface)
    server = gunicorn("main:app", interface=interface)
    (pid,) = server.worker_pids()
    since = server.mark()
    os.kill(pid, signal.SIGTERM)
    server.wait_exit(pid)
    (successor,) = server.wait_workers(1, since)
    assert ask(server, "/pid") == str(successor)


def test_signals_for_the_arbiter_end_no_worker(gunicorn: Gunicorn, code: Code) -> None:
    """`pkill -HUP gunicorn` reaches the workers as well."""
    code.asgi()
    server = gunicorn("main:app", interface="asgi")
    (pid,) = server.worker_pids()
    for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH):
        os.kill(pid, number)
    assert ask(server, "/pid") == str(pid)


@pytest.mark.parametrize("loop", ["uvloop", pytest.param("asyncio", marks=pytest.mark.slow)])
def test_handlers_that_the_application_gives_to_the_loop_are_called(
    gunicorn: Gunicorn, code: Code, loop: str
) -> None:
    code.broken(HEARS_SIGNALS)
    server = gunicorn("main:app", interface="asgi", env={"ASERVE_LOOP": loop})
    assert ask(server) == "heard"
    server.stop()


@pytest.mark.parametrize("loop", ["uvloop", pytest.param("asyncio", marks=pytest.mark.slow)])
def test_a_worker_whose_loop_stands_still_is_replaced(gunicorn: Gunicorn, code: Code, loop: str) -> None:
    code.asgi()
    server = gunicorn("--timeout", "1", "main:app", interface="asgi", env={"ASERVE_LOOP": loop})
    server.allowed_tracebacks.append("SystemExit")
    (pid,) = server.worker_pids()
    since = server.mark()
    with RawClient(server.target) as client:
        begin(client, "/block")
        server.wait_line(rf"WORKER TIMEOUT \(pid:{pid}\)")
        server.wait_line(rf"Worker aborted \(pid: {pid}\)")
        server.wait_line(r"time\.sleep\(0\.1\)")  # the stacks say where
        server.wait_exit(pid)
        client.read_until_closed()
    (successor,) = server.wait_workers(1, since)
    assert ask(server, "/pid") == str(successor)


@pytest.mark.parametrize("loop", ["uvloop", pytest.param("asyncio", marks=pytest.mark.slow)])
def test_quit_interrupts_a_loop_that_stands_still(gunicorn: Gunicorn, code: Code, loop: str) -> None:
    code.asgi()
    server = gunicorn("main:app", interface="asgi", env={"ASERVE_LOOP": loop})
    server.allowed_tracebacks.append("SystemExit")
    with RawClient(server.target) as client:
        begin(client, "/block")
        server.signal(signal.SIGQUIT)
        server.wait_line(r"time\.sleep\(0\.1\)")
        client.read_until_closed()
    server.stop(0)


def test_a_thread_that_hangs_leaves_the_worker_alone(gunicorn: Gunicorn, code: Code) -> None:
    code.wsgi()
    server = gunicorn("--timeout", "1", "--threads", "2", "main:app", interface="wsgi")
    (pid,) = server.worker_pids()
    with RawClient(server.target) as client:
        begin(client, "/block")
        time.sleep(2.5)  # more than twice the timeout, of which there is no sign if all is well
        assert ask(server, "/pid") == str(pid)
    server.signal(signal.SIGQUIT)
    server.stop(0)


def test_without_its_arbiter_a_worker_ends(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    server = gunicorn("main:app", interface="asgi")
    server.signal(signal.SIGKILL)
    wait_until(lambda: not group_members(server.pid), "the worker ends")
    assert server.wait() == -signal.SIGKILL
    assert any("Parent changed, shutting down" in line for line in server.lines("stderr"))
    assert any(line.startswith("shutdown") for line in server.lines("stdout"))


def test_connections_are_spread_over_the_workers(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    server = gunicorn("-w", "2", "--keep-alive", "15", "main:app", interface="asgi")
    counts = spread(server.target)
    assert len(counts) == 2
    assert min(counts.values()) >= 20, counts
    server.stop(signal.SIGQUIT)


@pytest.mark.slow
def test_each_worker_with_a_socket_of_its_own(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    with socket.socket() as probe:  # it binds more than once, so port 0 would not do
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--reuse-port", "-w", "2", "--keep-alive", "15")
    server = gunicorn(*options, "main:app", interface="asgi", bind=f"127.0.0.1:{port}")
    assert set(spread(("127.0.0.1", port))) == {str(pid) for pid in server.worker_pids()}
    server.stop(signal.SIGQUIT)


def spread(target: Target) -> Counter[str]:
    """Return how many of some connections each worker has taken."""
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(RawClient(target)) for _ in range(60)]
        return Counter(client.ask(request(target="/pid")).text for client in clients)


def test_a_unix_socket(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    path = Path(code.folder / "g.sock")
    server = gunicorn("main:app", interface="asgi", bind=f"unix:{path}")
    assert ask(server) == "one"
    server.stop()
    assert not path.exists()


@with_both
def test_old_workers_serve_until_new_ones_do(gunicorn: Gunicorn, code: Code, interface: str) -> None:
    """gunicorn tells them to end while the new ones still import: nobody has to wait for that."""
    code.write(interface)
    server = gunicorn("-w", "2", "--log-level", "debug", "main:app", interface=interface)
    old = server.worker_pids()
    code.write(interface, "two", on_import="while not (FOLDER / 'go').exists(): time.sleep(0.01)")
    since = server.mark()
    server.signal(signal.SIGHUP)
    for pid in old:
        server.wait_line(rf"Worker told to end \(pid: {pid}\)", since=since)
    for _ in range(5):
        assert ask(server) == "one"
        time.sleep(0.1)  # longer than it takes to see that nobody else serves
    code.go()
    server.wait_workers(2, since)
    for pid in old:
        server.wait_exit(pid)
    assert ask(server) == "two"


HOOK = """
import os, signal

def post_fork(server, worker):
    if worker.age == 1:
        os.kill(os.getpid(), signal.SIGTERM)
"""


@with_both
def test_a_signal_right_after_the_fork_is_not_lost(gunicorn: Gunicorn, code: Code, interface: str) -> None:
    """gunicorn's arbiter has handlers that only take notes, and a new worker has them as well at first."""
    code.write(interface)
    (code.folder / "gunicorn.conf.py").write_text(HOOK)
    server = gunicorn("main:app", interface=interface, ready=False)
    first = server.wait_line(r"Booting worker with pid: (\d+)")[1]
    (pid,) = server.wait_workers(1)
    assert str(pid) != first
    assert ask(server, "/pid") == str(pid)
