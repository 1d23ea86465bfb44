"""Where the server listens, whichever workers take the connections: opened once, kept across reloads."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final, TypeAlias

from aserve import sockets
from aserve.binds import Bind
from aserve.options import Settings
from aserve.sockets import UnixFiles

_Key: TypeAlias = tuple[Bind, int]

_log: Final = logging.getLogger("aserve")


class Addresses:
    """The listening sockets of a supervisor, which all its workers share.

    An address that the settings go on naming keeps its socket, so that nobody who connects to it
    notices a reload.
    """

    def __init__(self) -> None:
        self._open: dict[_Key, socket.socket] = {}
        self.scheme = "http"
        """Of the addresses in the log."""

    def __len__(self) -> int:
        return len(self._open)

    def open(self, settings: Settings) -> tuple[socket.socket, ...]:
        """Return a socket for each address of the settings, in their order, opening what is not open.

        Raises BootError, and leaves everything as it was, if one cannot be had.
        """
        keys = _keys(settings.bind)
        missing = [key for key in keys if key not in self._open]
        opened = sockets.listen(
            [bind for bind, _ in missing],
            settings.backlog,
            UnixFiles.of(settings),
            among=settings.bind,
            reuse_port=settings.reuse_port,
        )
        self.scheme = "https" if settings.secure else "http"
        for sock in opened:
            _log.info("listening on %s", sockets.address(sock, self.scheme))
        for key in keys:
            if key in self._open:
                self._open[key].listen(settings.backlog)  # it may have another length now
        self._open.update(zip(missing, opened, strict=True))
        return tuple(self._open[key] for key in keys)

    def keep(self, used: Collection[socket.socket]) -> None:
        """Close all sockets but those in `used`."""
        self.close([sock for sock in self._open.values() if sock not in used])

    def close(self, unused: Iterable[socket.socket]) -> None:
        """Close `unused` here for good; who has a copy can still take what waits there."""
        unused = list(unused)
        for sock in unused:
            _log.info("no longer listening on %s", sockets.address(sock, self.scheme))
        self._drop(unused)

    def close_all(self) -> None:
        """Close everything, at a stop."""
        self._drop(list(self._open.values()))

    def let_go(self, kept: Collection[socket.socket]) -> None:
        """In a child: close this process's copies of all but those in `kept`."""
        for sock in self._open.values():
            if sock not in kept:
                sock.close()

    # -- another supervisor -------------------------------------------------------------------

    def inherit(self, bind: Bind, index: int, sock: socket.socket) -> None:
        """Have `sock`, of another supervisor, for the `index`-th wish to listen on `bind`."""
        sock.setblocking(False)
        self._open[bind, index] = sock
        _log.info("listening on %s", sockets.address(sock, self.scheme))

    def own(self, bind: Bind, index: int) -> None:
        """Remove the file of an inherited socket at the end, as of one that was made here."""
        if sock := self._open.get((bind, index)):
            sockets.own(sock)

    def entries(self) -> list[tuple[Bind, int, socket.socket]]:
        """Return all sockets, each with its address and the number of those before it for the same one."""
        return [(bind, index, sock) for (bind, index), sock in self._open.items()]

    def disown(self) -> None:
        """Leave the files of the sockets to another supervisor from now on."""
        for sock in self._open.values():
            sockets.disown(sock)

    def _drop(self, unused: list[socket.socket]) -> None:
        sockets.close(unused)
        self._open = {key: sock for key, sock in self._open.items() if sock not in unused}


def _keys(binds: Iterable[Bind]) -> list[_Key]:
    """Tell addresses apart that are written alike: port 0 may be wanted more than once."""
    seen: Counter[Bind] = Counter()
    keys = []
    for bind in binds:
        keys.append((bind, seen[bind]))
        seen[bind] += 1
    return keys
