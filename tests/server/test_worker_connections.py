"""A worker at the limit of its connections: it takes no more, and nobody is turned away."""

from __future__ import annotations

import contextlib
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

# It answers /wait in two parts, the second one when there is a file `go`.
APP = """
import asyncio, os, pathlib

async def app(scope, receive, send):
    headers = [(b"x-pid", str(os.getpid()).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/wait":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while not pathlib.Path("go").exists():
            await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"done"})
"""
WAIT = request(target="/wait", headers=[("Connection", "close")])

Start = Callable[..., ServerProcess]

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def start(serve: Serve, app_dir: Path) -> Start:
    (app_dir / "main.py").write_text(APP)

    def started(limit: int, *options: str, bind: str | None = "127.0.0.1:0") -> ServerProcess:
        own = ("--worker-connections", str(limit), "--lifespan", "off")
        return serve(*own, *options, "main:app", bind=bind)

    return started


@contextlib.contextmanager
def clients(server: ServerProcess, count: int) -> Iterator[list[RawClient]]:
    """So many clients that have asked for /wait, and are in nobody's way if the test fails."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(RawClient(server.target)) for _ in range(count)]
        for client in made:
            client.send(WAIT)
        yield made


def answered(made: Sequence[RawClient], count: int) -> list[RawClient]:
    """Return those to whom something has come: `count` of them, and no more for a while."""
    deadline = time.monotonic() + 15
    while True:
        ready = select.select([client.socket for client in made], [], [], 0.1)[0]
        if len(ready) >= count:
            break
        assert time.monotonic() < deadline, f"{len(ready)} instead of {count}"
    time.sleep(0.2)  # for those who come although they should not
    ready = select.select([client.socket for client in made], [], [], 0)[0]
    assert len(ready) == count
    return [client for client in made if client.socket in ready]


class Sockets:
    """Looks again and again at how many sockets a process has."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}/fd")
        self._before = self._count()
        self._most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _count(self) -> int:
        count = 0
        for entry in self._folder.iterdir():
            with contextlib.suppress(OSError):
                count += str(entry.readlink()).startswith("socket:")
        return count

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._most = max(self._most, self._count() - self._before)

    def most(self) -> int:
        """End, and return the largest number of them, less those that were there before."""
        self._ended.set()
        self._thread.join()
        return self._most


@linux
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_all_are_served_and_never_more_than_the_limit(loop: str, start: Start, app_dir: Path) -> None:
    server = start(10, "--loop", loop)
    sockets = Sockets(server.worker_pids()[0])
    try:
        with clients(server, 50) as waiting:
            answered(waiting, 10)
            (app_dir / "go").touch()
            assert {client.read().text for client in waiting} == {"begundone"}
    finally:
        most = sockets.most()
    assert most == 10


@linux
def test_each_worker_has_its_own_limit(start: Start, app_dir: Path) -> None:
    server = start(5, "-w", "2")
    sockets = [Sockets(pid) for pid in server.worker_pids()]
    try:
        with clients(server, 30) as waiting:
            answered(waiting, 10)
            (app_dir / "go").touch()
            workers = [client.read().header("x-pid") for client in waiting]
    finally:
        most = [each.most() for each in sockets]
    assert most == [5, 5]
    assert set(workers) == {str(pid) for pid in server.worker_pids()}


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_idle_connections_count(loop: str, start: Start, app_dir: Path) -> None:
    server = start(2, "--loop", loop, "--keep-alive", "60")
    with RawClient(server.target) as first, RawClient(server.target) as second:
        assert first.ask(request()).status == second.ask(request()).status == 200
        with clients(server, 2) as waiting:
            answered(waiting, 0)
            assert second.ask(request()).status == 200
            first.close()
            answered(waiting, 1)
            second.close()
            answered(waiting, 2)
            (app_dir / "go").touch()
            assert {client.read().text for client in waiting} == {"begundone"}


def test_all_addresses_share_the_limit(start: Start, app_dir: Path) -> None:
    server = start(2, "--bind", "unix:x.sock")
    with clients(server, 1) as first, RawClient(str(app_dir / "x.sock")) as second:
        second.send(WAIT)
        answered([*first, second], 2)
        with clients(server, 1) as third, RawClient(str(app_dir / "x.sock")) as fourth:
            fourth.send(WAIT)
            answered([*third, fourth], 0)
            (app_dir / "go").touch()
            for client in (*first, second, *third, fourth):
                assert client.read().text == "begundone"


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_at_a_stop_those_who_wait_are_served(loop: str, start: Start, app_dir: Path) -> None:
    server = start(2, "--loop", loop)
    with clients(server, 7) as waiting:
        answered(waiting, 2)
        server.signal(signal.SIGTERM)
        answered(waiting, 7)  # nobody else will take them
        (app_dir / "go").touch()
        assert {client.read().text for client in waiting} == {"begundone"}
    server.stop(0)


def test_at_a_reload_the_new_worker_has_them(start: Start, app_dir: Path) -> None:
    server = start(2)
    with clients(server, 4) as waiting:
        answered(waiting, 2)
        server.signal(signal.SIGHUP)
        server.wait_line("reload complete: gen=2")
        answered(waiting, 4)
        (app_dir / "go").touch()
        assert len({client.read().header("x-pid") for client in waiting}) == 2


@linux
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_without_descriptors_they_wait_as_well(loop: str, start: Start, app_dir: Path) -> None:
    server = start(0, "--loop", loop)
    with RawClient(server.target) as client:
        assert client.ask(request()).status == 200
    pid = server.worker_pids()[0]
    highest = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 6, hard))
    with clients(server, 40) as waiting:
        server.wait_line(
            r"\[WARNING\] cannot accept connections: Too many open files; they wait until others"
        )
        (app_dir / "go").touch()
        assert {client.read().text for client in waiting} == {"begundone"}
    lines = [line for line in server.lines() if "cannot accept" in line]
    assert len(lines) == 1, "it is said once, not at every try"
