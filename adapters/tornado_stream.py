"""A connection that Tornado reads and writes, and how far it is: the group ends those whose time is over."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from tornado.iostream import IOStream, SSLIOStream
from tornado.websocket import WebSocketHandler

from aserve.protocols.lingering import unconfirmed


class Stage(enum.Enum):
    """What a connection waits for, as far as it is the client's turn."""

    FIRST = "first"  # the first byte of all
    IDLE = "idle"  # the first byte of another request
    HEAD = "head"  # the rest of a head
    BODY = "body"  # more of a body, which the application is ready for
    WRITING = "writing"  # the client takes what there is for it
    OTHER = "other"  # the application


class Stream(IOStream):
    """An accepted connection.

    sock: accepted, and its own from now on. client, server: address and port, None for what has none.
    trusted: whether the client is a proxy that is believed. on_closed: called with it when it is closed,
    by whomever.

    received, sent: bytes. turns: requests that were waited for, the present one included. at_work: a
    head is complete, and its response not. answered: the last of its response is written. ending: no other
    request is waited for; of a WebSocket: it was told to go. detached: it is no HTTP any more. websocket:
    who has it then, if it is one.
    """

    def __init__(
        self,
        sock: Any,
        client: tuple[str, int] | None,
        *,
        trusted: bool,
        on_closed: Callable[[Stream], None],
    ) -> None:
        super().__init__(sock)
        self.client = client
        self.server: tuple[str, int] | None = sock.getsockname()[:2] if client is not None else None
        self.trusted = trusted
        self.received = 0
        self.sent = 0
        self.turns = 0
        self.at_work = False
        self.answered = False
        self.ending = False
        self.detached = False
        self.websocket: WebSocketHandler | None = None
        self._tell_closed = on_closed
        self._before = 0
        self._progress: tuple[Stage, int, int] | None = None
        self._since = 0.0

    # What Tornado calls

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        size = super().read_from_fd(buf)
        self.received += size or 0
        return size

    def write_to_fd(self, data: memoryview) -> int:
        size = super().write_to_fd(data)
        self.sent += size
        return size

    def close_fd(self) -> None:
        super().close_fd()
        self.websocket = None
        self._tell_closed(self)

    # What the group wants to know

    def await_request(self) -> None:
        """From now on another request is waited for."""
        self.turns += 1
        self.at_work = self.answered = False
        self._before = self.received

    def stage(self) -> Stage:
        """What is waited for at present."""
        if self.writing():
            return Stage.WRITING
        if self.detached:
            return Stage.OTHER
        if self.at_work:
            return Stage.BODY if self.reading() else Stage.OTHER
        if self.received != self._before:
            return Stage.HEAD
        return Stage.IDLE if self.received else Stage.FIRST

    def overdue(self, now: float, limits: Mapping[Stage, float], least: int) -> Stage | None:
        """What has been waited for too long; to be asked again and again.

        now, limits: in seconds. least: bytes of a body that count as progress. It is never too early: time
        counts from when it was first asked.
        """
        stage = self.stage()
        advance = 0
        if stage is Stage.BODY:
            advance = self.received // least
        elif stage is Stage.WRITING:
            # The kernel holds megabytes: a client may be reading while nothing leaves our buffer.
            advance = self.sent - unconfirmed(self.socket.fileno())
        progress = (stage, self.turns, advance)
        if progress != self._progress:
            self._progress = progress
            self._since = now
            return None
        return stage if now - self._since >= limits.get(stage, inf) else None

    def give_time(self) -> None:
        """Count the time of what is waited for from the next look on."""
        self._progress = None


class SecureStream(Stream, SSLIOStream):
    """One over TLS; the handshake of its socket is complete."""

    def close_fd(self) -> None:
        # What is cut off must not look complete (RFC 8446 §6.1).
        if not self.writing() and (self.answered or self.detached or not self.at_work):
            try:
                self.socket.unwrap()
            except (OSError, ValueError):  # the client's own has not come, as nearly always
                pass
        super().close_fd()
