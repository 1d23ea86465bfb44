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
POST = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
ENDED = Stream(SMALL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

any_streams = st.one_of(grammar.streams(), grammar.built_streams().map(lambda built: built[0]))


@fuzzed(300)
@given(st.one_of(any_streams, proxied.forwarded_streams))
@example(Stream(SMALL))
@example(KEPT)
@example(ENDED)
@example(Stream(POST))
@example(Stream(POST.replace(b"Length: 3", b"Length: 3\r\nExpect: 100-continue")))
@example(Stream(POST.replace(b"Length: 3", b"Length: 3\r\nConnection: close")))
def test_verdicts_agree(harness: Harness, stream: Stream) -> None:
    data = stream.data
    for parser in PARSERS:
        for sequence in ([data] * 4, [SMALL, SMALL, data, data, data], [POST, data, data, POST, POST]):
            expected = harness.run(parser, sequence, options=TRUSTING, forgetful=True)
            assert harness.run(parser, sequence, options=TRUSTING) == expected
            assert harness.run(parser, [b"".join(sequence)], options=TRUSTING) == expected
