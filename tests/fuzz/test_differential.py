"""Both parsers, one verdict: whatever the bytes, and however they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aserve.protocols.head import END, judge
from aserve.protocols.options import ConnectionOptions
from aserve.protocols.states import Reading
from tests.fuzz import grammar, samples
from tests.fuzz.cases import CASES
from tests.fuzz.grammar import Built
from tests.fuzz.harness import PARSERS, Harness
from tests.fuzz.profile import EXAMPLES, fuzzed
from tests.fuzz.samples import BYTEWISE, FLAWS
from tests.fuzz.stream import Stream
from tests.fuzz.verdicts import agreed, agreed_at_its_end, check_nothing_follows, check_reference


@contextmanager
def noted(stream: Stream) -> Iterator[None]:
    """Say which of many streams it was."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"the stream is {stream!r}")
        raise


@fuzzed(250)
@given(grammar.built_streams())
def test_valid_requests_are_taken(harness: Harness, built: tuple[Stream, list[Built]]) -> None:
    stream, requests = built
    outcome = agreed(harness, stream)
    assert list(outcome.requests) == [each.seen for each in requests]
    assert not outcome.refusal
    assert outcome.ended is requests[-1].last


@fuzzed(500)
@given(grammar.streams())
def test_verdicts_agree(harness: Harness, stream: Stream) -> None:
    outcome = agreed(harness, stream)
    check_nothing_follows(harness, stream, outcome)
    check_reference(stream, outcome)
    agreed_at_its_end(harness, stream)


@pytest.mark.parametrize("place", FLAWS)
def test_single_flaws(harness: Harness, place: str) -> None:
    """Requests that are valid but for one place."""
    before, flaws, behind = FLAWS[place]
    for flaw in flaws:
        stream = Stream(before + flaw + behind, (len(before), len(before + flaw)))
        with noted(stream):
            outcome = agreed(harness, stream)
            check_nothing_follows(harness, stream, outcome)
            check_reference(stream, outcome)


@pytest.mark.parametrize("change", ["replaced", "inserted"])
def test_single_bytes(harness: Harness, change: str) -> None:
    """One byte of a valid request is another one, or is in front of it."""
    skipped = 1 if change == "replaced" else 0
    for request in BYTEWISE:
        for place in range(len(request)):
            for byte in range(256) if EXAMPLES else sorted(samples.TELLING):
                data = request[:place] + bytes([byte]) + request[place + skipped :]
                with noted(Stream(data)):
                    first, second = [harness.run(parser, [data]) for parser in PARSERS]
                    assert first == second
                    check_reference(Stream(data), first)


@pytest.mark.parametrize("name", CASES)
def test_known_cases(harness: Harness, name: str) -> None:
    case = CASES[name]
    stream = Stream(b"".join(case.reads), tuple(accumulate(len(each) for each in case.reads[:-1])))
    outcome = agreed(harness, stream, case.options)
    assert (len(outcome.requests), outcome.refusal) == (case.requests, case.refusal)
    if case.options is None:
        check_nothing_follows(harness, stream, outcome)
        check_reference(stream, outcome)


@fuzzed(200)
@given(grammar.streams(), grammar.small_options)
def test_verdicts_agree_within_small_limits(
    harness: Harness, stream: Stream, options: ConnectionOptions
) -> None:
    agreed(harness, stream, options)


@fuzzed(200)
@given(
    grammar.streams(),
    grammar.all_options,
    st.booleans(),
    st.booleans(),
    st.sampled_from(["early", "later", "whole"]),
)
def test_parsers_agree_whatever_the_application_does(
    harness: Harness, stream: Stream, options: ConnectionOptions, at_once: bool, eof: bool, mode: str
) -> None:
    first, second = [
        harness.run(parser, stream.pieces(), mode=mode, at_once=at_once, eof=eof, options=options)
        for parser in PARSERS
    ]
    assert first == second


heads = (
    st.one_of(grammar.odd_heads(), grammar.anything)
    .map(lambda data: data.lstrip(b"\r\n").partition(END)[0] + END)
    .filter(lambda head: head != END)
)


@fuzzed(250)
@given(heads, grammar.small_options | st.just(ConnectionOptions()))
def test_heads_are_judged_by_what_has_come(head: bytes, options: ConnectionOptions) -> None:
    """More bytes never change a verdict: the first offence counts."""
    verdict = None
    for end in range(len(head) + 1):
        latest = judge(head[:end], options)
        assert verdict is None or latest == verdict
        verdict = latest


@fuzzed(200)
@given(heads, grammar.small_options | st.just(ConnectionOptions()))
def test_parsers_take_what_judge_takes(harness: Harness, head: bytes, options: ConnectionOptions) -> None:
    refusal = judge(head, options)
    for parser in PARSERS:
        outcome = harness.run(parser, [head], options=options)
        if refusal is None:
            assert not outcome.refusal and (outcome.requests or outcome.reading is Reading.BODY)
        else:
            assert not outcome.requests
            assert outcome.refusal == refusal.status
            body = b"" if head.startswith(b"HEAD ") else refusal.text.encode() + b"\n"
            assert outcome.answers[-1].body == body
