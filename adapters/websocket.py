"""The ASGI adapter: WebSocket scope, spec version 2.5."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from aserve.adapters.asgi import ASGIExchange, Message, comes_of_disconnect
from aserve.adapters.errorlog import log_exception
from aserve.protocols.errors import ClientDisconnectedError, WebSocketMessageError
from aserve.protocols.policy import Framing
from aserve.protocols.states import Response
from aserve.protocols.websocket import closing
from aserve.protocols.websocket.connection import WebSocketConnection
from aserve.protocols.websocket.handshake import Handshake

if TYPE_CHECKING:
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.requesthead import RequestHead

logger: Final = logging.getLogger("aserve")

_WAITING: Final = Response.WAITING

# Bytes that may be sent before the other tasks have a turn, and what a message counts on top.
_TURN: Final = 64 * 1024
_MESSAGE_COST: Final = 512

_DENIAL: Final = ("websocket.http.response.start", "websocket.http.response.body")


class ASGIWebSocket(ASGIExchange):
    """An exchange that begins with a handshake and goes on, if the application accepts, as a WebSocket.

    handshake: what the client asks for, until it is accepted. socket: the WebSocket, from then on.
    connecting: the application has not been told of it yet. queue: messages that it has not taken.
    queued: their size, in characters or bytes. most: messages that the queue may have.
    left: the application has closed, and takes no message any more.
    """

    __slots__ = ("close_code", "connecting", "handshake", "left", "most", "queue", "queued", "socket")

    connection_class: type[WebSocketConnection] = WebSocketConnection

    def __init__(self, connection: Http1Connection, request: RequestHead) -> None:
        super().__init__(connection, request)
        self.handshake: Handshake | None = Handshake.read(
            request.method, request.headers, request.framing or Framing()
        )
        self.persistent = False  # behind a handshake that was denied there may be anything
        self.socket: WebSocketConnection | None = None
        self.connecting = True
        self.queue: list[str | bytes] = []
        self.queued = 0
        self.most = connection.group.options.websocket.max_queue
        self.left = False
        self.close_code = 0

    # The application

    def begin(self) -> None:
        connection = self.connection
        connection.deadline = connection.group.handshake_deadline()
        super().begin()

    async def _run(self, scope: dict[str, Any]) -> None:
        assert self.handshake is not None
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
        scope["subprotocols"] = self.handshake.subprotocols.copy()
        others = scope["extensions"]
        scope["extensions"] = {"websocket.http.response": {}}
        if "tls" in others:
            scope["extensions"]["tls"] = others["tls"]
        del scope["method"]
        await super()._run(scope)
        if self.socket is not None:
            self._leave(closing.NORMAL)
            self.body_sent = self.socket.sent  # so far: post_request is about to be called

    async def receive(self) -> Message:
        """The ASGI `receive`: the connection, messages, then the disconnect."""
        if self.connecting:
            self.connecting = False
            return {"type": "websocket.connect"}
        while not self.queue:
            if self.disconnected or self.left or (self.socket is None and self.state is Response.DONE):
                return self._disconnect()
            await self.changed()
        message = self.queue.pop(0)
        self.queued -= len(message)
        socket = self.socket
        if socket is not None and socket.full and self._has_room(socket):
            socket.set_full(False)
        if message.__class__ is str:
            return {"type": "websocket.receive", "text": message}
        return {"type": "websocket.receive", "bytes": message}

    async def send(self, message: Message) -> None:
        """The ASGI `send`; raises `ClientDisconnectedError` (an OSError) when the WebSocket is closed."""
        socket = self.socket
        if socket is None:
            await self._answer(message)
            return
        kind = message["type"]
        if kind == "websocket.send":
            if self.left:
                raise self._gone()
            text = message.get("text")
            if text is not None:
                if not isinstance(text, str):
                    raise WebSocketMessageError(f"the text of a message is a str, not {type(text).__name__}")
                socket.send_text(text)
                self.unyielded += len(text) + _MESSAGE_COST
            else:
                data = message.get("bytes")
                if data.__class__ is not bytes:
                    data = _as_bytes(data)
                socket.send_bytes(data)
                self.unyielded += len(data) + _MESSAGE_COST
            if self.unyielded > _TURN or not socket.writable:
                self.unyielded = 0
                await socket.drained()
        elif kind == "websocket.close":
            if self.left or self.disconnected:
                raise self._gone()
            code, reason = _close_of(message)
            self._leave(code, reason)
        else:
            raise WebSocketMessageError(f"{kind!r} in an open WebSocket")

    async def _answer(self, message: Message) -> None:
        """Take the answer to the handshake, or a part of it."""
        kind = message["type"]
        if self.state is not _WAITING and kind not in _DENIAL:
            raise self._misplaced(f"{kind} after the response to the handshake has begun")
        if self.disconnected:
            raise ClientDisconnectedError("the client has disconnected")
        if kind == "websocket.accept":
            self._accept(message.get("subprotocol"), message.get("headers") or ())
        elif kind == "websocket.close":
            # A response has no place for code and reason: it does not matter that they could not be sent.
            self.respond(403, b"Forbidden")
        elif kind in _DENIAL:
            await super().send({**message, "type": kind.removeprefix("websocket.")})
        else:
            raise WebSocketMessageError(f"{kind!r} before websocket.accept")

    def _accept(self, subprotocol: object, fields: Iterable[tuple[bytes, bytes]]) -> None:
        connection, handshake = self.connection, self.handshake
        assert handshake is not None
        if connection.transport.is_closing():
            self.disconnect()
            raise ClientDisconnectedError("the client has disconnected")
        fields = list(fields)
        deflate, extension = handshake.agree(connection.group.options.websocket)
        response = handshake.response(connection.group.clock, subprotocol, fields, extension)
        self.handshake = None
        self.status = 101
        self.response_headers = fields
        self.state = Response.DONE
        connection.group.requests += 1
        self.socket = self.connection_class(connection, self, deflate)
        self.socket.open(connection, response)

    def _gone(self) -> Exception:
        if self.left:
            return WebSocketMessageError("a message after websocket.close")
        return ClientDisconnectedError("the WebSocket is closed")

    def _leave(self, code: int, reason: str = "") -> None:
        """The application takes no message any more; close if that has not happened yet."""
        socket = self.socket
        self.left = True
        self.queue.clear()
        self.queued = 0
        if socket is not None:
            socket.close_with(code, reason)
            socket.set_full(False)
        self.wake()

    def _disconnect(self) -> Message:
        socket = self.socket
        code, reason = (socket.code, socket.reason) if socket is not None else (closing.ABNORMAL, "")
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    # Called by the WebSocket

    def on_text(self, text: str) -> None:
        self._on_message(text)

    def on_bytes(self, data: bytes) -> None:
        self._on_message(data)

    def _on_message(self, message: str | bytes) -> None:
        if self.left:
            return
        queue = self.queue
        queue.append(message)
        self.queued += len(message)
        if self.waiters is not None:
            self.wake()
        if len(queue) >= self.most or self.queued > _TURN:
            self._check_room()

    def on_closed(self) -> None:
        self.disconnect()

    def on_end(self) -> None:
        socket = self.socket
        assert socket is not None
        self.close_code = socket.code
        self.body_sent = socket.sent
        log = self.connection.group.access_log
        if log is not None:
            log(self)

    # Back-pressure

    def _check_room(self) -> None:
        """Have reading pause if too much waits for the application."""
        largest = self.connection.group.options.websocket.max_size or _TURN
        if self.socket is not None and (len(self.queue) >= self.most or self.queued >= largest):
            self.socket.set_full(True)

    def _has_room(self, socket: WebSocketConnection) -> bool:
        """Whether enough was taken to go on: not for each message again, and all of it before the end."""
        if socket.ending:
            return not self.queue
        largest = self.connection.group.options.websocket.max_size or _TURN
        return len(self.queue) <= self.most // 2 and self.queued <= largest // 2

    # Ends that are not the application's wish

    def _cancelled(self) -> None:
        if self.socket is None:
            super()._cancelled()
            return
        if self.socket.usable:  # the server closes it before
            logger.error("the application has cancelled itself: %s", self.line())
        self._leave(closing.INTERNAL_ERROR)

    def _raised(self, error: BaseException) -> None:
        if self.socket is None:
            super()._raised(error)
        elif not self.socket.usable and comes_of_disconnect(error):
            logger.debug("the client has gone: %s", self.line(), exc_info=error)
        else:
            log_exception(self.line(), error)
            self._leave(closing.INTERNAL_ERROR)


def _as_bytes(data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    if data is None:
        raise WebSocketMessageError("websocket.send has neither text nor bytes")
    raise WebSocketMessageError(f"the bytes of a message are bytes, not {type(data).__name__}")


def _close_of(message: Message) -> tuple[int, str]:
    code = message.get("code")
    code = closing.NORMAL if code is None else code
    reason = message.get("reason") or ""
    closing.check(code, reason)
    return code, reason
