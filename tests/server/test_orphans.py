"""Orphans, made and collected in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

SOURCE = """
import ctypes, os, sys, time
from aserve import orphans

def orphan():
    # Returns when the orphan is ours and has ended.
    reader, writer = os.pipe()
    middle = os.fork()
    if not middle:
        made = os.fork()
        if made:
            os.write(writer, b"%d" % made)
            os._exit(0)
        time.sleep(0.1)
        os._exit(3)
    assert os.waitpid(middle, 0)[0] == middle
    os.waitid(os.P_PID, int(os.read(reader, 10)), os.WEXITED | os.WNOWAIT)

assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
"""


def run(body: str) -> str:
    command = [sys.executable, "-c", SOURCE + body]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that gives orphans away")


def test_orphans_are_collected() -> None:
    assert (
        run("orphans.expect(); orphan(); orphan(); print(orphans.reap(set()), orphans.reap(set()))") == "2 0"
    )


def test_only_by_who_adopts() -> None:
    assert run("orphan(); print(orphans.reap(set()), os.waitstatus_to_exitcode(os.wait()[1]))") == "0 3"


def test_known_children_are_left_to_who_waits_for_them() -> None:
    body = (
        "orphans.expect()\n"
        "known = os.fork() or os._exit(5)\n"
        "os.waitid(os.P_PID, known, os.WEXITED | os.WNOWAIT)\n"
        "orphan()\n"
        "first = orphans.reap({known})\n"
        "status = os.waitstatus_to_exitcode(os.waitpid(known, 0)[1])\n"
        "print(status, first + orphans.reap({known}))\n"
    )
    assert run(body) == "5 1"
