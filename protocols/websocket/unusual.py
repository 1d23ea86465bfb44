"""Everything that is not a whole message in one frame in one read: wsproto's decoder takes it.

It is given one frame at a time, and of that what has come; so it is known when a message ends, and
what is behind it can go the short way again.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final, cast

from wsproto.frame_protocol import CloseReason, Frame, FrameDecoder, MessageDecoder, Opcode, ParseFailed

from aserve.protocols.errors import WebSocketFailedError
from aserve.protocols.websocket import closing

if TYPE_CHECKING:
    from aserve.protocols.websocket.deflate import Deflate
    from aserve.protocols.websocket.frames import Sink

# Frames that a message may have. An empty one costs its sender hardly anything, and adds nothing.
MAX_FRAGMENTS: Final = 2**17


class UnusualFrames:
    """Takes frames until there is nothing incomplete: then the short way is open again.

    limit: bytes of a message, 0 for no limit.
    """

    __slots__ = (
        "_data",
        "_decoder",
        "_deflate",
        "_fragments",
        "_head",
        "_limit",
        "_messages",
        "_size",
        "_text",
    )

    def __init__(self, limit: int, deflate: Deflate | None) -> None:
        self._limit = limit
        self._deflate = deflate
        self._decoder = FrameDecoder(client=False, extensions=[deflate] if deflate is not None else [])
        self._messages = MessageDecoder()
        self._head = b""
        self._fragments = 0
        self._size = 0
        self._text: io.StringIO | None = None
        self._data: io.BytesIO | None = None

    @property
    def at_rest(self) -> bool:
        """Whether nothing has begun that is not complete."""
        return not self._head and self._decoder.header is None and self._messages.opcode is None

    def feed(self, data: bytes, at: int, sink: Sink) -> int:
        """Take one frame of `data`, or what has come of it, from `at` on; returns where it ends.

        Raises `WebSocketFailedError`.
        """
        try:
            if self._decoder.header is None:
                at = self._feed_head(data, at)
                if self._head:
                    return at
                frame = self._decoder.process_buffer()
                if frame is not None:  # an empty one is complete
                    self._take(frame, sink)
                    return at
                self._check_size()
            return self._feed_payload(data, at, sink)
        except ParseFailed as error:
            raise self._failed(error) from None

    def _failed(self, error: ParseFailed) -> WebSocketFailedError:
        """What wsproto has found, said as the short way says it."""
        reason, section = str(error), "RFC 6455 §5"
        if error.code is CloseReason.MESSAGE_TOO_BIG:
            reason, section = "message too big", "--ws-max-size"
        elif isinstance(error.__context__, UnicodeDecodeError):
            reason, section = "a text message is not UTF-8", "RFC 6455 §8.1"
        elif error.code is CloseReason.INVALID_FRAME_PAYLOAD_DATA:
            reason, section = "invalid compressed data", "RFC 7692 §7.2.2"
        return WebSocketFailedError(int(error.code), reason, section)

    def _feed_head(self, data: bytes, at: int) -> int:
        """Give the decoder a frame's head as soon as it is complete; returns where it ends."""
        before = len(self._head)
        head = self._head + data[at : at + 14]
        size = 2
        if len(head) > 1:
            length = head[1] & 127
            size = (6 if head[1] & 128 else 2) + (8 if length == 127 else 2 if length == 126 else 0)
        if len(head) < size:
            self._head = head
            return len(data)
        self._head = b""
        self._decoder.receive_bytes(head[:size])
        return at + size - before

    def _feed_payload(self, data: bytes, at: int, sink: Sink) -> int:
        decoder = self._decoder
        if decoder.header is not None:
            left = decoder.header.payload_len - decoder.payload_consumed - len(decoder.buffer)
            decoder.receive_bytes(data[at : at + left])
            at = min(at + left, len(data))
            frame = decoder.process_buffer()
            if frame is not None:
                self._take(frame, sink)
        return at

    def _check_size(self) -> None:
        """Refuse a frame that makes its message too big, by its head; compressed ones tell later."""
        header = self._decoder.header
        if header is None or header.opcode.iscontrol():
            return
        if self._deflate is not None and self._deflate.compressed:
            return
        self._size += header.payload_len
        if self._limit and self._size > self._limit:
            raise WebSocketFailedError(closing.TOO_BIG, "message too big", "--ws-max-size")

    def _take(self, frame: Frame, sink: Sink) -> None:
        """A complete control frame, or a part of a message."""
        if frame.opcode.iscontrol():
            payload = cast(bytes, frame.payload)
            if frame.opcode is Opcode.PING:
                sink.on_ping(payload)
            elif frame.opcode is Opcode.PONG:
                sink.on_pong()
            else:
                sink.on_close(*closing.read_payload(payload))
            return
        part = self._messages.process_frame(frame)
        if isinstance(part.payload, str):
            if self._text is None:
                self._text = io.StringIO()
            self._text.write(part.payload)
        else:
            if self._data is None:
                self._data = io.BytesIO()
            self._data.write(cast(bytes, part.payload))
        if part.frame_finished:
            self._fragments += 1
            if self._fragments > MAX_FRAGMENTS:
                raise WebSocketFailedError(closing.POLICY, "too many fragments", "RFC 6455 §10.4")
        if part.message_finished:
            self._deliver(sink)

    def _deliver(self, sink: Sink) -> None:
        text, data = self._text, self._data
        self._text = self._data = None
        self._fragments = self._size = 0
        if text is not None:
            sink.on_text(text.getvalue())
        elif data is not None:
            sink.on_bytes(data.getvalue())
