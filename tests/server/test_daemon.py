"""Servers in the background: what the command returns and says, and what is left of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.command import Ended, aserve
from tests.support.client import RawClient, request
from tests.support.process import STOP_TIMEOUT, clean_environment

GOOD = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with an application; the servers whose pid files are there are stopped at the end."""
    (tmp_path / "main.py").write_text(GOOD)
    yield tmp_path
    for file in tmp_path.glob("*.pid"):
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(file.read_text()), signal.SIGKILL)


def start(folder: Path, *options: str) -> Ended:
    log = ("--error-logfile", "log")
    return aserve("-D", "--pid", "a.pid", "-b", "unix:a.sock", *log, *options, "main:app", cwd=folder)


def ends(pid: int) -> bool:
    deadline = time.monotonic() + STOP_TIMEOUT
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def ask(folder: Path) -> str:
    with RawClient(str(folder / "a.sock")) as client:
        return client.ask(request("GET", "/", [("Connection", "close")])).text


def test_the_command_returns_when_the_server_is_ready(folder: Path) -> None:
    assert start(folder, "-w", "2") == (0, "", "")
    assert "] ready: 2 workers in " in (folder / "log").read_text()
    assert ask(folder) == "here"
    pid = int((folder / "a.pid").read_text())
    for descriptor in (0, 1, 2):
        assert os.readlink(f"/proc/{pid}/fd/{descriptor}") == os.devnull
    assert os.getsid(pid) not in (pid, os.getsid(0))  # a session of its own, which it does not lead
    assert Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()
    # Nothing keeps the command's pipe open.
    pipes = [link for link in map(os.readlink, Path(f"/proc/{pid}/fd").iterdir()) if link.startswith("pipe:")]
    assert len(set(pipes)) == 1, pipes  # that of its signals
    os.kill(pid, signal.SIGTERM)
    assert ends(pid)
    assert not (folder / "a.pid").exists()
    assert (folder / "log").read_text().endswith("] stopped\n")


def test_a_log_that_goes_nowhere(folder: Path) -> None:
    ended = aserve("-D", "--pid", "a.pid", "-b", "unix:a.sock", "main:app", cwd=folder)
    assert ended.status == 0
    assert ended.err == (
        "aserve: warning: in the background the log goes nowhere: name a file with --error-logfile\n"
    )
    assert ask(folder) == "here"


@pytest.mark.parametrize("log", [["--error-logfile", "log"], []], ids=["file", "terminal"])
def test_an_application_that_cannot_be_loaded(folder: Path, log: list[str]) -> None:
    (folder / "main.py").write_text("raise RuntimeError('deliberate')")
    ended = aserve("-D", "--pid", "a.pid", "-b", "unix:a.sock", *log, "main:app", cwd=folder)
    assert (ended.status, ended.out) == (4, "")
    assert ended.err.startswith("Traceback (most recent call last):\n")
    *_, error, last = ended.err.splitlines()
    assert error == "RuntimeError: deliberate"
    assert last.startswith("aserve: error: ")
    assert sorted(file.name for file in folder.iterdir() if file.suffix in (".pid", ".sock")) == []


def test_an_address_that_is_taken(folder: Path) -> None:
    assert start(folder).status == 0
    ended = aserve("-D", "-b", "unix:a.sock", "main:app", cwd=folder)
    assert ended.status == 3
    assert ended.err.startswith("aserve: error: cannot listen on unix:a.sock: the address is in use")
    assert ended.err.count("\n") == 1


def test_a_pid_file_that_is_taken(folder: Path) -> None:
    assert start(folder).status == 0
    pid = (folder / "a.pid").read_text()
    ended = aserve("-D", "--pid", "a.pid", "-b", "unix:b.sock", "main:app", cwd=folder)
    assert ended.status == 3
    assert ended.err.startswith("aserve: error: --pid: ")
    assert (folder / "a.pid").read_text() == pid
    assert ask(folder) == "here"


def test_a_wrong_option_is_told_at_once(folder: Path) -> None:
    ended = start(folder, "-w", "x")
    assert ended.status == 2
    assert ended.err.startswith("aserve: error: --workers: ")


def test_a_server_that_dies_before_it_is_ready(folder: Path) -> None:
    (folder / "main.py").write_text("import time\nopen('booting', 'w').close()\ntime.sleep(60)")
    command = [sys.executable, "-m", "aserve", "-D", "--pid", "a.pid", "-b", "unix:a.sock", "main:app"]
    with subprocess.Popen(
        command, cwd=folder, env=clean_environment(), stderr=subprocess.PIPE, text=True
    ) as waiting:
        deadline = time.monotonic() + 20
        while not (folder / "booting").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert waiting.poll() is None
        os.kill(int((folder / "a.pid").read_text()), signal.SIGKILL)
        _, text = waiting.communicate(timeout=20)
    assert waiting.returncode == 3
    assert text == "aserve: error: the server died before it was ready, see its log\n"


@pytest.mark.parametrize("option", [(), ("--enable-stdio-inheritance",)])
def test_output_stays_if_that_is_wanted(option: tuple[str, ...], folder: Path) -> None:
    with (folder / "out").open("w") as out:
        command = [sys.executable, "-m", "aserve", "-D", "--pid", "a.pid", "-b", "unix:a.sock", *option]
        subprocess.run(
            [*command, "main:app"], cwd=folder, env=clean_environment(), stdout=out, stderr=out, check=True
        )
    text = (folder / "out").read_text()
    assert ("ready: 1 worker" in text) is bool(option)
    assert ("in the background the log goes nowhere" in text) is (not option)
