"""The lives of a child and of the supervisor: states, and their legal transitions as data.

A child, as the supervisor sees it (the kernel's own end, reaping, is not a state: a child that has
been reaped is no longer in the table):

    BOOTING ---> READY ---> DRAINING
       |           |           |
       +-----+-----+-----------+
             v
         ABORTING ---> KILLED

The supervisor:

    STARTING ---> RUNNING ---> STOPPING ---> STOPPED
        |                         ^
        +-------------------------+
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class ChildState(enum.Enum):
    """What a child is doing, as far as the supervisor knows."""

    BOOTING = "booting"
    """Forked; it loads the application and starts it."""
    READY = "ready"
    """It accepts connections."""
    DRAINING = "draining"
    """It accepts no more connections, finishes what it has, and ends."""
    ABORTING = "aborting"
    """It was silent for too long and has been sent ABRT, which dumps its stacks."""
    KILLED = "killed"
    """It has been sent KILL."""


class Phase(enum.Enum):
    """What the supervisor is doing."""

    STARTING = "starting"
    """The first workers boot; one that fails ends the start."""
    RUNNING = "running"
    """Every place has had a worker; whatever fails now is tried again."""
    STOPPING = "stopping"
    """No worker is started any more, the last ones end."""
    STOPPED = "stopped"
    """No child is left."""


class TransitionError(RuntimeError):
    """A transition that the tables below do not have: a mistake in the supervisor."""


CHILD_TRANSITIONS: Final[Mapping[ChildState, frozenset[ChildState]]] = {
    ChildState.BOOTING: frozenset(
        {ChildState.READY, ChildState.DRAINING, ChildState.ABORTING, ChildState.KILLED}
    ),
    ChildState.READY: frozenset({ChildState.DRAINING, ChildState.ABORTING, ChildState.KILLED}),
    ChildState.DRAINING: frozenset({ChildState.ABORTING, ChildState.KILLED}),
    ChildState.ABORTING: frozenset({ChildState.KILLED}),
    ChildState.KILLED: frozenset(),
}

PHASE_TRANSITIONS: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.STARTING: frozenset({Phase.RUNNING, Phase.STOPPING}),
    Phase.RUNNING: frozenset({Phase.STOPPING}),
    Phase.STOPPING: frozenset({Phase.STOPPED}),
    Phase.STOPPED: frozenset(),
}


def next_state(current: ChildState, wanted: ChildState) -> ChildState:
    """Return `wanted`, or raise TransitionError if a child cannot go there from `current`."""
    if wanted not in CHILD_TRANSITIONS[current]:
        raise TransitionError(f"a child that is {current.value} cannot become {wanted.value}")
    return wanted


def next_phase(current: Phase, wanted: Phase) -> Phase:
    """Return `wanted`, or raise TransitionError if the supervisor cannot go there from `current`."""
    if wanted not in PHASE_TRANSITIONS[current]:
        raise TransitionError(f"a supervisor that is {current.value} cannot be {wanted.value}")
    return wanted
