"""What has to hold for any stream of bytes; each raises AssertionError if it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aserve.protocols.options import ConnectionOptions
from aserve.protocols.states import Reading
from tests.fuzz import samples
from tests.fuzz.harness import PARSERS, Harness, Outcome
from tests.fuzz.reference import read_requests
from tests.fuzz.stream import Stream


def agreed(harness: Harness, stream: Stream, options: ConnectionOptions | None = None) -> Outcome:
    """What becomes of `stream`: the same with both parsers, and however it arrives."""
    arrivals: dict[str, tuple[Sequence[bytes], dict[str, Any]]] = {
        "whole": ([stream.data], {}),
        "cut": (stream.pieces(), {}),
        "cut, in one turn": (stream.pieces(), {"at_once": True}),
        "cut, with a slow reader": (stream.pieces(), {"congested": True}),
        "byte by byte": (stream.single_bytes(), {}),
        "answered later": (stream.pieces(), {"mode": "later"}),
        "nothing seen before": ([stream.data], {"learned": "nothing"}),
        "seen before": ([stream.data], {"learned": "all"}),
    }
    first: Outcome | None = None
    for name, (pieces, settings) in arrivals.items():
        for parser in PARSERS:
            outcome = harness.run(parser, pieces, options=options, **settings)
            if first is None:
                first = outcome
            assert outcome == first, f"{parser}, {name}"
    assert first is not None
    return first


def agreed_at_its_end(harness: Harness, stream: Stream, options: ConnectionOptions | None = None) -> Outcome:
    """The same when the client closes its side behind `stream`."""
    outcomes = [
        harness.run(parser, pieces, options=options, eof=True)
        for parser in PARSERS
        for pieces in ([stream.data], stream.pieces())
    ]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0].ended
    return outcomes[0]


def check_nothing_follows(harness: Harness, stream: Stream, outcome: Outcome) -> None:
    """Behind a refusal there is nothing, neither for the client nor for the application."""
    if not outcome.refusal:
        return
    assert outcome.ended and outcome.reading is Reading.DISCARD
    for parser in PARSERS:
        assert harness.run(parser, [stream.data, samples.SMALL * 2]) == outcome


def check_reference(stream: Stream, outcome: Outcome) -> None:
    """What was taken is what the grammar allows, no more and no less. For the usual limits."""
    requests, end = read_requests(stream.data)
    assert list(outcome.requests) == requests
    if end == "refused":
        assert 400 <= outcome.refusal < 600
    elif end != "incomplete":
        assert not outcome.refusal
        assert outcome.ended is (end == "ended")
