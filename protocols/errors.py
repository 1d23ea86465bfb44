"""Two roots of error: what the peer did (`RemoteError`) and what our side did (`LocalError`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aserve.protocols.policy import Refusal


class RemoteError(Exception):
    """The client sent something that is not taken."""


class RequestRefusedError(RemoteError):
    """The request is refused: the client gets the refusal's status, then the connection closes."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class WebSocketFailedError(RemoteError):
    """The client has broken a rule of WebSockets: it gets a Close frame, then the connection ends.

    code: of the Close frame (RFC 6455 §7.4.1). reason: a few words for the frame and the log.
    section: where the rule stands.
    """

    def __init__(self, code: int, reason: str, section: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.section = section


class LocalError(Exception):
    """The application broke a rule of HTTP; the client gets a 500 or a broken connection."""


class ResponseError(LocalError):
    """A response, or a part of one, that must not be sent."""


class WebSocketMessageError(LocalError):
    """A message to a WebSocket that must not be sent, or not now; the client gets a 500 or a Close frame."""


class ClientDisconnectedError(OSError):
    """The client is gone, and what was to be sent has nowhere to go.

    An `OSError`, as the ASGI HTTP specification (2.4 and later) asks of `send`.
    """
