"""Whoever serves the connections of a worker: `group` with HTTP of our own, or another library."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine, Sized
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange


class Group(Protocol):
    """Serves the connections of one event loop: what a worker needs to know of whoever does that.

    connections: those that are open. requests: responses completed. draining: each connection ends
    with its current request. parser: who reads HTTP, as the log names it. on_closed: called when a
    connection is gone. on_stuck: called with an exchange whose application does not end, long after
    its time was over.
    """

    requests: int
    draining: bool
    on_closed: Callable[[], None] | None
    on_stuck: Callable[[Exchange], None] | None

    @property
    def connections(self) -> Sized: ...

    @property
    def parser(self) -> str: ...

    def start(self) -> None:
        """Begin to look after the connections' times."""

    def stop(self) -> None:
        """Cease to."""

    def measure(self, call: Callable[[Exchange], None]) -> None:
        """Have `call` called with each exchange that is complete, besides the access log."""

    def take(self, sock: socket.socket) -> Coroutine[Any, Any, object]:
        """Serve a newly accepted connection, which is open when the coroutine has ended."""

    def drain(self, graceful: float = 0.0) -> None:
        """Every connection ends after its current request; idle ones when they are due.

        WebSockets are closed one after the other, in a part of the `graceful` seconds that there are.
        """

    def close_idle(self) -> None:
        """Close idle connections, now and later, when what is already on its way can have been read."""

    def abort(self) -> None:
        """Close all connections, and end what is at work."""

    async def wait_closed(self) -> None:
        """Return when no connection is left and no application is at work (after `drain`)."""


def both(first: Callable[[Any], None] | None, second: Callable[[Any], None]) -> Callable[[Any], None]:
    """Call `first`, if there is one, and `second`."""
    if first is None:
        return second

    def call(exchange: Any) -> None:
        first(exchange)
        second(exchange)

    return call
