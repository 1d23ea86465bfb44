"""What a WebSocket server has to do with what a client sends, rule by rule of RFC 6455 and RFC 7692.

The groups are those of the Autobahn test suite. A case has frames, and what the server answers to them:
echoes and pongs, and at the end nothing, or a Close frame with a code, behind which the connection ends.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    closing,
    frame,
)


@dataclass(frozen=True)
class Case:
    """Frames, and the answers that an echo gives. `code` is that of the Close frame, 0 for none.

    `deflate` are the parameters that the client offers, None for no offer.
    """

    group: str
    name: str
    sent: tuple[bytes, ...]
    answers: tuple[Frame, ...] = ()
    code: int = 0
    deflate: str | None = field(default=None)

    def __str__(self) -> str:
        return f"{self.group} {self.name}"


def echoed(text: str) -> Frame:
    return Frame(TEXT, text.encode())


def deflated(data: bytes, bits: int = 15, compressor: Callable[[], zlib._Compress] | None = None) -> bytes:
    """Return `data` as a compressed message's payload (RFC 7692 section 7.2.1)."""
    made = compressor() if compressor is not None else zlib.compressobj(wbits=-bits)
    return (made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH))[:-4]


_SIZES = (0, 1, 125, 126, 127, 128, 65535, 65536, 65537)


def _messages() -> Iterator[Case]:
    for size in _SIZES:
        payload = bytes(33 + number % 94 for number in range(size))
        for name, opcode in (("text", TEXT), ("binary", BINARY)):
            yield Case("1", f"{name} of {size}", (frame(opcode, payload),), (Frame(opcode, payload),))
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"):
        yield Case("1", f"mask {mask.hex()}", (frame(TEXT, b"masked so", mask=mask),), (echoed("masked so"),))
    many = tuple(frame(TEXT, b"%d" % number) for number in range(100))
    yield Case("1", "many in one", many, tuple(echoed(str(number)) for number in range(100)))
    yield Case("5.2", "not masked", (frame(TEXT, b"plain", plain=True),), code=1002)
    yield Case("5.2", "empty and not masked", (frame(TEXT, b"", plain=True),), code=1002)
    for size, width in ((0, 2), (125, 2), (5, 8), (126, 8), (65535, 8)):
        sent = frame(BINARY, b"x" * size, size_bytes=width)
        yield Case("5.2", f"{size} bytes in a length of {width}", (sent,), code=1002)
    huge = frame(BINARY, b"x" * 20, length=1 << 63, size_bytes=8)
    yield Case("5.2", "length with the highest bit", (huge,), code=1002)


def _pings() -> Iterator[Case]:
    for payload in (b"", b"Hello", b"\x00\xff\xfe", b"x" * 125):
        yield Case("2", f"ping of {len(payload)}", (frame(PING, payload),), (Frame(PONG, payload),))
    yield Case("2", "ping of 126", (frame(PING, b"x" * 126),), code=1002)
    yield Case("2", "pong that nobody wants", (frame(PONG, b"x"), frame(PING)), (Frame(PONG, b""),))
    pings = tuple(frame(PING, b"%d" % number) for number in range(10))
    yield Case("2", "ten pings", pings, tuple(Frame(PONG, b"%d" % number) for number in range(10)))


def _reserved() -> Iterator[Case]:
    for bits in (1, 2, 3, 4, 5, 6, 7):
        for opcode in (TEXT, BINARY, PING, PONG, CLOSE):
            bad = frame(opcode, b"\x03\xe8" if opcode == CLOSE else b"abc", reserved=bits)
            yield Case("3", f"bits {bits} of {opcode}", (frame(TEXT, b"good"), bad), (echoed("good"),), 1002)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        bad = frame(opcode, b"abc")
        yield Case("4", f"opcode {opcode}", (frame(TEXT, b"good"), bad), (echoed("good"),), 1002)


def _fragments() -> Iterator[Case]:
    first, last = frame(TEXT, b"one ", final=False), frame(CONTINUATION, b"two")
    middle = frame(CONTINUATION, b"and ", final=False)
    yield Case("5", "two fragments", (first, last), (echoed("one two"),))
    yield Case("5", "three fragments", (first, middle, last), (echoed("one and two"),))
    yield Case("5", "empty fragments", (frame(TEXT, final=False), frame(CONTINUATION)), (echoed(""),))
    binary = (frame(BINARY, b"\xff", final=False), frame(CONTINUATION, b"\x00"))
    yield Case("5", "binary fragments", binary, (Frame(BINARY, b"\xff\x00"),))
    yield Case(
        "5", "ping in between", (first, frame(PING, b"p"), last), (Frame(PONG, b"p"), echoed("one two"))
    )
    yield Case("5", "pong in between", (first, frame(PONG, b"p"), last), (echoed("one two"),))
    yield Case("5", "close in between", (first, closing(1000)), code=1000)
    yield Case("5", "text in between", (first, frame(TEXT, b"no")), code=1002)
    yield Case("5", "binary in between", (first, frame(BINARY, b"no")), code=1002)
    yield Case("5", "continuation of nothing", (last,), code=1002)
    yield Case("5", "continuation behind a message", (frame(TEXT, b"a"), last), (echoed("a"),), 1002)
    yield Case("5", "continuation of nothing, not final", (middle, last), code=1002)
    yield Case("5", "fragmented ping", (frame(PING, b"a", final=False), frame(PING, b"b")), code=1002)
    yield Case("5", "fragmented close", (frame(CLOSE, b"", final=False),), code=1002)
    whole = frame(TEXT, b"whole")
    yield Case("5", "whole behind fragments", (first, last, whole), (echoed("one two"), echoed("whole")))


_TEXTS = (
    "\u00ff",
    "\u07ff",
    "\u0800",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\U00010000",
    "\U0010ffff",
    "\x00",
    "\u03ba\u1f79",
)
_NOT_TEXTS = (
    *(
        b"\xff",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
    ),
    *(b"\x80", b"ok\xce", b"\xe2\x82", b"\xf0\x9f\x98", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"a\xceb"),
)


def _unicode() -> Iterator[Case]:
    for text in _TEXTS:
        raw = text.encode()
        yield Case("6", f"text {raw.hex()}", (frame(TEXT, raw),), (echoed(text),))
        parts = [raw[place : place + 1] for place in range(len(raw))]
        sent = [frame(CONTINUATION, part, final=False) for part in parts]
        sent[0] = frame(TEXT, parts[0], final=False)
        yield Case("6", f"text {raw.hex()} by bytes", (*sent, frame(CONTINUATION)), (echoed(text),))
    for raw in _NOT_TEXTS:
        yield Case("6", f"no text {raw.hex()}", (frame(TEXT, raw),), code=1007)
        sent = [frame(TEXT, b"fine ", final=False), frame(CONTINUATION, raw)]
        yield Case("6", f"no text {raw.hex()} in a fragment", tuple(sent), code=1007)
    bad = frame(TEXT, b"bad: \xff", final=False)
    yield Case("6", "found before the message is complete", (bad,), code=1007)
    chopped = frame(TEXT, b"\xff" + b"x" * 100)[:20]
    yield Case("6", "found before the frame is complete", (chopped,), code=1007)


def _closings() -> Iterator[Case]:
    valid = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
    for code in valid:
        yield Case("7", f"code {code}", (closing(code),), code=code)
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield Case("7", f"code {code}, which is none", (closing(code),), code=1002)
    yield Case("7", "no code", (frame(CLOSE),), code=1005)
    yield Case("7", "half a code", (frame(CLOSE, b"\x03"),), code=1002)
    yield Case("7", "a reason", (closing(1000, "\u00fc" * 61),), code=1000)
    yield Case("7", "too long", (frame(CLOSE, b"\x03\xe8" + b"x" * 124),), code=1002)
    yield Case("7", "a reason that is no text", (frame(CLOSE, b"\x03\xe8\xff"),), code=1007)
    behind = (frame(TEXT, b"one"), closing(1000), frame(TEXT, b"two"), frame(PING))
    yield Case("7", "what comes behind", behind, (echoed("one"),), 1000)


def _compressed() -> Iterator[Case]:
    data = b'{"kind": "message", "text": "' + b"hello " * 40 + b'"}'
    text = data.decode()
    plain = frame(TEXT, data)
    for offer in ("", "client_no_context_takeover", "server_no_context_takeover", "client_max_window_bits"):
        compressed = frame(TEXT, deflated(data, 12), reserved=4)
        yield Case("12", f"whole, {offer or 'nothing else'}", (compressed,), (echoed(text),), deflate=offer)
        yield Case(
            "12", f"not compressed, {offer or 'nothing else'}", (plain,), (echoed(text),), deflate=offer
        )
    raw = deflated(data)
    parts = (frame(TEXT, raw[:9], final=False, reserved=4), frame(CONTINUATION, raw[9:], final=False))
    end = frame(CONTINUATION)
    yield Case("12", "fragments", (*parts, end), (echoed(text),), deflate="")
    ping = frame(PING, b"p")
    yield Case(
        "12",
        "ping in between",
        (parts[0], ping, parts[1], end),
        (Frame(PONG, b"p"), echoed(text)),
        deflate="",
    )
    yield Case("12", "empty", (frame(TEXT, b"\x00", reserved=4),), (echoed(""),), deflate="")
    compressor = zlib.compressobj(wbits=-12)
    series = tuple(
        frame(TEXT, deflated(b"again and again", compressor=lambda: compressor), reserved=4) for _ in range(5)
    )
    yield Case("12", "a context for all", series, (echoed("again and again"),) * 5, deflate="")
    single = frame(TEXT, deflated(b"alone"), reserved=4)
    alone = "client_no_context_takeover"
    yield Case("12", "a context for each", (single,) * 5, (echoed("alone"),) * 5, deflate=alone)
    stored = zlib.compressobj(0, wbits=-15)
    yield Case(
        "12",
        "stored blocks",
        (frame(TEXT, deflated(data, compressor=lambda: stored), reserved=4),),
        (echoed(text),),
        deflate="",
    )
    final = zlib.compressobj(wbits=-15)
    payload = final.compress(b"the last block is marked") + final.flush() + b"\x00"
    marked = frame(TEXT, payload, reserved=4)
    yield Case(
        "12",
        "a final block (7.2.3.4)",
        (marked, marked),
        (echoed("the last block is marked"),) * 2,
        deflate="",
    )
    both = frame(TEXT, payload[:-1] + deflated(b", but not this one"), reserved=4)
    yield Case(
        "12",
        "blocks behind a final one",
        (both,),
        (echoed("the last block is marked, but not this one"),),
        deflate="",
    )
    yield Case("12", "no deflate", (frame(TEXT, b"\xff\xff\xff\xff", reserved=4),), code=1007, deflate="")
    yield Case("12", "no text", (frame(TEXT, deflated(b"\xff\xfe"), reserved=4),), code=1007, deflate="")
    yield Case("12", "compressed ping", (frame(PING, b"", reserved=4),), code=1002, deflate="")
    bad = (frame(TEXT, b"a", final=False), frame(CONTINUATION, b"b", reserved=4))
    yield Case("12", "compressed continuation", bad, code=1002, deflate="")
    yield Case("12", "not agreed", (compressed,), code=1002)


CASES: tuple[Case, ...] = (
    *_messages(),
    *_pings(),
    *_reserved(),
    *_fragments(),
    *_unicode(),
    *_closings(),
    *_compressed(),
)
