"""The harness has to notice a bad end, or no test that relies on it can fail."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import ServerProcess

LOG = 'print("[2026-11-23 00:00:00 +0000] [1] [INFO] {}", file=sys.stderr, flush=True)\n'
UP = LOG.format("up") + "time.sleep(60)\n"


def script(folder: Path, source: str, kind: type[ServerProcess] = ServerProcess) -> ServerProcess:
    """Return a process that runs Python source instead of a server."""
    process = kind(cwd=folder)
    process.command = [sys.executable, "-c", "import os, signal, subprocess, sys, time\n" + source]
    return process.start(ready=False)


def test_waiting_ends_with_the_process(tmp_path: Path) -> None:
    """At once, with its output, and not when the time is up."""
    process = script(tmp_path, LOG.format("something else") + "sys.exit(3)")
    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"ended \(status 3\)(.|\n)*something else"):
        process.wait_line("listening on", timeout=30)
    assert time.monotonic() - began < 15
    process.stop(status=3)


def test_waiting_ends_although_a_child_lives(tmp_path: Path) -> None:
    process = script(tmp_path, 'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])')
    with pytest.raises(AssertionError, match="no line like|without a line like"):
        process.wait_line("listening on", timeout=30)
    with pytest.raises(AssertionError, match="left processes behind"):
        process.stop()


def test_another_status_is_noticed(tmp_path: Path) -> None:
    process = script(tmp_path, "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n" + UP)
    process.wait_line("up$")
    with pytest.raises(AssertionError, match="status 1, not 0"):
        process.finish()


def test_a_process_that_does_not_stop_is_ended(tmp_path: Path) -> None:
    process = script(tmp_path, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + UP)
    process.wait_line("up$")
    with pytest.raises(AssertionError, match="still running"):
        process.stop(timeout=0.5)
    assert not process.running


@pytest.mark.parametrize(
    "source",
    [
        'try: raise KeyError("x")\nexcept KeyError: import traceback; traceback.print_exc()',
        'raise KeyError("x")',
        "class A:\n def __del__(self): 1/0\nA()",
        "async def f(): pass\nf()",
    ],
    ids=["printed", "uncaught", "ignored", "not-awaited"],
)
def test_a_traceback_is_noticed(tmp_path: Path, source: str) -> None:
    process = script(tmp_path, source)
    status = process.wait()
    with pytest.raises(AssertionError, match="wrote"):
        process.stop(status=status)


def test_a_planned_traceback_is_not(tmp_path: Path) -> None:
    """An exception with its cause is one; a log line ends it; two are two."""
    source = (
        "import traceback\n"
        "for _ in range(2):\n"
        "  try:\n"
        '    try: raise KeyError("deliberate")\n'
        '    except KeyError as error: raise ValueError("deliberate") from error\n'
        "  except ValueError: traceback.print_exc()\n"
    )
    process = script(tmp_path, source + LOG.format("a line"))
    process.wait()
    process.finish()
    assert len(process.tracebacks()) == 2
    assert all("a line" not in block for block in process.tracebacks())


def test_workers_by_the_log(tmp_path: Path) -> None:
    lines = [
        *("worker=0 gen=1 pid=11 booting", "worker=0 gen=1 pid=11 ready: interface=asgi3"),
        *("worker=1 gen=1 pid=12 ready: interface=asgi3", "worker=0 gen=1 pid=11 draining"),
        *("worker=1 gen=1 pid=12 died: signal SIGKILL", "worker=1 gen=1 pid=13 ready: x"),
    ]
    process = script(tmp_path, "".join(LOG.format(line) for line in lines))
    process.wait()
    process.finish()
    assert process.worker_pids() == [11, 13]


class LateReader(ServerProcess):
    """One whose thread for the standard error has no turn before all is read."""

    def _read(self, pipe: Any) -> None:
        if pipe is self._pipes.get("stderr"):
            self.wait()
        super()._read(pipe)


def test_a_reader_that_comes_late(tmp_path: Path) -> None:
    """Whoever reads one pipe reads both (an exception in a thread is one of the test)."""
    process = script(tmp_path, LOG.format("a line"), LateReader)
    process.wait()
    process.finish()
    assert len(process.lines("stderr")) == 1
    assert not any(reader.is_alive() for reader in process._readers)
