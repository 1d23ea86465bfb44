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


class LocalError(Exception):
    """The application broke a rule of HTTP; the client gets a 500 or a broken connection."""


class ResponseError(LocalError):
    """A response, or a part of one, that must not be sent."""


class ClientDisconnectedError(OSError):
    """The client is gone, and what was to be sent has nowhere to go.

    An `OSError`, as the ASGI HTTP specification (2.4 and later) asks of `send`.
    """
