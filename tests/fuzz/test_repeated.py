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

TARGETS = (
    b"/",
    b"/a?b=c",
    b"/%41//../;x=1?",
    b"/\xc3\xa4",
    b"/#a",
    b"//b/c",
    b"http://b/c",
    b"*",
    b"",
    b"/a b",
    b"/\x7f",
)

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


@fuzzed(300)
@given(
    st.one_of(any_streams, proxied.forwarded_streams),
    st.lists(st.one_of(st.sampled_from(TARGETS), st.binary(max_size=8)), min_size=3, max_size=6),
)
@example(Stream(SMALL), list(TARGETS))
@example(KEPT, [b"/a", b"/b", b"/c", b"/d", b"/e HTTP/1.1\r\nX: ", b"/f"])
@example(Stream(POST), [b"/a", b"/b", b"/c", b"/d"])
@example(Stream(SMALL), [b"http://b/c", b"http://b/c", b"http://b/d", b"/a", b"/b", b"/c"])
def test_other_targets(harness: Harness, stream: Stream, targets: list[bytes]) -> None:
    """So is a client that asks for one thing after another with the same fields."""
    front, _, behind = stream.data.partition(b" ")
    rest = behind[behind.find(b" ") :]
    sequence = [b"%b %b%b" % (front, target, rest) for target in (b"/1", b"/2", *targets, b"/3")]
    for parser in PARSERS:
        expected = harness.run(parser, sequence, options=TRUSTING, forgetful=True)
        assert harness.run(parser, sequence, options=TRUSTING) == expected
