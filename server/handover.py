"""What a supervisor gets from the one that it is to replace, on the side of the new one.

The old one executes the new one with a private variable in its environment, and keeps serving. The
variable tells of the listening sockets, which are the same from then on in both, and of a
connection between the two: the new one says on it when it is ready, the old one when it gives way.
Should the old one die, its end of the connection closes, and the new one is on its own as well.
"""

from __future__ import annotations

import enum
import json
import logging
import os
import socket
import time
import weakref
from collections.abc import MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from aserve import activation
from aserve.activation import PassedSocket
from aserve.addresses import Addresses
from aserve.binds import Bind

VARIABLE: Final = "ASERVE_HANDOVER"
READY: Final = "ready"
GO: Final = b"go"

_log = logging.getLogger("aserve")


_kept: Final[weakref.WeakSet[socket.socket]] = weakref.WeakSet()


def keep_from_children(channel: socket.socket) -> None:
    """Have every child close its copy of `channel`: else nobody could see the end of this process."""
    _kept.add(channel)


def _let_go() -> None:
    for channel in _kept:
        channel.close()


os.register_at_fork(after_in_child=_let_go)


class Progress(enum.Enum):
    """How far an upgrade has come."""

    BOOTING = "booting"
    """The new supervisor starts its workers."""
    READY = "ready"
    """It could take over now."""
    LEFT = "left"
    """It has been told to take over, ready or not."""
    ENDING = "ending"
    """It has been told to end."""
    ENDED = "ended"
    """It is no more, and has not taken over."""


@dataclass(frozen=True, slots=True)
class Inheritance:
    """A listening socket that changes hands.

    Arguments: it is the `index`-th one for the address `bind`; `owned` says whether the file of a
    Unix socket is the server's to remove.
    """

    bind: str
    index: int
    fd: int
    owned: bool


_KEYS: Final = tuple(each.name for each in fields(Inheritance))  # a newer version may have more to say


@dataclass(slots=True, eq=False)
class Handover:
    """The new supervisor's side of an upgrade.

    Arguments: `predecessor` is the pid of the old one, `channel` the connection to it.
    """

    predecessor: int
    channel: socket.socket
    sockets: list[Inheritance]
    passed: list[PassedSocket]
    began: float = field(default_factory=time.monotonic)
    told: bool = False
    over: bool = False
    """Has the old one given way?"""

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Handover | None:
        """Return what the environment tells of, and take it out of it; None if there is nothing.

        A copy of the variable in a process that it was not meant for is nothing: there, the
        descriptor of the connection is another file.
        """
        text = environ.pop(VARIABLE, "")
        try:
            given = json.loads(text) if text else None
            if given is None or os.fstat(given["channel"]).st_ino != given["inode"]:
                return None
            return cls._of(given)
        except (ValueError, TypeError, KeyError, OSError):
            return None

    @classmethod
    def _of(cls, given: dict[str, Any]) -> Handover:
        passed = [PassedSocket(*entry) for entry in given["passed"]]
        sockets = [Inheritance(**{name: entry[name] for name in _KEYS}) for entry in given["sockets"]]
        channel = socket.socket(fileno=given["channel"])
        for descriptor in (channel.fileno(), *(entry.fd for entry in sockets)):
            os.set_inheritable(descriptor, False)
        channel.setblocking(False)
        activation.restore(passed)
        made = cls(int(given["pid"]), channel, sockets, passed)
        keep_from_children(channel)
        return made

    def fill(self, addresses: Addresses) -> None:
        """Put the sockets where those of the settings will be looked for."""
        for entry in self.sockets:
            addresses.inherit(Bind.parse(entry.bind), entry.index, socket.socket(fileno=entry.fd))

    def ready(self, pidfile: str | None) -> None:
        """Tell the old one, once, that all workers are ready, and where the pid file is."""
        if self.told or self.over:
            return
        self.told = True
        try:
            self.channel.sendall(json.dumps([READY, pidfile]).encode() + b"\n")
        except OSError:
            pass  # it is gone, which is what `look` will find

    def look(self) -> bool:
        """Return whether the old one has given way since the last call."""
        if self.over:
            return False
        try:
            data = self.channel.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data and GO not in data:
            return False
        self.over = True
        return True

    def take_over(self, addresses: Addresses) -> None:
        """Own what the old one has owned, and say so."""
        for entry in self.sockets:
            if entry.owned:
                addresses.own(Bind.parse(entry.bind), entry.index)
        self.channel.close()
        seconds = time.monotonic() - self.began
        _log.info("upgrade complete: took over from pid=%d in %.2f s", self.predecessor, seconds)
