"""Orphans: processes whose parent has ended, and that the kernel has given to this one.

They come to process 1, as which a server often runs in a container, and to a process that adopts its
descendants. Nobody else would ever wait for their ends, and they would stay in the process table.
"""

from __future__ import annotations

import os
from collections.abc import Container

_expected = False
_spared: set[int] = set()


def expect() -> None:
    """Collect orphans from now on, since this process adopts its descendants."""
    global _expected
    _expected = True


def spare(pid: int) -> None:
    """Leave the child `pid` to who waits for it by itself."""
    _spared.add(pid)


def unspare(pid: int) -> None:
    """Collect the child `pid` as well, since nobody waits for it."""
    _spared.discard(pid)


def reap(known: Container[int]) -> int:
    """Collect orphans that have ended, if there can be any; return how many.

    Arguments: `known` are the pids of children that somebody else waits for.
    """
    if not _expected and os.getpid() != 1:
        return 0  # a child that is not known is the business of some hook
    count = 0
    while True:
        try:
            # Who it is first: to wait for a known child would take its status from who wants it.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return count
        if ended is None or ended.si_pid in known or ended.si_pid in _spared:
            return count  # the known one is collected first; its signal is on its way
        os.waitpid(ended.si_pid, os.WNOHANG)
        count += 1
