"""What follows from how things are, for those around the server."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aserve.host import Host
from aserve.lifecycle import Phase
from aserve.options import Settings
from aserve.situation import Situation

RUNNING = Situation(Phase.RUNNING, 2, 2)


@pytest.mark.parametrize(
    ("situation", "text"),
    [
        (Situation(Phase.STARTING, 2, 1), "starting"),
        (RUNNING, "2 workers"),
        (Situation(Phase.RUNNING, 1, 1), "1 worker"),
        (Situation(Phase.RUNNING, 4, 3, 1, reloading=True), "3 of 4 workers, reloading"),
        (Situation(Phase.RUNNING, 4, 4, upgrading=True), "4 workers, upgrading"),
        (Situation(Phase.STOPPING, 4, 4), "stopping"),
    ],
)
def test_situations_in_words(situation: Situation, text: str) -> None:
    assert str(situation) == text


def test_a_reload_can_bring_another_pid_file(tmp_path: Path) -> None:
    one, two = tmp_path / "one.pid", tmp_path / "two.pid"
    host = Host(Settings(pidfile=str(one)))
    host.enter()
    host.adapt(Settings(pidfile=str(one)))
    assert one.read_text() == f"{os.getpid()}\n"
    host.adapt(Settings(pidfile=str(two)))
    assert not one.exists()
    assert two.read_text() == f"{os.getpid()}\n"
    host.adapt(Settings())
    assert not two.exists()
    host.adapt(Settings(pidfile=str(one)))
    assert one.exists()
    host.leave()
    assert list(tmp_path.iterdir()) == []


def test_another_pid_file_that_is_somebodys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, two = tmp_path / "one.pid", tmp_path / "two.pid"
    host = Host(Settings(pidfile=str(one)))
    host.enter()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        two.write_text(f"{other.pid}\n")
        with caplog.at_level(logging.ERROR, "aserve"):
            host.adapt(Settings(pidfile=str(two)))
        other.kill()
    assert one.exists()
    host.leave()
    assert [file.name for file in tmp_path.iterdir()] == ["two.pid"]


def test_upgrades_that_make_no_sense(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("aserve"), "propagate", True)
    host = Host(Settings())
    host.want_upgrade(Phase.STOPPING)
    host.want_upgrade(Phase.RUNNING)
    host.want_upgrade(Phase.RUNNING)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    Host(Settings()).want_upgrade(Phase.RUNNING)
    assert [record.getMessage() for record in caplog.records] == [
        "upgrade refused: the server is about to stop",
        "upgrade refused: one is under way",
        "upgrade refused: process 1 cannot be replaced: start a new container",
    ]
