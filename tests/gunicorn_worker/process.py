"""One `gunicorn` as a child of the test, in one of the versions that the workers are for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.process import START_TIMEOUT, ServerProcess, clean_environment

OLDEST = "22.0.0"
"""The oldest version that is supported; the newest is in the test extra."""

REQUIRED = "TEST_GUNICORN"
"""If this variable is "required", an oldest one that cannot be installed is a failure."""

CLASSES = {"asgi": "aserve.workers.ASGIWorker", "wsgi": "aserve.workers.WSGIWorker"}

_LISTENING = r"Listening at: (\S+) \(\d+\)$"
_READY = re.compile(r"Worker ready \(pid: (\d+)\)")
_GONE = re.compile(r"Worker exiting \(pid: (\d+)\)|pid:(\d+)\) was sent SIGKILL")


def install_oldest(folder: Path) -> Path:
    """Return the folder with the oldest gunicorn, to be put in front of the Python path.

    Arguments: `folder` is where such things are kept. Raises OSError or CalledProcessError if it cannot be
    installed.
    """
    target = folder / f"gunicorn-{OLDEST}"
    if target.exists():
        return target
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        # packaging, all that it needs, comes with pytest.
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", f"{work}/made"]
        subprocess.run([*pip, f"gunicorn=={OLDEST}"], check=True, capture_output=True, timeout=120)
        try:
            os.rename(f"{work}/made", target)
        except OSError:  # another run was quicker
            if not target.exists():
                raise
    return target


def oldest(config: pytest.Config) -> Path:
    """As `install_oldest`; without a package index the test is skipped, or fails if it is required."""
    try:
        return install_oldest(config.rootpath / "build")
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get(REQUIRED) == "required":
            raise
        pytest.skip(f"gunicorn {OLDEST} cannot be installed: {error}")


class GunicornProcess(ServerProcess):
    """gunicorn, with workers of ours unless the arguments name others.

    Arguments: `args` follow `gunicorn`; `interface` chooses the worker class; `path` is a folder
    with another version of gunicorn; `home` is for what it keeps of its own; with `careful` it tells what is
    not closed, as gunicorn itself leaves its sockets when a start fails; the others are those of
    `ServerProcess`.
    """

    def __init__(
        self,
        *args: str,
        cwd: Path,
        home: Path,
        interface: str = "",
        path: Path | None = None,
        bind: str | None = "127.0.0.1:0",
        env: Mapping[str, str] | None = None,
        careful: bool = True,
        prefix: Sequence[str] = (),
    ) -> None:
        super().__init__(cwd=cwd, bind=bind, env=env)
        python = [sys.executable]
        if careful:
            python += ["-W", "always::ResourceWarning"]
            # It leaves its log files open when it reads its configuration again.
            python += ["-W", "ignore::ResourceWarning:gunicorn.arbiter"]
            # And the file of a worker that ends while it does.
            python += ["-W", "ignore:unclosed file <_io.FileIO:ResourceWarning"]
        bound = [] if bind is None else ["--bind", bind]
        worker = ["-k", CLASSES[interface]] if interface else []
        # The script, since USR2 executes sys.argv[0] again, which is no way to start a package.
        script = str(Path(sys.executable).with_name("gunicorn"))
        self.command = [*prefix, *python, script, *bound, *worker, *args]
        inherited = {
            name: value for name, value in clean_environment().items() if name != "GUNICORN_CMD_ARGS"
        }
        search = [str(path)] if path else []
        self.env = inherited | {"HOME": str(home), "PYTHONPATH": ":".join(search)} | dict(env or {})
        workers = re.search(r"(?:-w|--workers)[ =](\d+)", " ".join(args))
        self.count = int(workers[1]) if workers else 1

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Return when all workers of the start are ready."""
        self.wait_workers(self.count, timeout=timeout)

    def wait_workers(self, count: int, since: int = 0, timeout: float = START_TIMEOUT) -> list[int]:
        """Return the pids of the first `count` workers that became ready from position `since` on."""
        pids: list[int] = []
        while len(pids) < count:
            known = "|".join(map(str, pids)) or "0"
            match = self.wait_line(rf"Worker ready \(pid: (?!(?:{known})\))(\d+)\)", timeout, since=since)
            pids.append(int(match[1]))
        return pids

    def wait_exit(self, pid: int) -> None:
        """Return when that worker says that it ends."""
        self.wait_line(rf"Worker exiting \(pid: {pid}\)")

    def wait_log(self, path: Path, text: str, timeout: float = START_TIMEOUT) -> str:
        """Return what is in a log file, once it is there and has `text` in it."""
        deadline = time.monotonic() + timeout
        while not path.exists() or text not in (found := path.read_text()):
            assert time.monotonic() < deadline, f"no {text!r} in {path}\n{self.output()}"
            time.sleep(0.01)
        return found

    def target_of(self, log: Path) -> tuple[str, int]:
        """Return where gunicorn listens, by its error log."""
        match = re.search(r"Listening at: http://127\.0\.0\.1:(\d+) ", log.read_text())
        assert match is not None
        return "127.0.0.1", int(match[1])

    def worker_pids(self) -> list[int]:
        """Return the pids of the workers that are ready and have not said that they end."""
        alive: dict[int, None] = {}
        for text in self.lines("stderr"):
            if match := _READY.search(text):
                alive[int(match[1])] = None
            elif match := _GONE.search(text):
                alive.pop(int(match[1] or match[2]), None)
        return list(alive)

    @property
    def addresses(self) -> list[str]:
        """Every address that gunicorn listens on, as it reports them."""
        return self.wait_line(_LISTENING)[1].split(",")
