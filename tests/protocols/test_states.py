"""States and their transitions."""

from __future__ import annotations

from enum import Enum

import pytest

from aserve.protocols import states
from aserve.protocols.states import IllegalTransitionError, Persistence, Reading, Response, checked


def test_every_state_has_its_transitions() -> None:
    for kind in (Reading, Response, Persistence):
        for state in kind:
            assert {type(after) for after in states.TRANSITIONS[state]} <= {kind}


def test_checked_raises_for_an_illegal_transition() -> None:
    class Thing:
        __slots__ = ("state",)

        def __init__(self) -> None:
            self.state: Enum = Response.WAITING

    thing = checked(Thing)()
    thing.state = Response.HELD
    thing.state = Response.DONE
    with pytest.raises(IllegalTransitionError, match="DONE -> HELD"):
        thing.state = Response.HELD
