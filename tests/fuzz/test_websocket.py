"""Both ways of reading frames understand the same, however it arrives, and the same as wsproto does."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from aserve.protocols.errors import WebSocketFailedError
from aserve.protocols.options import WebSocketOptions
from aserve.protocols.websocket.deflate import Deflate
from aserve.protocols.websocket.frames import FrameReader
from aserve.protocols.websocket.masking import unmask, unmask_in_python
from tests.fuzz.profile import fuzzed
from tests.support.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, masked


@dataclass
class Sink:
    """What came of some bytes: events in order, and the code of a failure."""

    full: bool = False
    events: list[Any] = field(default_factory=list)
    failed: int = 0

    def on_text(self, text: str) -> None:
        self.events.append(text)

    def on_bytes(self, data: bytes) -> None:
        self.events.append(data)

    def on_ping(self, payload: bytes) -> None:
        self.events.append(("ping", payload))

    def on_pong(self) -> None:
        self.events.append("pong")

    def on_close(self, code: int, reason: str) -> None:
        self.events.append((code, reason))
        self.reader.closed = True

    reader: FrameReader = field(init=False, repr=False)


def read(reads: list[bytes], *, short: bool, limit: int, deflate: bool) -> Sink:
    extension = None
    if deflate:
        extension = Deflate(WebSocketOptions(max_size=limit))
        assert extension.accept("permessage-deflate") is not None
    sink = Sink()
    sink.reader = FrameReader(sink, limit=limit, deflate=extension, short=short)
    try:
        for data in reads:
            if sink.reader.closed:
                break
            sink.reader.feed(data)
    except WebSocketFailedError as failed:
        sink.failed = failed.code
    return sink


def read_by_wsproto(data: bytes) -> Sink:
    """What wsproto alone makes of it, put together to messages."""
    decoder = FrameProtocol(client=False, extensions=[])
    sink = Sink()
    parts: list[Any] = []
    try:
        decoder.receive_bytes(data)
        for found in decoder.received_frames():
            payload: Any = found.payload
            if found.opcode is Opcode.PING:
                sink.events.append(("ping", bytes(payload)))
            elif found.opcode is Opcode.PONG:
                sink.events.append("pong")
            elif found.opcode is Opcode.CLOSE:
                sink.events.append((int(payload[0]), payload[1]))
            else:
                parts.append(payload)
                if found.message_finished:
                    sink.events.append(type(payload)().join(parts))
                    parts.clear()
    except ParseFailed as error:
        sink.failed = int(error.code)
    return sink


payloads = st.one_of(
    st.binary(max_size=140),
    st.text(max_size=60).map(str.encode),
    st.sampled_from([126, 127, 8000]).map(lambda size: b"s" * size),
    st.sampled_from([b"\x03\xe8", b"\x03\xed", b"\x0f\xa0why", b"\xc3", b"\xff"]),
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame, mostly one that is right."""
    opcode = draw(
        st.sampled_from([TEXT] * 6 + [BINARY] * 4 + [CONTINUATION] * 3 + [PING, PONG, CLOSE, 3, 11])
    )
    payload = draw(payloads)
    odd = draw(st.integers(0, 30))
    reserved = 4 if odd in (0, 1, 2, 3) else 1 if odd == 4 else 0
    if reserved == 4 and draw(st.booleans()):
        deflater = zlib.compressobj(wbits=-12)
        payload = (deflater.compress(payload * 3) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return frame(
        opcode,
        payload,
        final=draw(st.integers(0, 3)) > 0,
        reserved=reserved,
        mask=draw(st.sampled_from([b"\0\0\0\0", b"\x12\x34\x56\x78", b"\xff\0\xff\0"])),
        size_bytes=draw(st.sampled_from([2, 8])) if odd == 5 and len(payload) < 65536 else None,
        plain=odd == 6,
    )


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Frames, of which some bytes may be changed or missing."""
    data = b"".join(draw(st.lists(frames(), min_size=1, max_size=8)))
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + draw(st.binary(max_size=2)) + data[place + draw(st.integers(0, 2)) :]
    return data


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@fuzzed(400)
@given(
    streams(),
    st.lists(st.integers(0, 2000), max_size=6),
    st.sampled_from([0, 100, 9000]),
    st.booleans(),
)
def test_ways_agree(data: bytes, places: list[int], limit: int, deflate: bool) -> None:
    wanted = read([data], short=False, limit=limit, deflate=deflate)
    for reads in (
        [data],
        cut(data, places),
        [data[place : place + 1] for place in range(min(len(data), 600))],
    ):
        if len(reads) == 600 != len(data):
            reads.append(data[600:])
        for short in (True, False):
            found = read(reads, short=short, limit=limit, deflate=deflate)
            assert (found.events, found.failed) == (wanted.events, wanted.failed)


@fuzzed(300)
@given(streams())
def test_agrees_with_wsproto(data: bytes) -> None:
    data += bytes(14)  # we look at complete heads only
    found = read([data], short=True, limit=0, deflate=False)
    wanted = read_by_wsproto(data)
    if found.events[-1:] != [(1014, "")]:  # registered, but wsproto does not know it
        assert (found.events, found.failed) == (wanted.events, wanted.failed)


@fuzzed(300)
@given(
    st.one_of(st.binary(max_size=600), st.integers(380, 390).map(bytes)), st.binary(min_size=4, max_size=4)
)
def test_masking(data: bytes, mask: bytes) -> None:
    assert unmask(data, mask) == unmask_in_python(data, mask) == masked(data, mask)
