"""An HTTP client that shows everything: reading by h11, which refuses what is not valid."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import h11

from .passage import TIMEOUT

Fields = list[tuple[bytes, bytes]]


class Connection:
    """A connection to the server. name: our own address, as the server sees it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.name: tuple[str, int] = self.socket.getsockname()
        self._http = h11.Connection(h11.CLIENT)
        self.trailers: Fields = []

    def send(self, method: str, target: bytes, headers: Fields, body: bytes = b"") -> None:
        """Send a request. White space around a value is not a part of it (RFC 9110, 5.5)."""
        self.trailers = []
        headers = [(name, value.strip(b" \t")) for name, value in headers]
        data = self._http.send(h11.Request(method=method, target=target, headers=headers)) or b""
        if body:
            data += self._http.send(h11.Data(body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # who does not want the body may have answered

    def head(self) -> h11.Response | h11.InformationalResponse:
        """Return the response's status and headers, or those of a 101.

        Raises h11.RemoteProtocolError for what is no response.
        """
        while True:
            event = self._event()
            if isinstance(event, h11.Response) or (
                isinstance(event, h11.InformationalResponse) and event.status_code == 101
            ):
                return event
            if isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("the connection was closed without a response")

    def body(self) -> Iterator[bytes]:
        """Yield the body, as it comes; raises h11.RemoteProtocolError if it is not complete."""
        while True:
            event = self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.trailers += event.headers
                return

    def _event(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            self._http.receive_data(data)

    @property
    def left(self) -> bytes:
        """What came behind a 101."""
        return self._http.trailing_data[0]

    def reusable(self) -> bool:
        """Whether another request may follow; nothing must have come behind the response."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        assert not self._http.trailing_data[0], "there is something behind the response"
        self._http.start_next_cycle()
        return True

    def close(self) -> None:
        """Close it."""
        self.socket.close()
