"""What a process holds: its memory and its sockets, as /proc tells (Linux only)."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
"""For tests that use this module."""


def resident(pid: int) -> int:
    """Return the bytes of memory that `pid` has in use now."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Rss") * 1024


def proportional(pid: int) -> int:
    """Return the bytes that `pid` has in use, of those that it shares with others only its part (PSS)."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss") * 1024


def peak(pid: int) -> int:
    """Return the most bytes of memory that `pid` has had in use since `reset_peak`."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM") * 1024


def reset_peak(pid: int) -> None:
    """Begin anew with the peak."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def sockets(pid: int) -> int:
    """Return the number of sockets that `pid` has open."""
    count = 0
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        try:
            count += os.readlink(f"{folder}/{name}").startswith("socket:")
        except FileNotFoundError:
            pass  # closed between the listing and the look at it
    return count


def busy_time(pid: int) -> float:
    """Return the seconds of processor time that `pid` has used."""
    # pid (command) state ppid ...; utime and stime are the 14th and 15th field
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for_rest(pid: int, quiet: float = 0.3, patience: float = 15.0) -> None:
    """Return when `pid` has done next to nothing for `quiet` seconds."""
    deadline = time.monotonic() + patience
    while True:
        before = busy_time(pid)
        time.sleep(quiet)
        if busy_time(pid) - before <= quiet / 10:
            return
        assert time.monotonic() < deadline, f"process {pid} is still at work after {patience} s"


def _kilobytes(path: Path, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", path.read_text(), re.MULTILINE)
    assert match is not None, path
    return int(match[1])
