"""States and their transitions (server/lifecycle.py)."""

from __future__ import annotations

import itertools

import pytest

from aserve.lifecycle import (
    CHILD_TRANSITIONS,
    PHASE_TRANSITIONS,
    ChildState,
    Phase,
    TransitionError,
    next_phase,
    next_state,
)


def test_every_state_has_its_row() -> None:
    assert set(CHILD_TRANSITIONS) == set(ChildState)
    assert set(PHASE_TRANSITIONS) == set(Phase)


@pytest.mark.parametrize(("current", "wanted"), list(itertools.product(ChildState, repeat=2)))
def test_a_child_goes_only_where_its_table_says(current: ChildState, wanted: ChildState) -> None:
    if wanted in CHILD_TRANSITIONS[current]:
        assert next_state(current, wanted) is wanted
    else:
        with pytest.raises(TransitionError, match=f"{current.value}.*{wanted.value}"):
            next_state(current, wanted)


@pytest.mark.parametrize(("current", "wanted"), list(itertools.product(Phase, repeat=2)))
def test_the_supervisor_goes_only_where_its_table_says(current: Phase, wanted: Phase) -> None:
    if wanted in PHASE_TRANSITIONS[current]:
        assert next_phase(current, wanted) is wanted
    else:
        with pytest.raises(TransitionError, match=f"{current.value}.*{wanted.value}"):
            next_phase(current, wanted)


def test_a_child_only_gets_nearer_to_its_end() -> None:
    order = list(ChildState)
    for state, following in CHILD_TRANSITIONS.items():
        assert all(order.index(state) < order.index(next_one) for next_one in following)


def test_any_living_child_can_be_killed() -> None:
    for state in ChildState:
        assert state is ChildState.KILLED or ChildState.KILLED in CHILD_TRANSITIONS[state]
