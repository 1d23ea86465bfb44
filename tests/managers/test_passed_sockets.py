"""Sockets that are another program's: what circus, supervisord and systemd have in common."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, wait_until
from tests.support.client import RawClient, request
from tests.support.host import group_members
from tests.support.process import ServerProcess

needs_linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """The manager's socket, which stays open."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as sock:
        yield sock


@pytest.fixture
def start(code: Code) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers by hand; the arguments are those of ServerProcess."""
    with contextlib.ExitStack() as started:

        def start(*args: str, **more: Any) -> ServerProcess:
            server = ServerProcess(*args, "main:app", cwd=code.folder, **more)
            started.callback(server.finish)
            return server.start()

        yield start


def asked(listening: socket.socket, path: str = "/") -> RawClient:
    """Return a client that waits for its answer."""
    client = RawClient(listening.getsockname())
    client.send(request("GET", path, [("Connection", "close")]))
    return client


def answer(client: RawClient) -> str:
    with client:
        return client.read().text


@needs_linux
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["", "preload"])
def test_standard_input(
    code: Code, listening: socket.socket, start: Callable[..., ServerProcess], options: tuple[str, ...]
) -> None:
    """What the application and its programs find as their standard input is not the socket."""
    program = "import subprocess, sys; say('program', subprocess.check_output([sys.executable, '-c', CODE]))"
    source = "import os, sys; print(os.readlink('/proc/self/fd/0'), sys.stdin.read())"
    found = "say('app', os.readlink('/proc/self/fd/0'), __import__('sys').stdin.read() == '')"
    code.asgi(on_import=f"{found}\nCODE = {source!r}\n{program}")
    server = start("-w", "2", *options, bind="fd://0", stdin=listening.fileno())
    server.wait_line("^app /dev/null True$", stream="stdout")
    server.wait_line(r"^program b'/dev/null \\n'$", stream="stdout")
    assert answer(asked(listening)) == "one"
    code.asgi("two")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=2 ")
    assert answer(asked(listening)) == "two"
    server.stop()
    with asked(listening) as client:  # the socket is open, and there is nobody
        code.asgi("three")
        start(bind="fd://0", stdin=listening.fileno())
        assert client.read().text == "three"


def test_standard_input_in_the_background(
    code: Code, listening: socket.socket, tmp_path: Path, start: Callable[..., ServerProcess]
) -> None:
    code.asgi()
    pidfile, log = tmp_path / "pid", tmp_path / "log"
    options = ("-D", "--pid", str(pidfile), "--error-logfile", str(log), "main:app")
    command = ServerProcess(*options, cwd=code.folder, bind="fd://0", stdin=listening.fileno())
    assert command.start(ready=False).wait() == 0, command.output()
    pid = int(pidfile.read_text())
    try:
        assert answer(asked(listening)) == "one"
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not pidfile.exists(), "it has ended")
    assert log.read_text().splitlines()[-1].endswith("stopped")


def test_an_upgrade_with_standard_input(
    code: Code, listening: socket.socket, start: Callable[..., ServerProcess]
) -> None:
    code.asgi()
    server = start(bind="fd://0", stdin=listening.fileno())
    code.asgi("two")
    server.signal(signal.SIGUSR2)
    server.wait_line("upgrade complete: took over ")
    successor = int(server.wait_line(r"upgrade started: pid=(\d+)")[1])
    wait_until(lambda: not server.running, "the old one has ended")
    assert answer(asked(listening)) == "two"
    os.kill(successor, signal.SIGTERM)
    wait_until(lambda: not group_members(server.pid), "the new one has ended")
    assert server.wait() == 0


def test_what_is_no_socket_stays_where_it_is(code: Code, serve: Serve) -> None:
    code.asgi()
    server = serve("main:app", bind="fd://0", ready=False)
    server.wait_line("aserve: error: cannot listen on fd://0: .*: pass a listening stream socket under that")
    assert server.wait() == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_waits_at_a_stop_is_served_by_the_next(
    code: Code, listening: socket.socket, start: Callable[..., ServerProcess], number: signal.Signals
) -> None:
    """A stop takes nothing from a queue that somebody else keeps."""
    code.asgi()
    fd = listening.fileno()
    busy = ("--worker-connections", "1")
    server = start("-w", "2", *busy, bind=f"fd://{fd}", pass_fds=[fd])
    at_work = [asked(listening, "/wait") for _ in range(2)]
    for client in at_work:
        client.read_head()
    waiting = [asked(listening) for _ in range(10)]
    server.signal(number)
    server.wait_line("worker=0 .* draining$")
    server.wait_line("worker=1 .* draining$")
    code.go()
    if number is signal.SIGTERM:
        assert all(b"one" in client.read_until_closed() for client in at_work)
    server.stop(0)
    code.asgi("two")
    start(bind=f"fd://{fd}", pass_fds=[fd])
    assert [answer(client) for client in waiting] == ["two"] * 10
    for client in at_work:
        client.close()


def test_the_file_of_a_unix_socket_stays(
    code: Code, tmp_path: Path, start: Callable[..., ServerProcess]
) -> None:
    path = str(tmp_path / "web.sock")
    code.asgi()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        server = start(bind=f"fd://{sock.fileno()}", pass_fds=[sock.fileno()])
        server.stop()
        with RawClient(path) as client:
            client.send(request())
            start(bind=f"fd://{sock.fileno()}", pass_fds=[sock.fileno()])
            assert client.read().text == "one"


# -- readiness ------------------------------------------------------------------------------------


def test_the_descriptor_for_readiness(code: Code, start: Callable[..., ServerProcess]) -> None:
    """It gets its line when a worker serves, and nobody has a copy of it then or later."""
    reader, writer = os.pipe()
    code.asgi(on_startup="say('wait')\n        while not (FOLDER / 'go').exists(): await asyncio.sleep(0.01)")
    options = ("--notify-fd", str(writer), "main:app")
    server = ServerProcess(*options, cwd=code.folder, pass_fds=[writer]).start(ready=False)
    os.close(writer)
    try:
        server.wait_line("^wait$", stream="stdout")
        os.set_blocking(reader, False)
        with pytest.raises(BlockingIOError):
            os.read(reader, 10)
        os.set_blocking(reader, True)
        code.go()
        with os.fdopen(reader, "rb") as stream:
            assert stream.read() == b"\n"
        server.signal(signal.SIGUSR2)  # the next supervisor has no such descriptor
        server.wait_line("upgrade complete: took over ")
        successor = int(server.wait_line(r"upgrade started: pid=(\d+)")[1])
        wait_until(lambda: not server.running, "the old one has ended")
        os.kill(successor, signal.SIGTERM)
        wait_until(lambda: not group_members(server.pid), "the new one has ended")
        assert server.wait() == 0
    finally:
        server.kill()


def test_the_descriptor_for_readiness_in_the_background(code: Code, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    code.asgi()
    pidfile = tmp_path / "pid"
    options = ("-D", "--pid", str(pidfile), "--notify-fd", str(writer), "--error-logfile", "log", "main:app")
    command = ServerProcess(*options, cwd=code.folder, pass_fds=[writer]).start(ready=False)
    os.close(writer)
    assert command.wait() == 0, command.output()
    try:
        with os.fdopen(reader, "rb") as stream:
            assert stream.read() == b"\n"
    finally:
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
    wait_until(lambda: not pidfile.exists(), "it has ended")


def test_no_descriptor_for_readiness(code: Code, serve: Serve) -> None:
    code.asgi()
    server = serve("--notify-fd", "77", "main:app", ready=False)
    server.wait_line("aserve: error: --notify-fd: the descriptor 77 is not open: ")
    assert server.wait() == 2
