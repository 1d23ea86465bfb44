"""logrotate itself at work on the log files of a server that is being asked all the time."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.reliability.conftest import Code, wait_until
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

Serve = Callable[..., ServerProcess]

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
LOGROTATE = shutil.which("logrotate", path=_PATH)
ROTATIONS = 3
CLIENTS = 3

pytestmark = pytest.mark.skipif(LOGROTATE is None, reason="needs logrotate")

# As docs/signals.md has it, but for when and how often.
_BY_SIGNAL = """{folder}/*.log {{
    rotate 14
    compress
    delaycompress
    sharedscripts
    postrotate
        kill -USR1 "$(cat {folder}/pid)"
    endscript
}}
"""
_BY_COPY = "{folder}/*.log {{\n rotate 14\n copytruncate\n}}\n"


def rotate(folder: Path, rule: str) -> None:
    """Have all logs rotated now."""
    rules = folder / "rules"
    rules.write_text(rule.format(folder=folder))
    rules.chmod(0o644)  # it takes none that others may change
    done = subprocess.run(
        [str(LOGROTATE), "--force", "--state", str(folder / "state"), str(rules)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done


@contextmanager
def load(port: int) -> Iterator[list[str]]:
    """Ask for a path of its own each time, and have it in the list once it has been answered."""
    answered: list[str] = []
    over = threading.Event()
    number = itertools.count()

    def ask() -> None:
        with RawClient(("127.0.0.1", port)) as client:
            while not over.is_set():
                path = f"/{next(number)}"
                assert client.ask(request(target=path)).status == 200
                answered.append(path)

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        over.set()
        for thread in threads:
            thread.join(60)


def texts(folder: Path, name: str) -> list[str]:
    """Return the texts of a log's files, the newest first."""
    files = [folder / name, *(folder / f"{name}.{number}" for number in range(1, ROTATIONS + 1))]
    unpacked = []
    for file in files:
        packed = file.with_name(f"{file.name}.gz")
        if packed.exists():
            unpacked.append(subprocess.run(["gzip", "-dc", packed], capture_output=True, check=True).stdout)
        else:
            unpacked.append(file.read_bytes())
    return [text.decode() for text in unpacked]


@pytest.fixture
def logged(serve: Serve, code: Code) -> ServerProcess:
    code.asgi()
    return serve(
        *("-w", "2", "--pid", "pid", "--error-logfile", "error.log", "--log-level", "debug"),
        *("--access-logfile", "access.log", "--access-logformat", "%(U)s", "main:app"),
        ready=False,
    )


def port_of(folder: Path) -> int:
    """Return the port of the server, once it is ready."""
    error = folder / "error.log"
    wait_until(lambda: error.exists() and "ready: 2 workers" in error.read_text(), "it is ready")
    found = re.search(r"listening on \S+:(\d+)$", error.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def is_new(error: Path) -> bool:
    """Does the error log begin after the rotation?"""
    return error.exists() and "log files reopened" in error.read_text()


def grown(answered: list[str], by: int = 50) -> Callable[[], bool]:
    begin = len(answered)
    return lambda: len(answered) >= begin + by


def test_no_line_is_lost(logged: ServerProcess, code: Code) -> None:
    """The files are moved away, and the server is told to go on in new ones."""
    folder = code.folder
    with load(port_of(folder)) as answered:
        for number in range(ROTATIONS):
            wait_until(grown(answered), "requests are answered")
            rotate(folder, _BY_SIGNAL)
            wait_until(lambda: is_new(folder / "error.log"), f"rotation {number}")
            wait_until((folder / "access.log").exists, "the access log is new")
        wait_until(grown(answered), "requests are answered")
    logged.stop()
    found = [line for text in texts(folder, "access.log") for line in text.splitlines()]
    assert sorted(found) == sorted(answered)
    said = [line for text in texts(folder, "error.log") for line in text.splitlines()]
    assert sum("log files reopened" in line for line in said) == ROTATIONS
    assert all(re.match(r"\[\d{4}-", line) for line in said), "a line was torn"


def test_a_file_that_is_cut_off_is_gone_on_with_at_its_beginning(logged: ServerProcess, code: Code) -> None:
    """What is written between the copy and the cut is logrotate's loss; nothing else is."""
    folder = code.folder
    with load(port_of(folder)) as answered:
        for _ in range(ROTATIONS):
            wait_until(grown(answered), "requests are answered")
            rotate(folder, _BY_COPY)
        afterwards = len(answered)
        wait_until(grown(answered), "requests are answered")
    logged.stop()
    newest, *older = texts(folder, "access.log")
    assert "\0" not in newest + "".join(older), "there is a gap"
    lines = newest.splitlines()
    assert all(re.fullmatch(r"/\d+", line) for line in lines), "a line was torn"
    # The last lines of before may have been waiting to be written
    assert set(answered[afterwards + CLIENTS :]) <= set(lines)
    assert "stopped" in texts(folder, "error.log")[0]
