"""The table of the supervisor's children: who they are, what they are doing, until when."""

from __future__ import annotations

import contextlib
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from aserve.generation import Generation
from aserve.lifecycle import ChildState, next_state
from aserve.messages import Channel, Failed
from aserve.sharedpage import Slot
from aserve.stacks import StackFile

ABORT_GRACE: Final = 2.0
"""Seconds between ABRT, which makes a silent worker dump its stacks, and KILL."""

WATCHER: Final = -2
"""The place of a watcher (watcher.py) in the table of children: none that a worker could fill."""

SERVING_STATES: Final = frozenset({ChildState.BOOTING, ChildState.READY})
"""States in which a child fills its place: it serves, or is about to."""


@dataclass(slots=True, eq=False)
class Child:
    """A worker process, from its fork until it has been reaped.

    Arguments: `number` is the place that it fills (0 and up), `generation` says what it runs with,
    `started` is the monotonic time of the fork, `deadline` the one by which it has to be ready.
    """

    noun: ClassVar[str] = "worker"
    """What it is called."""

    number: int
    generation: Generation
    pid: int
    channel: Channel
    slot: Slot
    stacks: StackFile
    started: float
    deadline: float = math.inf
    """When its present state has lasted too long (monotonic seconds)."""
    state: ChildState = field(default=ChildState.BOOTING, init=False)
    ready_at: float = field(default=math.inf, init=False)
    accepting: bool = field(default=False, init=False)
    """Does it take connections: from its own word on that it is ready to its word that it drains?"""
    failed: Failed | None = field(default=None, init=False)
    """What it said went wrong; set at most once."""
    dismissed: bool = field(default=False, init=False)
    """Has it been told to end (by the supervisor), so that its end is none to worry about?"""
    tired: str = field(default="", init=False)
    """Why it is to be replaced though nothing is wrong with it; empty if it is not."""
    tires_at: float = field(default=math.inf, init=False)
    """When it will have served long enough (monotonic seconds)."""

    def __str__(self) -> str:
        return f"worker={self.number} {self.generation} pid={self.pid}"

    @property
    def serving(self) -> bool:
        """Does it fill its place (or is about to)?"""
        return self.state in SERVING_STATES

    def move(self, state: ChildState, deadline: float = math.inf) -> None:
        """Enter `state`, which may last until `deadline`; raise TransitionError if it cannot."""
        self.state = next_state(self.state, state)
        self.deadline = deadline

    def signal(self, signum: signal.Signals) -> None:
        """Send `signum`. Safe until the child has been reaped: a zombie keeps its pid."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signum)

    def abort(self, now: float) -> None:
        """Have it dump its stacks and die; `Children.overdue` tells when it has not."""
        self.move(ChildState.ABORTING, now + ABORT_GRACE)
        self.signal(signal.SIGABRT)

    @property
    def is_worker(self) -> bool:
        """Does it serve, or is it about to, and not only help with that?"""
        return self.number >= 0

    @property
    def is_watcher(self) -> bool:
        """Does it only look for changes, so that no worker depends on it?"""
        return self.number == WATCHER

    def dismiss(self, deadline: float) -> None:
        """Note that it has been told to end, and that it should have ended by `deadline`."""
        self.dismissed = True
        if self.serving:
            self.move(ChildState.DRAINING, deadline)
        elif self.state is not ChildState.KILLED:
            self.deadline = min(self.deadline, deadline)

    def let_go(self) -> None:
        """Close what this process holds of it: after its end, or in a child that is somebody else."""
        self.channel.close()
        self.stacks.close()

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self.move(ChildState.KILLED)
        self.signal(signal.SIGKILL)

    def silent_at(self, forgiven: float) -> float:
        """Return when the child counts as silent, in monotonic seconds.

        Its generation's timeout is how many seconds without a heartbeat are allowed (0: any time);
        what was missed before `forgiven` does not count. While it boots it is only watched by its
        deadline: an import has no loop that could beat, nor has one that is told to end before that.
        """
        timeout = self.generation.settings.timeout
        watched = self.state in (ChildState.READY, ChildState.DRAINING) and self.slot.beat > 0.0
        if timeout <= 0 or not watched:
            return math.inf
        return max(self.slot.beat, forgiven) + timeout


class Children:
    """All children that have been forked and not yet been reaped, by pid."""

    def __init__(self) -> None:
        self._by_pid: dict[int, Child] = {}

    def add(self, child: Child) -> None:
        """Put a child that was just forked into the table."""
        self._by_pid[child.pid] = child

    def remove(self, child: Child) -> None:
        """Take out a child that has been reaped; its pid can belong to anybody from now on."""
        del self._by_pid[child.pid]

    def __len__(self) -> int:
        return len(self._by_pid)

    def __iter__(self) -> Iterator[Child]:
        """Iterate over a copy, oldest first: what is done to a child may change the table."""
        return iter(list(self._by_pid.values()))

    def serving(self, number: int) -> list[Child]:
        """Return who fills place `number`: more than one while an old child hands over to a new one."""
        return [child for child in self if child.number == number and child.serving]

    def all_ready(self) -> bool:
        """Is no child on its way to be ready?"""
        return all(child.state is not ChildState.BOOTING for child in self)

    def reap(self) -> Iterator[tuple[Child, int | None]]:
        """Yield each child that has ended with its wait status (None: not known), and forget it.

        Each child is asked for by its pid: several CHLD signals may have become one, and the ends
        of processes that are not in the table are somebody else's to collect.
        """
        for child in self:
            status: int | None
            try:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else in this process has collected it
                pid, status = child.pid, None
            if pid:
                self.remove(child)
                yield child, status


def how_it_ended(status: int | None) -> str:
    """Return wait status `status` in words: `status 1`, `signal SIGKILL`."""
    if status is None:
        return "status unknown"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"status {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"signal {-code}"
