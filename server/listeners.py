"""A worker's share of the listening sockets: taking connections from them, and ceasing to."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Sequence, Sized
from math import inf
from select import POLLIN, poll  # by name: see aserve.protocols.threads
from socket import socket
from typing import Any, Final, TypeAlias

from aserve.balance import Balance
from aserve.sharedpage import Slot

EMPTYING_TIME: Final = 0.1
"""Seconds at most for taking the connections that the kernel has already accepted, at a stop."""

TAKEN_AT_ONCE: Final = 32
"""Connections taken from a socket in one turn of the loop: the other workers want some as well, and
the clients that are already there want answers."""

LOOK_INTERVAL: Final = 0.001
"""Seconds until it is looked whether others have taken what this worker has left to them."""

LONGEST_LOOK_INTERVAL: Final = 0.004
"""The same if they always have: while it does not watch the sockets, it is not woken up in vain."""

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

Take: TypeAlias = Callable[[socket], Coroutine[Any, Any, object]]

_log = logging.getLogger("aserve")


class Listeners:
    """The listening sockets that a worker has inherited, on its event loop.

    Connections are taken by our own hand and not by the loops' servers: those take all that wait,
    whatever the limit, and uvloop's closes them if no descriptor is left. What is not taken waits
    in the kernel's queue, for this worker or another one.

    Arguments: `sockets` are non-blocking; the supervisor keeps them open, whatever a worker does
    to its own copies. `slot` is where this worker tells the others how many connections it has.
    `limit` is the number of connections that may be open (0: any number).
    """

    def __init__(self, sockets: Sequence[socket], slot: Slot, limit: int = 0) -> None:
        self._sockets = list(sockets)
        self._slot = slot
        self._balance = Balance(slot)
        self._limit = limit or inf
        self._serve: Take
        self._open: Sized = ()
        # Those taken who are not among the open ones yet.
        self._arriving: set[asyncio.Task[object]] = set()
        # Taking: does it want connections? Watching: does the loop tell when there are some?
        self._taking = False
        self._watching = False
        self._closing = False
        self._later: asyncio.TimerHandle | None = None
        self._look_interval = LOOK_INTERVAL
        self._silent_until = 0.0

    def filenos(self) -> list[int]:
        """Return the descriptors (-1 for one that is closed)."""
        return [sock.fileno() for sock in self._sockets]

    def open(self, serve: Take, connections: Sized) -> None:
        """Start to accept, on the running loop.

        Arguments: `serve` is called with each new connection; when the coroutine has ended, it is
        one of the open `connections`.
        """
        self._serve = serve
        self._open = connections
        self._loop = asyncio.get_running_loop()
        # What a client's protocol does later must not run in the context of another one's request.
        self._context = contextvars.copy_context()
        self._take_on()

    def has_ended(self) -> None:
        """A connection has ended: there may be room for another one."""
        if not self._taking and not self._closing and self._has_room():
            self._take_on()
        else:
            self._tell()

    async def close(self, *, empty: Collection[int]) -> None:
        """Cease to accept, without losing a connection that was accepted.

        Arguments: `empty` are the numbers of the sockets from whose queues what waits is taken
        first, whatever the limit: because nobody else will.
        """
        self._closing = True
        self._take_no_more()
        await self._empty([sock for number, sock in enumerate(self._sockets) if number in empty])
        self._take_no_more()
        while self._arriving:
            await asyncio.wait(self._arriving)
        self.close_all()

    def abandon(self) -> None:
        """Cease to accept at once, whoever waits. Can be called at any time."""
        self._closing = True
        self._take_no_more()
        self.close_all()

    def close_all(self) -> None:
        """Close the sockets; the loop has nothing to do with them any more."""
        for sock in self._sockets:
            sock.close()

    async def _empty(self, sockets: Sequence[socket]) -> None:
        self._limit = inf
        deadline = time.monotonic() + EMPTYING_TIME
        while _somebody_waits(sockets) and time.monotonic() < deadline:
            for sock in sockets:
                self._take(sock)
            await asyncio.sleep(0)

    # -- taking -------------------------------------------------------------------------------

    def _count(self) -> int:
        return len(self._open) + len(self._arriving)

    def _has_room(self) -> bool:
        return self._count() < self._limit

    def _tell(self) -> None:
        self._slot.connections = count = self._count()
        self._slot.offer(count if self._taking else None)

    def _take_on(self) -> None:
        self._taking = True
        self._tell()
        self._watch()

    def _take_no_more(self) -> None:
        self._look_away()
        self._taking = False
        self._tell()

    def _watch(self) -> None:
        self._look_away()
        self._watching = True
        for sock in self._sockets:
            self._context.run(self._loop.add_reader, sock, self._take, sock)

    def _look_away(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._watching:
            self._watching = False
            for sock in self._sockets:
                self._loop.remove_reader(sock)

    def _take(self, listening: socket) -> None:
        room = TAKEN_AT_ONCE if self._closing else self._balance.room(self._count())
        if room < 1:
            self._stand_back()
            return
        count = 0
        for _ in range(min(room, TAKEN_AT_ONCE)):
            if not self._has_room():
                self._take_no_more()
                break
            try:
                # As `accept` does it, but with the class of the name above.
                descriptor, _ = listening._accept()  # type: ignore[attr-defined]
                sock = socket(listening.family, listening.type, listening.proto, descriptor)
            except BlockingIOError:  # all are taken, perhaps by another worker
                break
            except OSError as error:
                if error.errno in _OF_THE_CONNECTION:
                    continue
                self._rest(error)
                break
            count += 1
            task = self._loop.create_task(self._serve(sock))
            self._arriving.add(task)
            task.add_done_callback(self._has_arrived)
        if count:
            self._slot.taken += count
            self._tell()

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
        self._later = self._loop.call_later(REST_TIME, self.has_ended)
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + COMPLAINT_INTERVAL
            _log.warning("cannot accept connections: %s; they wait until others have ended", error.strerror)

    # -- leaving some to others ---------------------------------------------------------------

    def _stand_back(self) -> None:
        self._look_away()
        self._later = self._loop.call_later(self._look_interval, self._look)

    def _look(self) -> None:
        if not _somebody_waits(self._sockets):
            self._look_interval = min(2 * self._look_interval, LONGEST_LOOK_INTERVAL)
            self._balance.nothing_waits()
            self._watch()
        else:
            self._look_interval = LOOK_INTERVAL
            if self._balance.leaves(self._count()):
                self._later = self._loop.call_later(LOOK_INTERVAL, self._look)
            else:
                self._watch()


def _somebody_waits(sockets: Sequence[socket]) -> bool:
    waiting = poll()
    for sock in sockets:
        waiting.register(sock, POLLIN)
    return bool(waiting.poll(0))
