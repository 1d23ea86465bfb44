"""permessage-deflate (RFC 7692): its negotiation, and messages that are compressed.

The contexts are made when they are first needed, and inflating never makes more than a message may have.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from aserve.protocols.errors import WebSocketFailedError
from aserve.protocols.options import WebSocketOptions
from aserve.protocols.websocket.closing import INVALID_DATA, TOO_BIG

# What the sender leaves out at a message's end (RFC 7692 §7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"
# Bytes below which a message leaves as it is: nothing would be gained.
LEAST: Final = 32

_BITS: Final = {str(bits): bits for bits in range(8, 16)}
# zlib cannot compress for a window of 2**8 bytes.
_LEAST_BITS: Final = 9

_NOTHING: Final = RsvBits(False, False, False)
_FIRST: Final = RsvBits(True, False, False)


class Deflate(Extension):
    """The extension on one connection. wsproto negotiates it, and gives it the frames that it reads.

    server_bits, client_bits: the windows of what each side compresses. server_takeover, client_takeover:
    whether each side keeps its context from message to message.
    inflated: bytes of the message that is being read. compressed: whether it is; None between two.
    """

    __slots__ = (
        "accepted",
        "client_bits",
        "client_takeover",
        "compressed",
        "control",
        "deflater",
        "inflated",
        "inflater",
        "limit",
        "options",
        "server_bits",
        "server_takeover",
    )

    name = "permessage-deflate"

    def __init__(self, options: WebSocketOptions) -> None:
        self.options = options
        self.limit = options.max_size
        self.accepted = False
        self.server_bits = self.client_bits = 15
        self.server_takeover = self.client_takeover = options.context_takeover
        self.deflater: Any = None
        self.inflater: Any = None
        self.inflated = 0
        self.compressed: bool | None = None
        self.control = False

    # Negotiation

    def enabled(self) -> bool:
        return self.accepted

    def offer(self) -> bool:
        return False  # that is for clients

    def accept(self, offer: str) -> str | None:
        """The parameters of the response to an offer; None declines it (RFC 7692 §7.1).

        The first offer that can be taken is.
        """
        parameters = _parameters(offer)
        if self.accepted or parameters is None:
            return None
        ours = self.options.window_bits
        server = _BITS[parameters.get("server_max_window_bits") or "15"]
        if server < _LEAST_BITS:
            return None
        answer = []
        self.server_takeover &= "server_no_context_takeover" not in parameters
        self.client_takeover &= "client_no_context_takeover" not in parameters
        if not self.server_takeover:
            answer.append("server_no_context_takeover")
        if not self.client_takeover:
            answer.append("client_no_context_takeover")
        self.server_bits = min(server, ours)
        if self.server_bits < 15 or "server_max_window_bits" in parameters:
            answer.append(f"server_max_window_bits={self.server_bits}")
        if "client_max_window_bits" in parameters:  # others cannot have less
            self.client_bits = min(_BITS[parameters["client_max_window_bits"] or "15"], ours)
            answer.append(f"client_max_window_bits={self.client_bits}")
        self.accepted = True
        return "; ".join(answer)

    # Whole messages

    def compress(self, data: bytes) -> bytes:
        """A message as it is sent, in one frame."""
        deflater = self.deflater
        if deflater is None:
            bits = self.server_bits
            deflater = zlib.compressobj(wbits=-bits, memLevel=min(8, bits - 7))
            if self.server_takeover:
                self.deflater = deflater
        compressed: bytes = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
        return compressed[:-4]

    def expand(self, data: bytes) -> bytes:
        """A message that has come in one frame; raises `WebSocketFailedError`."""
        self.inflated = 0
        try:
            message = self._inflate(data)
            if not self._too_big():
                message += self._inflate(_TAIL)
        except zlib.error:
            raise WebSocketFailedError(INVALID_DATA, "invalid compressed data", "RFC 7692 §7.2.2") from None
        if self._too_big():
            raise WebSocketFailedError(TOO_BIG, "message too big", "--ws-max-size")
        self._end()
        return message

    def _too_big(self) -> bool:
        return self.limit > 0 and self.inflated > self.limit

    def _inflate(self, data: bytes) -> bytes:
        """Inflate `data`, but not further than a byte above the limit, which has not been passed yet."""
        room = self.limit - self.inflated + 1 if self.limit else 0
        if self.inflater is None:
            self.inflater = zlib.decompressobj(-max(self.client_bits, _LEAST_BITS))
        result: bytes = self.inflater.decompress(data, room)
        self.inflated += len(result)
        while self.inflater.eof and not self._too_big():
            # A final block (RFC 7692 §7.2.3.4) is the end for zlib, but not for the message.
            rest = self.inflater.unused_data
            self.inflater = zlib.decompressobj(-max(self.client_bits, _LEAST_BITS))
            if not rest:
                break
            more: bytes = self.inflater.decompress(rest, room and room - len(result))
            self.inflated += len(more)
            result += more
        return result

    def _end(self) -> None:
        self.inflated = 0
        if not self.client_takeover:
            self.inflater = None

    # Frames that wsproto reads

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Take note of what the frame is; only a message's first one says that it is compressed."""
        self.control = opcode.iscontrol()
        if self.control or opcode is Opcode.CONTINUATION:
            return _NOTHING
        if self.compressed is not None:
            return CloseReason.PROTOCOL_ERROR  # a message within another one
        self.compressed = rsv.rsv1
        self.inflated = 0
        return _FIRST

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        """A part of a frame's payload, inflated."""
        if self.control or not self.compressed:
            return data
        return self._bounded(data)

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        """What is left in the inflater at a message's end."""
        if self.control or not fin:
            return None
        compressed, self.compressed = self.compressed, None
        if not compressed:
            return None
        result = self._bounded(_TAIL)
        self._end()
        return result

    def _bounded(self, data: bytes) -> bytes | CloseReason:
        try:
            result = self._inflate(data)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        if self._too_big():
            return CloseReason.MESSAGE_TOO_BIG
        return result


def _parameters(offer: str) -> dict[str, str] | None:
    """The parameters of an offer, "" for one without a value; None if one is not as RFC 7692 §7.1 has it."""
    found: dict[str, str] = {}
    for parameter in offer.split(";")[1:]:
        name, equals, value = (part.strip() for part in parameter.partition("="))
        value = value.strip('"')
        if name in found:
            return None
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if equals:
                return None
        elif name == "server_max_window_bits":
            if value not in _BITS:
                return None
        elif name != "client_max_window_bits" or (equals and value not in _BITS):
            return None
        found[name] = value
    return found
