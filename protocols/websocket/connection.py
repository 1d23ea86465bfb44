"""One WebSocket: the transport that it took over from HTTP, its Close frames, its keep-alive."""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, ClassVar, Final

from aserve.protocols.errors import ClientDisconnectedError, WebSocketFailedError
from aserve.protocols.lingering import LingeringConnection
from aserve.protocols.states import Messages, Reading
from aserve.protocols.websocket import closing, frames
from aserve.protocols.websocket.deflate import LEAST
from aserve.protocols.websocket.frames import FrameReader
from aserve.protocols.websocket.listener import NOBODY

if TYPE_CHECKING:
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.websocket.deflate import Deflate
    from aserve.protocols.websocket.listener import Listener

logger: Final = logging.getLogger("aserve")

_OPEN: Final = Messages.OPEN
_CLOSING: Final = Messages.CLOSING
_CLOSED: Final = Messages.CLOSED
_UPGRADE: Final = Reading.UPGRADE

# Seconds for which the client's Close frame is waited for after ours.
CLOSE_TIME: Final = 10.0
# Seconds within which messages that came before the end are taken, so that answers to them may leave.
LAST_TIME: Final = 1.0
# Above this a payload leaves without being copied behind its frame's head.
_COPY_LIMIT: Final = 16 * 1024
# Frames that are held to leave together: only the transport tells when it is enough.
_MOST_HELD: Final = 64


class WebSocketConnection(LingeringConnection):
    """An open WebSocket. It takes its transport from the connection that read the handshake.

    state: how it stands. full: the listener takes no further message at present.
    code, reason: of the first Close frame in either direction, code 1006 if there was none, 0 before.
    sent: bytes of the frames that were sent.
    silent: nothing has come since the last ping. pinged: its answer is waited for.
    taken: bytes that the client's system had taken when it was sent.
    """

    __slots__ = (
        "_deflate",
        "_ending",
        "_frames",
        "_listener",
        "_outbox",
        "_pong",
        "code",
        "full",
        "pinged",
        "reason",
        "sent",
        "silent",
        "state",
        "taken",
    )

    # For the tests, which hold the two ways together.
    short: ClassVar[bool] = True

    def __init__(self, before: Http1Connection, listener: Listener, deflate: Deflate | None) -> None:
        super().__init__(before.group)
        self.transport = before.transport
        self.client = before.client
        self.server = before.server
        self.writable = before.writable
        self.reading = _UPGRADE
        self.state = _OPEN
        self.full = False
        self.code = 0
        self.reason = ""
        self.sent = 0
        self.silent = False
        self.pinged = False
        self.taken = 0
        self._listener = listener
        self._deflate = deflate
        limit = self.group.options.websocket.max_size
        self._frames = FrameReader(self, limit=limit, deflate=deflate, short=self.short)
        self._ending: WebSocketFailedError | tuple[int, str] | None = None
        self._outbox: list[bytes] | None = None
        self._pong: bytes | None = None

    def open(self, before: Http1Connection, response: bytes) -> None:
        """Take over from `before`: send the handshake's response, and read on."""
        self._frames.waiting = before.hand_over(self)
        self.transport.write(response)
        self.deadline = self._ping_deadline()
        if self.group.draining:
            self.drain()
        if self._frames.waiting:
            self.group.loop.call_soon(self._read_on)

    # Called by the transport

    def data_received(self, data: bytes) -> None:
        self.silent = False
        if self.reading is not _UPGRADE:
            self.drop(len(data))
            return
        self._feed(data)

    def eof_received(self) -> bool:
        return False  # a WebSocket ends with Close frames; without them it has just broken off

    def connection_lost(self, exc: Exception | None) -> None:
        self.reading = Reading.CLOSED
        self.deadline = inf
        self._outbox = None
        self.release_writers()
        self.group.closed(self)
        self.end()
        if not self._frames.waiting:
            self._finish()

    def resume_writing(self) -> None:
        self.release_writers()
        pong, self._pong = self._pong, None
        if pong is not None and self.state is _OPEN:
            self._send(frames.PONG, pong)

    # Called by the frame reader

    def on_text(self, text: str) -> None:
        self._listener.on_text(text)

    def on_bytes(self, data: bytes) -> None:
        self._listener.on_bytes(data)

    def on_ping(self, payload: bytes) -> None:
        """Answer (RFC 6455 §5.5.2), but let nobody fill the memory with answers that he does not read."""
        if self.state is not _OPEN:
            return
        if self.writable:
            self._send(frames.PONG, payload)
        else:
            self._pong = payload  # the latest is enough (RFC 6455 §5.5.3)

    def on_pong(self) -> None:
        if self.pinged:
            self.pinged = False
            if self.state is _OPEN and not self.group.draining:
                self.deadline = self._ping_deadline()

    def on_close(self, code: int, reason: str) -> None:
        """The client closes, or answers to our closing (RFC 6455 §5.5.1)."""
        self._end_after((code, reason))

    # Called by the listener

    @property
    def usable(self) -> bool:
        """Whether messages can be sent."""
        return self.state is _OPEN and self.reading is _UPGRADE

    def send_text(self, text: str) -> None:
        """Send a text message; raises `ClientDisconnectedError`."""
        self._send_message(frames.TEXT, text.encode())

    def send_bytes(self, data: bytes) -> None:
        """Send a binary message; raises `ClientDisconnectedError`."""
        self._send_message(frames.BINARY, data)

    def close_with(self, code: int, reason: str = "") -> None:
        """Send a Close frame and wait for the client's; nothing if it is closed already."""
        if not self.usable:
            return
        self._send(frames.CLOSE, closing.payload(code, reason))
        self._note(code, reason)
        self.state = _CLOSING
        self.deadline = self.group.deadline_in(CLOSE_TIME)

    def set_full(self, full: bool) -> None:
        """Whether there is room for a further message; if there is again, read on."""
        self.full = full
        if not full and self._ending is not None:
            # What the listener is about to say to the last message may leave before.
            self.group.loop.call_soon(self.end)
        self.update_reading()
        if not full and self._frames.waiting:
            # Not at once: whoever reads message after message must let others have their turn.
            self.group.loop.call_soon(self._read_on)

    def update_reading(self) -> None:
        full = (self.full or bool(self._frames.waiting)) and self.reading is _UPGRADE
        if full is not self.paused and not self.transport.is_closing():
            self.silent = False  # what comes while nothing is read would not be noticed
            self.pause_reading(full)

    def _feed(self, data: bytes) -> None:
        try:
            self._frames.feed(data)
        except WebSocketFailedError as failed:
            self._end_after(failed)
        if self._frames.waiting and not self.full:
            self.group.loop.call_soon(self._read_on)
        if self._frames.waiting or self.paused:
            self.update_reading()

    def _read_on(self) -> None:
        if self.full:
            return
        waiting, self._frames.waiting = self._frames.waiting, b""
        if waiting and self.state is not _CLOSED:
            self._feed(waiting)
        if self.reading is Reading.CLOSED and not self._frames.waiting:
            self._finish()

    # Sending

    def _send_message(self, first: int, data: bytes) -> None:
        if not self.usable:
            raise ClientDisconnectedError("the WebSocket is closed")
        if self._deflate is not None and len(data) >= LEAST:
            data = self._deflate.compress(data)
            first |= frames.COMPRESSED
        self._send(first, data)

    def _send(self, first: int, payload: bytes) -> None:
        head = frames.head(first, len(payload))
        self.sent += len(head) + len(payload)
        if len(payload) > _COPY_LIMIT:
            self.flush()
            self.write_pieces((head, payload))
        elif self._outbox is None:
            # A transport makes a system call, and a segment, of everything that it is given.
            self._outbox = [head + payload]
            self.group.outbox.hold(self)
        else:
            self._outbox.append(head + payload)
            if len(self._outbox) >= _MOST_HELD:
                self.flush()

    def flush(self) -> None:
        """Send what was held to leave together."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None and not self.transport.is_closing():
            self.transport.write(outbox[0] if len(outbox) == 1 else b"".join(outbox))

    # The end

    @property
    def ending(self) -> bool:
        """Whether it is to end as soon as what has come is taken."""
        return self._ending is not None

    def _end_after(self, ending: WebSocketFailedError | tuple[int, str]) -> None:
        """The client has closed or broken a rule: end when what came before has been taken, or soon."""
        self._frames.closed = True
        self._frames.waiting = b""
        self._ending = ending
        if self._listener.queue and self.reading is _UPGRADE:
            self.deadline = self.group.deadline_in(LAST_TIME)
            self.set_full(True)
        else:
            self.end()

    def end(self) -> None:
        """End as the client has it, if it has."""
        ending, self._ending = self._ending, None
        if isinstance(ending, WebSocketFailedError):
            self._fail(ending)
        elif ending is not None:
            if self.usable:
                self._send(frames.CLOSE, closing.payload(ending[0], ""))
            self._end(*ending)
            self._close_transport()

    def _fail(self, failed: WebSocketFailedError) -> None:
        """Say which rule was broken, and take nothing more (RFC 6455 §7.1.7)."""
        logger.info(
            "websocket failed: %d %s (%s) client=%s",
            failed.code,
            failed.reason,
            failed.section,
            self.peer(),
        )
        self.close_with(failed.code, failed.reason)
        self._end(failed.code, failed.reason)
        self.flush()
        if self.reading is _UPGRADE:
            self.linger()

    def _end(self, code: int, reason: str) -> None:
        """No message comes any more."""
        if self.state is not _CLOSED:
            self._note(code, reason)
            self.state = _CLOSED
            self.release_writers()  # who waits to send more has to know
            self._listener.on_closed()

    def _note(self, code: int, reason: str) -> None:
        if not self.code:
            self.code = code
            self.reason = reason

    def _close_transport(self) -> None:
        if self.reading is _UPGRADE:
            self.reading = Reading.DISCARD
        self.deadline = inf
        self.flush()
        if not self.transport.is_closing():
            self.close()

    def _finish(self) -> None:
        """Nothing is left of it."""
        self._end(closing.ABNORMAL, "")
        listener, self._listener = self._listener, NOBODY
        listener.on_end()

    # Called by the group

    def expire(self) -> None:
        """The deadline is over: for the Close frame, a pong, the connection, or the next ping."""
        due, self.deadline = self.deadline, inf
        if self._ending is not None:
            self.end()
        elif self.reading is not _UPGRADE:
            self.linger_on()
        elif self.state is _CLOSING:
            self.transport.abort()
        elif self.group.draining:
            restarting = due <= self.group.leaving_until
            self.close_with(closing.SERVICE_RESTART if restarting else closing.GOING_AWAY)
        elif not self.pinged:
            self._ping()
        elif self._alive():
            self.pinged = False
            self.deadline = self._ping_deadline()
        else:
            self.close_with(closing.INTERNAL_ERROR, "keepalive ping timeout")
            logger.info("websocket failed: %d %s client=%s", self.code, self.reason, self.peer())
            self._end(self.code, self.reason)
            self._close_transport()

    def _ping_deadline(self) -> float:
        return self.group.deadline_in(self.group.options.websocket.ping_interval or inf)

    def _ping(self) -> None:
        timeout = self.group.options.websocket.ping_timeout
        self._send(frames.PING, b"")
        self.flush()
        self.silent = self.pinged = timeout > 0
        self.taken = self.sent - self.untaken()
        self.deadline = self.group.deadline_in(timeout) if timeout else self._ping_deadline()

    def _alive(self) -> bool:
        """Whether there is any sign of life since the ping: it may stand behind much that is on its way."""
        if not self.silent or self.paused:
            return True
        untaken = self.untaken()
        return untaken > 0 and self.sent - untaken > self.taken

    def drain(self) -> None:
        """Close it some time in the next seconds: the client is to come back, but not with all others."""
        if self.state is _OPEN:
            self.deadline = self.group.leaving_deadline()

    def cut_off(self) -> None:
        self.close_with(closing.GOING_AWAY)
        self._end(self.code, self.reason)
        self._frames.waiting = b""
        self._close_transport()
