"""As process 1 of a PID namespace, which is how most containers run a server."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.conftest import PATIENCE, Code, ask, wait_until
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")

_APP = """
import os, subprocess

def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/orphan":  # the shell ends at once, and leaves the other behind
        return [subprocess.run(["sh", "-c", "sleep 0.1 > /dev/null & echo $!"], capture_output=True).stdout]
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    found.append(name + file.read().rpartition(")")[2][1])
            except OSError:
                pass
    return [" ".join(found).encode()]
"""


def allowed() -> bool:
    try:
        return (
            subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=10, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


pytestmark = pytest.mark.skipif(not allowed(), reason="no PID namespace can be made here")


class Container:
    """A server that is process 1, with `unshare` as the container's engine."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        assert len(children) == 1, children
        self.pid = int(children[0])
        """The server's pid as seen from outside."""

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def table(self) -> dict[int, str]:
        """Return the state of each process in the container, by pid."""
        return {int(word[:-1]): word[-1] for word in ask(self.server, "/table").split()}


@pytest.fixture
def container(code: Code) -> Iterator[Container]:
    code.broken(_APP)
    server = ServerProcess("-w", "2", "main:app", cwd=code.folder, prefix=UNSHARE).start()
    try:
        container = Container(server)
        yield container
        if server.running:  # `unshare` passes no signal on
            container.signal(signal.SIGTERM)
            server.stop(0)
    finally:
        server.kill()


def test_it_is_process_1(container: Container) -> None:
    assert "pid=1 " in container.server.wait_line("aserve .* starting: ").string
    assert len(container.table()) == 3


def test_orphans_are_collected(container: Container) -> None:
    made = [int(ask(container.server, "/orphan")) for _ in range(5)]
    assert len(set(made)) == 5

    def gone() -> bool:
        table = container.table()
        assert sum(state != "Z" for pid, state in table.items() if pid not in made) == 3
        return not set(made) & set(table)

    wait_until(gone, "no orphan is left, not even as a zombie")


def test_workers_are_replaced_and_reloaded(container: Container) -> None:
    workers = sorted(pid for pid in container.table() if pid != 1)
    ask(container.server, "/orphan")
    container.signal(signal.SIGHUP)
    container.server.wait_line("reload complete: gen=2")
    for pid in workers:
        container.server.wait_line(rf"gen=1 pid={pid} exited$")
    inside = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
    os.kill(int(inside[0]), signal.SIGKILL)
    container.server.wait_line("died: signal SIGKILL$")
    wait_until(lambda: len(container.table()) == 3, "there are two workers again")


def test_a_stop_is_graceful(container: Container) -> None:
    """What `docker stop` does."""
    server = container.server
    with RawClient(server.target) as client:
        client.send(request(target="/orphan"))
        begin = time.monotonic()
        container.signal(signal.SIGTERM)
        assert client.read().status == 200
    assert server.wait() == 0
    assert time.monotonic() - begin < PATIENCE
    assert sum(text.endswith(" exited") for text in server.lines("stderr")) == 2
    server.wait_line(r"\] stopped$")


def test_ctrl_c_stops_at_once(container: Container) -> None:
    container.signal(signal.SIGINT)
    container.server.wait_line("stopping at once: signal SIGINT$")
    assert container.server.wait() == 0


def test_process_1_cannot_be_replaced(container: Container) -> None:
    container.signal(signal.SIGUSR2)
    container.server.wait_line(
        r"\[WARNING\] upgrade refused: process 1 cannot be replaced: start a new container$"
    )
    assert len(container.table()) == 3
