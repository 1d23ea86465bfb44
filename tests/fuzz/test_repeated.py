"""A client that repeats itself to the byte is heard as one that does not."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz import grammar, proxied
from tests.fuzz.harness import PARSERS, Harness
from tests.fuzz.profile import fuzzed
from tests.fuzz.samples import SMALL
from tests.fuzz.stream import Stream
from tests.fuzz.test_adapters import TRUSTING

KEPT = Stream(SMALL.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\nX-A: b \r\nx-a:c\r\n\r\n"))
ENDED = Stream(SMALL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

any_streams = st.one_of(grammar.streams(), grammar.built_streams().map(lambda built: built[0]))


@fuzzed(300)
@given(st.one_of(any_streams, proxied.forwarded_streams))
@example(Stream(SMALL))
@example(KEPT)
@example(ENDED)
def test_verdicts_agree(harness: Harness, stream: Stream) -> None:
    data = stream.data
    for parser in PARSERS:
        # In one read they are taken out of what has come one by one, and nothing is remembered.
        pipelined = harness.run(parser, [data * 4], options=TRUSTING)
        assert harness.run(parser, [data] * 4, options=TRUSTING) == pipelined
        assert harness.run(parser, [SMALL, SMALL, data, data, data], options=TRUSTING) == harness.run(
            parser, [SMALL * 2 + data * 3], options=TRUSTING
        )
