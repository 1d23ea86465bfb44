"""What the service manager is told, and when."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aserve import notify
from aserve.lifecycle import Phase
from aserve.notify import Notifier
from aserve.situation import Situation

STARTING = Situation(Phase.STARTING, 2, 0)
HALF = Situation(Phase.STARTING, 2, 1)
RUNNING = Situation(Phase.RUNNING, 2, 2)
STOPPING = Situation(Phase.STOPPING, 2, 1)
EXTEND = "EXTEND_TIMEOUT_USEC=15000000"


class Manager:
    """The other end."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self._sock = sock
        self.address = address

    def heard(self) -> list[str]:
        """Return the messages so far, each with blanks between its lines."""
        messages = []
        while True:
            try:
                messages.append(self._sock.recv(4096).decode().replace("\n", " "))
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        address = str(tmp_path / "notify")
        if request.param == "abstract":
            address = f"@aserve-test-{os.getpid()}"
        sock.bind(address.replace("@", "\0"))
        sock.setblocking(False)
        yield Manager(sock, address)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass for the notifier."""
    now = [1000.0]

    class Time:
        monotonic = staticmethod(lambda: now[0])
        monotonic_ns = staticmethod(time.monotonic_ns)

    monkeypatch.setattr(notify, "time", Time)

    def later(seconds: float) -> None:
        now[0] += seconds

    return later


def test_start_and_stop(manager: Manager, clock: Callable[[float], None]) -> None:
    notifier = Notifier(manager.address)
    notifier.heed(STARTING)
    assert manager.heard() == ["STATUS=starting", EXTEND]
    notifier.heed(STARTING)
    assert manager.heard() == []
    notifier.heed(HALF)
    assert manager.heard() == ["READY=1 STATUS=starting"]
    notifier.heed(RUNNING)
    assert manager.heard() == ["STATUS=2 workers"]
    notifier.heed(Situation(Phase.RUNNING, 2, 1))
    assert manager.heard() == ["STATUS=1 of 2 workers"]
    notifier.heed(Situation(Phase.RUNNING, 2, 0))
    notifier.heed(RUNNING)
    assert manager.heard() == ["STATUS=0 of 2 workers", "STATUS=2 workers"]  # ready only once
    clock(5.0)
    notifier.heed(STOPPING)
    assert manager.heard() == ["STOPPING=1 STATUS=stopping", EXTEND]
    notifier.heed(Situation(Phase.STOPPING, 2, 0))
    assert manager.heard() == []


def test_reloads(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    notifier.heed(RUNNING)
    manager.heard()
    before = time.monotonic_ns() // 1000
    notifier.heed(Situation(Phase.RUNNING, 2, 2, reloads=1, reloading=True))
    message, extend = manager.heard()
    after = time.monotonic_ns() // 1000
    reloading, stamp, status = message.split(" ", 2)
    assert (reloading, status, extend) == ("RELOADING=1", "STATUS=2 workers, reloading", EXTEND)
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= after
    notifier.heed(Situation(Phase.RUNNING, 2, 3, reloads=1, reloading=True))
    assert manager.heard() == ["STATUS=3 of 2 workers, reloading"]
    notifier.heed(Situation(Phase.RUNNING, 2, 2, reloads=1))
    assert manager.heard() == ["READY=1 STATUS=2 workers"]


def test_a_reload_that_is_over_at_once_and_one_that_follows_another(manager: Manager) -> None:
    """Every request for a reload is answered: systemctl waits for it."""
    notifier = Notifier(manager.address)
    notifier.heed(RUNNING)
    manager.heard()
    notifier.heed(Situation(Phase.RUNNING, 2, 2, reloads=1))
    assert [message.split()[0] for message in manager.heard()] == ["RELOADING=1", "READY=1"]
    notifier.heed(Situation(Phase.RUNNING, 2, 2, reloads=2, reloading=True))
    notifier.heed(Situation(Phase.RUNNING, 2, 2, reloads=3, reloading=True))
    notifier.heed(Situation(Phase.RUNNING, 2, 2, reloads=3))
    messages = [message.split()[0] for message in manager.heard() if message != EXTEND]
    assert messages == ["RELOADING=1", "RELOADING=1", "READY=1"]


def test_patience_is_extended_as_long_as_it_takes(manager: Manager, clock: Callable[[float], None]) -> None:
    notifier = Notifier(manager.address)
    notifier.heed(STARTING)
    assert notifier.due == 1005.0
    manager.heard()
    clock(4.9)
    notifier.heed(STARTING)
    assert manager.heard() == []
    clock(0.1)
    notifier.heed(STARTING)
    assert manager.heard() == [EXTEND]
    clock(5.0)
    notifier.heed(RUNNING)
    assert EXTEND not in manager.heard()
    assert notifier.due == math.inf
    notifier.heed(Situation(Phase.RUNNING, 2, 2, reloads=1, reloading=True))
    assert manager.heard()[-1] == EXTEND


def test_signs_of_life(manager: Manager, clock: Callable[[float], None]) -> None:
    notifier = Notifier(manager.address, watchdog=20.0)
    notifier.heed(RUNNING)
    assert manager.heard()[-1] == "WATCHDOG=1"
    assert notifier.due == 1010.0
    clock(9.9)
    notifier.heed(RUNNING)
    assert manager.heard() == []
    clock(0.1)
    notifier.heed(RUNNING)
    assert manager.heard() == ["WATCHDOG=1"]
    clock(10.0)
    notifier.heed(Situation(Phase.RUNNING, 2, 0))  # nobody serves
    assert "WATCHDOG=1" not in manager.heard()
    assert notifier.due == math.inf
    notifier.heed(Situation(Phase.RUNNING, 0, 0))  # nobody is wanted
    assert manager.heard()[-1] == "WATCHDOG=1"
    clock(10.0)
    notifier.heed(STOPPING)
    assert manager.heard()[-1] == "WATCHDOG=1"


def test_the_environment() -> None:
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "A": "1"}
    notifier = Notifier.of(environ)
    assert environ == {"A": "1"}
    assert notifier.environment() == {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000"}
    others = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
    assert Notifier.of(others).environment() == {"NOTIFY_SOCKET": "/x"}
    for wrong in ("", "x", "-1"):
        assert Notifier.of({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": wrong}).environment() == {
            "NOTIFY_SOCKET": "/x"
        }
    assert Notifier.of({}).environment() == {}


def test_nobody_listens(tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "nobody"), "@nobody-there", "vsock:2:1", "x" * 200):
        notifier = Notifier(address, watchdog=1.0)
        notifier.heed(RUNNING)
        assert notifier.due == math.inf or address


def test_a_manager_that_is_deaf_is_not_waited_for(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    begin = time.monotonic()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            while True:
                sock.sendto(b"x", manager.address.replace("@", "\0"))
        except BlockingIOError:
            pass
    notifier.send("READY=1")
    assert 0.5 < time.monotonic() - begin < 5.0
