"""The session of Starlette's TestClient, as a WebSocket; wsproto refuses frames that are not valid."""

from __future__ import annotations

import base64
import os
from typing import Any, Self

import h11
from starlette import testclient
from starlette.websockets import WebSocketDisconnect
from wsproto import ConnectionType
from wsproto.connection import Connection as Frames
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from .client import Connection, Fields
from .passage import Message, Passage

# Fields of the handshake itself, which no application sends.
HANDSHAKE = (b"upgrade", b"connection", b"sec-websocket-accept", b"sec-websocket-protocol")


class WebSocketSession(testclient.WebSocketTestSession):
    """One WebSocket. connection: a new one. target: path and query. headers: what the test client sends."""

    def __init__(self, connection: Connection, passage: Passage, target: bytes, headers: Fields) -> None:
        self._connection = connection
        self._passage = passage
        self._target = target
        key = base64.b64encode(os.urandom(16))
        # The test client's own key is no key (RFC 6455, 4.1), and it leaves out Upgrade.
        self._headers = [
            (name, key if name.lower() == b"sec-websocket-key" else value) for name, value in headers
        ]
        self._headers.append((b"Upgrade", b"websocket"))
        self._events: list[Event] = []
        self._open = self._closing = False
        self._frames: Frames
        self.accepted_subprotocol: Any = None
        self.extra_headers: Any = None

    def __enter__(self) -> Self:
        try:
            self._shake_hands()
        except BaseException:
            self._connection.close()
            raise
        return self

    def _shake_hands(self) -> None:
        self._connection.send("GET", self._target, self._headers)
        try:
            head = self._connection.head()
        except h11.RemoteProtocolError:
            self._raise(self._passage.wait())
            raise
        if head.status_code != 101:
            self._denied(head)
        fields = head.headers.raw_items()
        for name, value in fields:
            if name.lower() == b"sec-websocket-protocol":
                self.accepted_subprotocol = value.decode()
        self.extra_headers = [pair for pair in fields if pair[0].lower() not in HANDSHAKE]
        self._frames = Frames(ConnectionType.CLIENT, [], self._connection.left)
        self._events = list(self._frames.events())
        self._open = True

    def _denied(self, head: Any) -> None:
        body = b"".join(self._connection.body())
        self._raise(self._passage.wait())
        close = self._passage.close
        if close is not None:
            # A response has no close code: ASGI says that it is 403, whatever the application's was.
            assert head.status_code == 403, head
            raise WebSocketDisconnect(close.get("code", 1000), close.get("reason", ""))
        denial: Any = testclient.WebSocketDenialResponse
        raise denial(status_code=head.status_code, headers=list(head.headers), content=body)

    @staticmethod
    def _raise(error: BaseException | None) -> None:
        if error is not None:
            raise error

    def __exit__(self, *args: object) -> None:
        try:
            if self._open and not self._closing:
                self.close(1000)
            while self._open:
                self._event()
        finally:
            self._connection.close()
        error = self._passage.wait()
        if error is not None and not _comes_of_our_end(error):
            raise error

    def send(self, message: Any) -> None:
        """Send what the application is to receive as `message`."""
        if message["type"] == "websocket.disconnect":
            self._closing = True
            event: Event = CloseConnection(message.get("code", 1000), message.get("reason"))
        elif message["type"] != "websocket.receive":
            raise ValueError(f"no frame is a {message['type']}")
        elif message.get("text") is not None:
            event = TextMessage(message["text"])
        else:
            event = BytesMessage(message["bytes"])
        try:
            self._connection.socket.sendall(self._frames.send(event))
        except ConnectionError:
            pass

    def receive(self) -> Message:
        """Return what the application has sent, as it has sent it."""
        parts: list[Any] = []
        while True:
            event = self._event()
            if isinstance(event, (TextMessage, BytesMessage)):
                parts.append(event.data)
                if event.message_finished:
                    kind = "text" if isinstance(event, TextMessage) else "bytes"
                    return {"type": "websocket.send", kind: parts[0][:0].join(parts)}
            elif isinstance(event, CloseConnection):
                if self._passage.close is None:
                    self._raise(self._passage.wait())
                return {"type": "websocket.close", "code": int(event.code), "reason": event.reason or ""}

    def _event(self) -> Event:
        while not self._events:
            try:
                data = self._connection.socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                self._open = False
                return CloseConnection(1006)
            self._frames.receive_data(data)
            self._events = list(self._frames.events())
        event = self._events.pop(0)
        if isinstance(event, Ping):
            self._connection.socket.sendall(self._frames.send(event.response()))
        return event


def _comes_of_our_end(error: BaseException | None) -> bool:
    """Whether the server has told an application that goes on sending that nobody is there any more."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error is not None
