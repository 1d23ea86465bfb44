"""What proxies say is understood alike, whatever it is and however it arrives."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from aserve.protocols.options import ConnectionOptions
from aserve.protocols.states import Reading
from aserve.protocols.trust import Trust
from tests.fuzz import grammar, proxied, samples
from tests.fuzz.harness import Harness
from tests.fuzz.profile import fuzzed
from tests.fuzz.proxied import Ends
from tests.fuzz.stream import Stream
from tests.fuzz.verdicts import agreed

TRUSTING = ConnectionOptions(proxy_protocol="auto", proxy_trust=Trust(["*"]))


@fuzzed(100)
@given(proxied.proxy_headers(), st.data())
def test_valid_headers_are_taken(
    harness: Harness, header: tuple[bytes, Ends | None], data: st.DataObject
) -> None:
    raw, ends = header
    outcome = agreed(harness, data.draw(grammar.cut(raw + samples.SMALL)), TRUSTING)
    assert outcome.ends == (ends or (("192.0.2.1", 50000), ("192.0.2.2", 80)))
    assert len(outcome.requests) == 1 and not outcome.ended


@fuzzed(200)
@given(proxied.headed_streams(), proxied.proxy_options)
@example(Stream(b""), ConnectionOptions(proxy_protocol="v1", proxy_trust=Trust([])))
def test_verdicts_on_headers_agree(harness: Harness, stream: Stream, options: ConnectionOptions) -> None:
    outcome = agreed(harness, stream, options)
    assert not outcome.requests or outcome.requests[0].target == b"/s"


@fuzzed(200)
@given(proxied.forwarded_streams, proxied.forwarded_options)
def test_verdicts_on_forwarded_fields_agree(
    harness: Harness, stream: Stream, options: ConnectionOptions
) -> None:
    agreed(harness, stream, options)


@fuzzed(200)
@given(proxied.forwarded_requests(), st.data(), proxied.forwarded_options)
def test_requests_before_make_no_difference(
    harness: Harness, request: bytes, data: st.DataObject, options: ConnectionOptions
) -> None:
    """What is remembered of one request must not be taken for another's."""
    before = data.draw(proxied.forwarded_requests() | grammar.mutated(request))
    alone = harness.run("h11", [request], options=options)
    first = harness.run("h11", [before], options=options)
    both = harness.run("h11", [before, request], options=options)
    if not first.ended and first.reading is Reading.IDLE:
        assert both.origins == first.origins + alone.origins
        assert both.refusal == alone.refusal
