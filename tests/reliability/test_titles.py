"""What ps shows of the server's processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, wait_until
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

pytest.importorskip("setproctitle", reason="the extra is not installed")


def title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0")
    except OSError:
        return ""


def becomes(pid: int, wanted: str) -> None:
    wait_until(lambda: title(pid) == wanted, f"{wanted!r}, it is {title(pid)!r}")


def workers(server: ServerProcess) -> tuple[int, ...]:
    return tuple(sorted(server.worker_pids()))


def test_titles_tell_the_state(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    becomes(server.pid, "aserve: supervisor [main:app] 2 workers")
    first, second = workers(server)
    becomes(first, "aserve: worker 0 [main:app] ready")
    becomes(second, "aserve: worker 1 [main:app] ready")
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        code.asgi("two", on_import="while not (FOLDER / 'go').exists(): time.sleep(0.01)")
        server.signal(signal.SIGHUP)
        becomes(server.pid, "aserve: supervisor [main:app] 2 workers, reloading")
        pid = int(server.wait_line(r"worker=0 gen=2 pid=(\d+) booting$")[1])
        becomes(pid, "aserve: worker 0 [main:app] booting")
        os.kill(first, signal.SIGTERM)
        os.kill(second, signal.SIGTERM)
        wait_until(lambda: any("draining" in title(pid) for pid in (first, second)), "one drains")
        code.go()
        client.read_until_closed()
    server.wait_line("reload complete: gen=2")
    becomes(server.pid, "aserve: supervisor [main:app] 2 workers")


def test_a_name_of_ones_own(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-n", "shop", "main:app")
    becomes(server.pid, "aserve: supervisor [shop] 1 worker")
    becomes(workers(server)[0], "aserve: worker 0 [shop] ready")


def test_without_the_library(serve: Serve, code: Code) -> None:
    code.asgi()
    (code.folder / "setproctitle.py").write_text("raise ImportError('deliberate')")
    environment = {"PYTHONPATH": str(code.folder)}
    server = serve("main:app", env=environment)
    assert "aserve\0" in title(server.pid)
    assert not any("--name" in text for text in server.lines())
    server = serve("-n", "shop", "main:app", env=environment)
    server.wait_line(r"\[WARNING\] --name has no effect: install the extra aserve-server\[setproctitle\]$")
