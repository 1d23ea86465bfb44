"""Stacks of a worker that crashed (server/stacks.py)."""

from __future__ import annotations

import os

import pytest

from aserve.stacks import StackFile
from tests.server.conftest import Script


def test_without_a_crash_there_is_nothing() -> None:
    stacks = StackFile()
    assert stacks.read() == ""
    assert not os.get_inheritable(stacks.fileno())
    stacks.close()
    stacks.close()
    assert stacks.fileno() == -1


@pytest.mark.parametrize(
    "crash",
    ["os.abort()", "faulthandler._sigsegv()", "os.kill(os.getpid(), signal.SIGABRT)"],
)
def test_a_child_that_crashes_leaves_the_stacks_of_all_its_threads(script: Script, crash: str) -> None:
    ended = script(f"""
        import faulthandler, os, signal, threading
        from aserve.stacks import StackFile

        stacks = StackFile()

        def in_a_thread(ready):
            ready.set()
            signal.pause()

        def deep_down():
            {crash}

        if not (pid := os.fork()):
            stacks.fill_on_crash()
            ready = threading.Event()
            threading.Thread(target=in_a_thread, args=[ready]).start()
            ready.wait()
            deep_down()
        os.waitpid(pid, 0)
        print(stacks.read())
        """)
    assert ended.err == ""
    assert "in in_a_thread" in ended.out
    assert "in deep_down" in ended.out
    assert "Fatal Python error" not in ended.out
    assert "Extension modules" not in ended.out
