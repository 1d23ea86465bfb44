"""Whom a WebSocket's messages are for."""

from __future__ import annotations

from typing import Final, Protocol


class Listener(Protocol):
    """Whom a WebSocket's messages are for: an adapter's.

    queue: those that it has not taken.
    """

    queue: list[str | bytes]

    def on_text(self, text: str) -> None: ...

    def on_bytes(self, data: bytes) -> None: ...

    def on_closed(self) -> None:
        """No message will come any more; the connection's `code` and `reason` say why."""

    def on_end(self) -> None:
        """The connection is gone, and everything that has come on it was taken."""


class Nobody:
    """The listener of a WebSocket that is gone."""

    def __init__(self) -> None:
        self.queue: list[str | bytes] = []

    def on_text(self, text: str) -> None:
        pass

    def on_bytes(self, data: bytes) -> None:
        pass

    def on_closed(self) -> None:
        pass

    def on_end(self) -> None:
        pass


NOBODY: Final = Nobody()
