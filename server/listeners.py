"""A worker's share of the listening sockets: taking connections from them, and ceasing to."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import time
from collections.abc import Callable, Collection, Sequence, Sized
from math import inf
from select import POLLIN, poll  # by name: see aserve.protocols.threads
from socket import socket
from typing import Final

EMPTYING_TIME: Final = 0.1
"""Seconds at most for taking the connections that the kernel has already accepted, at a stop."""

TAKEN_AT_ONCE: Final = 32
"""Connections taken from a socket in one turn of the loop: the other workers want some as well, and
the clients that are already there want answers."""

REST_TIME: Final = 1.0
"""Seconds until the next try if the system has nothing left for a connection, and none has ended."""

COMPLAINT_INTERVAL: Final = 60.0
"""Seconds between two lines about that in the log."""

# Errors of the one connection that was to be taken, which has gone meanwhile: see accept(2).
_OF_THE_CONNECTION: Final = frozenset(
    number
    for name in (
        *("ECONNABORTED", "EPERM", "EPROTO", "ENOPROTOOPT", "EOPNOTSUPP", "ENONET"),
        *("ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ETIMEDOUT"),
    )
    if (number := getattr(errno, name, None)) is not None
)

_log = logging.getLogger("aserve")


class Listeners:
    """The listening sockets that a worker has inherited, on its event loop.

    Connections are taken by our own hand and not by the loops' servers: those take all that wait,
    whatever the limit, and uvloop's closes them if no descriptor is left. What is not taken waits
    in the kernel's queue, for this worker or another one.

    Arguments: `sockets` are non-blocking; the supervisor keeps them open, whatever a worker does
    to its own copies. `limit` is the number of connections that may be open (0: any number).
    """

    def __init__(self, sockets: Sequence[socket], limit: int = 0) -> None:
        self._sockets = list(sockets)
        self._limit = limit or inf
        self._make: Callable[[], asyncio.Protocol] = asyncio.Protocol
        self._open: Sized = ()
        # Those taken whose protocol has not heard of them yet.
        self._arriving: set[asyncio.Task[object]] = set()
        self._taking = False
        self._closing = False
        self._resting: asyncio.TimerHandle | None = None
        self._silent_until = 0.0

    def filenos(self) -> list[int]:
        """Return the descriptors (-1 for one that is closed)."""
        return [sock.fileno() for sock in self._sockets]

    def open(self, connection: Callable[[], asyncio.Protocol], connections: Sized) -> None:
        """Start to accept, on the running loop.

        Arguments: `connection` is called for the protocol of each new connection; `connections`
        are those whose protocols know that they are open.
        """
        self._make = connection
        self._open = connections
        self._loop = asyncio.get_running_loop()
        # What a client's protocol does later must not run in the context of another one's request.
        self._context = contextvars.copy_context()
        self._take_on()

    def has_ended(self) -> None:
        """A connection has ended: there may be room for another one."""
        if not self._taking and not self._closing and self._has_room():
            self._take_on()

    async def close(self, *, empty: Collection[int] | None) -> None:
        """Cease to accept, without losing a connection that was accepted.

        Arguments: `empty` are the numbers of the sockets (None: all of them) from whose queues
        what waits is taken first, whatever the limit: because nobody else will.
        """
        self._closing = True
        self._take_no_more()
        await self._empty(
            [
                self._sockets[number]
                for number in range(len(self._sockets))
                if empty is None or number in empty
            ]
        )
        self._take_no_more()
        while self._arriving:
            await asyncio.wait(self._arriving)
        for sock in self._sockets:
            sock.close()

    async def _empty(self, sockets: Sequence[socket]) -> None:
        self._limit = inf
        waiting = poll()
        for sock in sockets:
            waiting.register(sock, POLLIN)
        deadline = time.monotonic() + EMPTYING_TIME
        while waiting.poll(0) and time.monotonic() < deadline:
            for sock in sockets:
                self._take(sock)
            await asyncio.sleep(0)

    # -- taking -------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        return len(self._open) + len(self._arriving) < self._limit

    def _take_on(self) -> None:
        self._taking = True
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        for sock in self._sockets:
            self._context.run(self._loop.add_reader, sock, self._take, sock)

    def _take_no_more(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._taking:
            self._taking = False
            for sock in self._sockets:
                self._loop.remove_reader(sock)

    def _take(self, listening: socket) -> None:
        for _ in range(TAKEN_AT_ONCE):
            if not self._has_room():
                self._take_no_more()
                return
            try:
                # As `accept` does it, but with the class of the name above.
                descriptor, _ = listening._accept()  # type: ignore[attr-defined]
                sock = socket(listening.family, listening.type, listening.proto, descriptor)
            except BlockingIOError:  # all are taken, perhaps by another worker
                return
            except OSError as error:
                if error.errno in _OF_THE_CONNECTION:
                    continue
                self._rest(error)
                return
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._make, sock))
            self._arriving.add(task)
            task.add_done_callback(self._has_arrived)

    def _has_arrived(self, task: asyncio.Task[object]) -> None:
        self._arriving.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The client may be gone already; anything else is a mistake of ours.
            level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
            _log.log(level, "a connection was lost while it was accepted", exc_info=error)
        self.has_ended()  # until now it was counted twice

    def _rest(self, error: OSError) -> None:
        """Wait until there is something for a connection again, mostly a descriptor."""
        self._take_no_more()
        self._resting = self._loop.call_later(REST_TIME, self.has_ended)
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + COMPLAINT_INTERVAL
            _log.warning("cannot accept connections: %s; they wait until others have ended", error.strerror)
