"""Stops: what is finished, what is cut off, and when."""

from __future__ import annotations

import os
import re
import signal
import socket
import time

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, wait_until, worker_log
from tests.support.client import RawClient, request
from tests.support.host import group_members
from tests.support.process import ServerProcess

FLAVOURS = [("asgi", "uvloop"), ("asgi", "asyncio"), ("wsgi", "uvloop")]


def refuses(server: ServerProcess) -> bool:
    """Does nobody listen any more?"""
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # accepted into a queue that is being closed
        pass
    return False


@pytest.mark.parametrize(("interface", "loop"), FLAVOURS)
def test_a_graceful_stop_finishes_what_has_begun(serve: Serve, code: Code, interface: str, loop: str) -> None:
    code.write(interface)
    server = serve("-w", "2", "--loop", loop, "main:app")
    with RawClient(server.target) as waiting, RawClient(server.target) as idle:
        assert idle.ask(request()).text == "one"
        waiting.send(request(target="/wait"))
        assert waiting.read_head().status == 200
        server.signal(signal.SIGTERM)
        server.wait_line(r"stopping: signal SIGTERM$")
        for worker in (0, 1):
            server.wait_line(rf"worker={worker} gen=1 pid=\d+ draining$")
        wait_until(lambda: refuses(server), "new connections are refused")
        assert idle.read_until_closed() == b""
        code.go()
        assert b"begun " in (rest := waiting.read_until_closed())
        assert b"one" in rest
    server.stop()
    assert server.lines("stderr")[-1].endswith("] stopped")
    assert worker_log(server).count("worker=0 gen=1 exited") == 1
    assert worker_log(server).count("worker=1 gen=1 exited") == 1


def test_the_lifespan_is_shut_down_in_every_worker(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    pids = server.worker_pids()
    server.stop()
    assert sorted(server.lines("stdout")) == sorted(
        f"{event} {pid}" for pid in pids for event in ("startup", "shutdown")
    )


def test_an_idle_server_stops_at_once(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 5.0  # no timeout has been waited for


@pytest.mark.parametrize(("interface", "loop"), FLAVOURS)
def test_what_is_left_at_the_graceful_timeout_is_cut_off(
    serve: Serve, code: Code, interface: str, loop: str
) -> None:
    code.write(interface)
    server = serve("--graceful-timeout", "0.5", "--loop", loop, "main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/cancelled" if interface == "asgi" else "/block"))
        assert client.read_head().status == 200
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait_line(r"worker=0 gen=1 pid=\d+: 0\.5 s are over, connections cut off: 1$")
        assert time.monotonic() - begin >= 0.5
        client.incoming.data.clear()
        while not client.incoming.end:
            client._receive()
        assert b"0\r\n\r\n" not in client.incoming.data  # not a clean end of a body that was cut off
        client.incoming.data.clear()
    server.stop()
    if interface == "asgi":
        assert "cancelled" in server.lines("stdout")
        assert any(text.startswith("shutdown") for text in server.lines("stdout"))


@pytest.mark.parametrize("before", [None, signal.SIGTERM])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_int_and_quit_stop_at_once_whatever_came_before(
    serve: Serve, code: Code, interface: str, number: int, before: int | None
) -> None:
    code.write(interface)
    server = serve("-w", "2", "main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        if before is not None:
            server.signal(before)
            server.wait_line(r"stopping: signal SIGTERM$")
        server.stop(number, timeout=10)
        client.incoming.data.clear()
    server.wait_line(rf"stopping at once: signal {signal.Signals(number).name}$")
    assert not any("died" in text or "killing" in text for text in server.lines("stderr"))
    if interface == "asgi":
        assert sum(text.startswith("shutdown") for text in server.lines("stdout")) == 2, server.output()


def test_a_second_int_kills_workers_that_hang(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/block"))
        client.read_head()
        server.signal(signal.SIGINT)
        server.wait_line(r"stopping at once: signal SIGINT$")
        # The first ones may be taken for echoes of the same keystroke.
        wait_until(lambda: not _interrupted(server), "it ends")
        client.incoming.data.clear()
    server.wait_line(r"killing all workers: signal SIGINT$")
    server.wait_line(r"worker=0 gen=1 pid=\d+ died: signal SIGKILL$")
    server.stop(0)


def _interrupted(server: ServerProcess) -> bool:
    try:
        server.signal(signal.SIGINT)
    except ProcessLookupError:  # it has ended, and been waited for
        return False
    return server.running


def test_workers_that_hang_are_killed_in_time(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/block"))
        client.read_head()
        server.stop(signal.SIGQUIT, timeout=15)
        client.incoming.data.clear()
    server.wait_line(r"worker=0 gen=1 pid=\d+ does not end: killing it$")


def test_a_second_term_changes_nothing(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        for _ in range(3):
            server.signal(signal.SIGTERM)
        server.wait_line(r"worker=0 gen=1 pid=\d+ draining$")
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGHUP)
        code.go()
        assert b"one" in client.read_until_closed()
    server.stop()
    assert sum("stopping" in text for text in server.lines("stderr")) == 1


def test_a_term_at_the_very_end_does_not_spoil_the_exit_status(serve: Serve, code: Code) -> None:
    code.asgi()
    (code.folder / "sitecustomize.py").write_text(
        "import os, signal\n"
        "class Late:\n"
        "    def __init__(self):\n"
        "        self.kill, self.pid, self.number = os.kill, os.getpid(), signal.SIGTERM\n"
        "    def __del__(self):\n"  # when the interpreter is taken apart
        "        self.kill(self.pid, self.number)\n"
        "os.late = Late()\n"
    )
    server = serve("main:app", env={"PYTHONPATH": str(code.folder)})
    server.stop()


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_reaches_all_processes_and_perhaps_twice(serve: Serve, code: Code, times: int) -> None:
    """A program that has started us may pass on what the terminal has sent already."""
    code.asgi()
    server = serve("-w", "2", "main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        for _ in range(times):
            os.killpg(server.pid, signal.SIGINT)
        server.stop(0, timeout=10)
        client.incoming.data.clear()
    server.wait_line(r"stopping at once: signal SIGINT$")
    # One that is still in its start-up, having said so, is cancelled there.
    ready = {match[1] for text in server.lines("stderr") if (match := re.search(r"pid=(\d+) ready", text))}
    down = {text.split()[1] for text in server.lines("stdout") if text.startswith("shutdown")}
    assert ready and ready <= down
    assert not any("died" in text or "killing" in text for text in server.lines("stderr"))


@pytest.mark.parametrize("times", [1, 2])
def test_what_waits_in_the_queue_is_served_before_the_stop(serve: Serve, code: Code, times: int) -> None:
    """Connections that the kernel has accepted, and no worker yet, are not reset."""
    code.asgi()
    server = serve("--graceful-timeout", "10", "main:app")
    (pid,) = server.worker_pids()
    os.kill(pid, signal.SIGSTOP)
    clients = [RawClient(server.target) for _ in range(5)]
    for client in clients:
        client.send(request())
    for _ in range(times):
        server.signal(signal.SIGTERM)
    server.wait_line(r"stopping: signal SIGTERM$")
    os.kill(pid, signal.SIGCONT)
    for client in clients:
        with client:
            assert client.read().text == "one"
    server.stop()


def test_a_shutdown_that_hangs_is_not_waited_for_for_ever(serve: Serve, code: Code) -> None:
    code.asgi(on_shutdown="await asyncio.sleep(3600)")
    server = serve("--graceful-timeout", "0", "main:app")
    server.stop()
    server.wait_line(r"pid=\d+ ends, 5 s are over; still running: the shutdown$")


def test_a_thread_of_the_application_that_never_ends(serve: Serve, code: Code) -> None:
    code.asgi(
        on_import="import threading\n"
        "threading.Thread(target=threading.Event().wait, name='poller', daemon=False).start()"
    )
    server = serve("main:app")
    server.stop()
    server.wait_line(r"pid=\d+ ends, 5 s are over; still running: poller$")


def test_what_the_application_registered_for_its_exit_is_run(serve: Serve, code: Code) -> None:
    code.asgi(on_import="import atexit; atexit.register(print, 'at exit')")
    server = serve("main:app")
    server.stop()
    assert server.lines("stdout")[-1] == "at exit"


def test_a_unix_socket_is_removed(serve: Serve, code: Code) -> None:
    code.asgi()
    path = code.folder / "a.sock"
    server = serve("main:app", bind=f"unix:{path}")
    assert ask(server) == "one"
    server.signal(signal.SIGHUP)
    server.wait_line(r"reload complete")
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited")
    assert path.exists()
    assert ask(server) == "one"
    server.stop()
    assert not path.exists()


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_workers_end_by_themselves_when_the_supervisor_is_killed(
    serve: Serve, code: Code, interface: str
) -> None:
    code.write(interface)
    server = serve("-w", "3", "main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: len(group_members(server.pid)) == 1, "all workers end but the one with a request")
        code.go()
        assert b"one" in client.read_until_closed()
        wait_until(lambda: not group_members(server.pid), "the last worker ends")
    assert server.wait() == -signal.SIGKILL
    gone = [text for text in server.lines("stderr") if "the supervisor is gone, stopping" in text]
    assert len(gone) == 3
    assert all(re.search(r"\[WARNING\] worker=\d gen=1 pid=\d+: the", text) for text in gone)
    if interface == "asgi":
        assert sum(text.startswith("shutdown") for text in server.lines("stdout")) == 3


def test_a_supervisor_that_is_killed_while_its_workers_boot(serve: Serve, code: Code) -> None:
    code.asgi(on_startup="say('starting'); await asyncio.sleep(3600)")
    server = serve("-w", "2", "main:app", ready=False)
    server.wait_line("^starting$")
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not group_members(server.pid), "no worker is left")
    assert server.wait() == -signal.SIGKILL
