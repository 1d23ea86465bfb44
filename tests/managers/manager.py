"""A process manager as a child of the test, with all that it has started under control."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.reliability.conftest import PATIENCE, Code
from tests.support.client import RawClient, request
from tests.support.process import COMPLAINTS, TRACEBACK, ServerProcess, clean_environment

EXAMPLES = Path(__file__).parents[2] / "examples"

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="needs /proc, to find what a manager leaves behind"
)

REQUIRED = "TEST_MANAGERS"
"""If this variable is "required", a missing manager is a failure; otherwise its tests are skipped."""


def needs(program: str, package: str = "") -> pytest.MarkDecorator:
    """Mark a test that needs an installed program."""
    missing = shutil.which(program) is None and os.environ.get(REQUIRED) != "required"
    return pytest.mark.skipif(missing, reason=f"needs {program}: install {package or program}")


_MARK = "TEST_MANAGER"
_ASERVE = "\\0aserve\\0|^aserve: "


class Site:
    """What the examples call /srv/shop, with its logs, and a port that nobody else uses.

    Arguments: `code` is the application; `folder` is for everything else, with a short path, as Unix
    sockets need it.
    """

    def __init__(self, code: Code, folder: Path) -> None:
        self.code = code
        self.folder = folder
        self.logs = folder / "log"
        self.logs.mkdir()
        self.port = _port()
        self.target = ("127.0.0.1", self.port)
        self.aserve = folder / "aserve"
        self.aserve.write_text(
            f'#!/bin/sh\nexec {sys.executable} -W always::ResourceWarning -m aserve "$@"\n'
        )
        self.aserve.chmod(0o755)

    def example(self, name: str, without: str = "", **changes: str) -> Path:
        """Return a copy of an example that is true here.

        Arguments: what is left out is `without`; `changes` are values of other lines, by what is before
        the equals sign in them (with _ for dots and dashes); an empty value is for no such line.
        """
        text = (EXAMPLES / name).read_text()
        for there, here in (
            ("/srv/shop/venv/bin/aserve", str(self.aserve)),
            ("/srv/shop", str(self.code.folder)),
            ("/var/log/shop", str(self.logs)),
            ("/run/circus", str(self.folder)),
            (":8000", f":{self.port}"),
            ("port = 8000", f"port = {self.port}"),
        ):
            text = text.replace(there, here)
        assert without in text
        text = text.replace(without, "") if without else text
        for key, value in changes.items():
            pattern = key.replace("_", "[-_.]")
            text, count = re.subn(rf"(?m)^({pattern} *= *).*\n", rf"\g<1>{value}\n" if value else "", text)
            assert count, f"{name} has no {key}"
        copy = self.folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
        copy.chmod((EXAMPLES / name).stat().st_mode)
        return copy

    def ask(self, path: str = "/") -> str:
        """Return the body of a response on a connection of its own."""
        with RawClient(self.target) as client:
            response = client.ask(request("GET", path, [("Connection", "close")]))
            assert response.status == 200, response
            return response.text

    def begin(self, path: str) -> RawClient:
        """Return a client whose response has begun."""
        client = RawClient(self.target)
        client.send(request("GET", path, [("Connection", "close")]))
        assert client.read_head().status == 200
        return client

    def refuses(self) -> bool:
        """Is nobody there?"""
        with socket.socket() as client:
            return client.connect_ex(self.target) != 0

    def check(self) -> None:
        """Raise AssertionError if a log has a traceback or warning that nobody has planned."""
        for path in self.logs.iterdir():
            text = path.read_text()
            assert TRACEBACK not in text or "deliberate" in text, text
            assert not any(complaint in text for complaint in COMPLAINTS), text

    def log(self, name: str = "error.log") -> str:
        """Return what is in a log file."""
        path = self.logs / name
        return path.read_text() if path.exists() else ""

    def wait_log(self, pattern: str, name: str = "error.log", count: int = 1) -> re.Match[str]:
        """Return the `count`-th match of `pattern` in a log file, waiting for it."""
        wanted = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + PATIENCE
        while True:
            found = list(wanted.finditer(self.log(name)))
            if len(found) >= count:
                return found[count - 1]
            assert time.monotonic() < deadline, f"no line like {pattern!r} in {name}:\n{self.log(name)}"
            time.sleep(0.01)


def _port() -> int:
    """Return a port that is free, and below those that the kernel gives to who wants any.

    At random, so that tests that run at the same time do not agree on one before it is taken.
    """
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Manager(ServerProcess):
    """A manager, and whatever it has started: all processes that have its mark in their environment.

    Arguments: `command` is its command line; `status` the one that it ends with after TERM.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        status: int = 0,
    ) -> None:
        self._mark = f"{_MARK}={uuid.uuid4()}"
        # setproctitle would write over the environment, as /proc has it.
        mark = {_MARK: self._mark.partition("=")[2], "SPT_NOENV": "1"}
        super().__init__(cwd=cwd, bind=None, env={**mark, **(env or {})})
        self.command = list(command)
        self._good = status

    def finish(self) -> None:
        """Stop and check it, and see that nothing is left."""
        if self.running:
            self.stop(status=self._good)
        else:
            self._check_gone()
            self.kill()

    def kill(self) -> None:
        """End whatever is left, of all process groups."""
        super().kill()
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def members(self, pattern: str = "") -> list[int]:
        """Return the pids of what it has started, and of itself: those with `pattern` in their command."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    environ = (entry / "environ").read_bytes().split(b"\0")
                    command = (entry / "cmdline").read_bytes()
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    ours = self._mark.encode() in environ and state != "Z"
                    if ours and re.search(pattern.encode(), command):
                        found.append(int(entry.name))
        return sorted(found)

    def servers(self) -> list[int]:
        """Return the pids of aserve's supervisors."""
        pids = self.members(_ASERVE)
        return [pid for pid in pids if _parent(pid) not in pids]

    def workers(self) -> list[int]:
        """Return the pids of aserve's other processes."""
        pids = self.members(_ASERVE)
        return [pid for pid in pids if _parent(pid) in pids]

    def check(self, since: int = 0) -> None:
        """Do nothing: its tracebacks are not ours, and our log is where the site has it."""

    def run(self, *command: str, timeout: float = 30.0) -> str:
        """Run another program of the manager's, and return what it says on either stream."""
        env = clean_environment()
        done = subprocess.run(
            command, cwd=self.cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False
        )
        return done.stdout + done.stderr

    def _check_gone(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while (left := set(self.members()) - {self.pid}) and time.monotonic() < deadline:
            time.sleep(0.01)
        if left:
            self._fail(f"left processes behind: {left}")


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@contextlib.contextmanager
def site(code: Code) -> Iterator[Site]:
    """Make a site, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="aserve-"))
    try:
        yield Site(code, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


Start = Callable[..., Manager]
