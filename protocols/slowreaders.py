"""The clients that do not take at once what there is for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aserve.protocols.lingering import LingeringConnection

logger: Final = logging.getLogger("aserve")


class SlowReaders:
    """Watches them until they have taken everything, and ends those that take nothing for too long.

    deadline: says until when the next bytes have to be taken, in the loop's time; None for no such limit.
    """

    def __init__(self, deadline: Callable[[], float] | None) -> None:
        self._deadline = deadline
        # The bytes left, and until when.
        self._watched: dict[LingeringConnection, tuple[int, float]] = {}

    def watch(self, connection: LingeringConnection) -> None:
        """Look after one more."""
        if self._deadline is not None and connection not in self._watched:
            self._watched[connection] = (connection.untaken(), self._deadline())

    def pass_on(self, connection: LingeringConnection, successor: LingeringConnection) -> None:
        """`successor` has the transport now."""
        if self._watched.pop(connection, None) is not None:
            self.watch(successor)

    def forget(self, connection: LingeringConnection) -> None:
        """It is gone."""
        if self._watched:
            self._watched.pop(connection, None)

    def postpone(self, seconds: float) -> None:
        """Give them so much more time."""
        for connection, (left, deadline) in self._watched.items():
            self._watched[connection] = (left, deadline + seconds)

    def check(self, now: float) -> None:
        """See what they have taken. now: the loop's time."""
        for connection, (left, deadline) in list(self._watched.items()):
            untaken = connection.untaken()
            if not connection.unsent():
                del self._watched[connection]
            elif untaken < left and self._deadline is not None:
                self._watched[connection] = (untaken, self._deadline())
            elif untaken > left:
                self._watched[connection] = (untaken, deadline)
            elif deadline <= now:
                del self._watched[connection]
                logger.info("closed: the client reads nothing client=%s", connection.peer())
                connection.reset_on_close()  # or the kernel goes on trying for minutes
                connection.transport.abort()
