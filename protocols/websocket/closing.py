"""Close frames: their codes (RFC 6455 §7.4), what is in them, and what the server closes for."""

from __future__ import annotations

from typing import Final

from aserve.protocols.errors import WebSocketFailedError, WebSocketMessageError

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005  # never sent: the frame had no code
ABNORMAL: Final = 1006  # never sent: there was no frame
INVALID_DATA: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012

# Those that a frame may have: RFC 6455 §7.4.1 and the IANA registry, libraries, applications.
_SENT: Final = frozenset({*range(1000, 1004), *range(1007, 1015)})
_FREE: Final = range(3000, 5000)

# Bytes that a reason may have beside the code (RFC 6455 §5.5).
_MAX_REASON: Final = 123


def read_payload(payload: bytes) -> tuple[int, str]:
    """Code and reason of a Close frame's payload (RFC 6455 §5.5.1); raises `WebSocketFailedError`."""
    if not payload:
        return NO_STATUS, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or (code not in _SENT and code not in _FREE):
        raise WebSocketFailedError(PROTOCOL_ERROR, "invalid close code", "RFC 6455 §7.4")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise WebSocketFailedError(
            INVALID_DATA, "the reason of a Close frame is not UTF-8", "RFC 6455 §8.1"
        ) from None


def payload(code: int, reason: str) -> bytes:
    """The payload of a Close frame; code 1005 stands for none. A reason that is too long is cut."""
    if code == NO_STATUS:
        return b""
    text = reason.encode("utf-8", "replace")
    if len(text) > _MAX_REASON:
        text = text[:_MAX_REASON].decode("utf-8", "ignore").encode()
    return code.to_bytes(2, "big") + text


def check(code: object, reason: object) -> None:
    """Raise `WebSocketMessageError` for what an application must not close with."""
    if not isinstance(code, int) or (code not in _SENT and code not in _FREE and code != NO_STATUS):
        raise WebSocketMessageError(f"a WebSocket cannot be closed with code {code!r}")
    if not isinstance(reason, str):
        raise WebSocketMessageError(f"the reason for closing a WebSocket is a text, not {reason!r}")
