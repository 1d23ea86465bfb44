"""An upgrade (USR2), on the side of the supervisor that is to be replaced.

The new supervisor is started from the same command line, so with whatever version of aserve, of
Python and of the application is installed now. It gets the listening sockets. Until all its workers
are ready nothing changes; then the old supervisor gives way.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import signal
import socket
import subprocess
import time
from typing import Final

from aserve import activation, orphans, sockets
from aserve.addresses import Addresses
from aserve.errors import EXIT_BOOT, EXIT_LOAD, EXIT_USAGE
from aserve.handover import GO, READY, VARIABLE, Inheritance, Progress, keep_from_children
from aserve.origin import origin
from aserve.processes import LEAVING_TIME
from aserve.signals import HARMLESS

_MEANINGS: Final = {
    EXIT_USAGE: " (a setting is wrong)",
    EXIT_BOOT: " (it did not start)",
    EXIT_LOAD: " (the application cannot be loaded)",
}

_log = logging.getLogger("aserve")


class Upgrade:
    """One upgrade, begun when it is made.

    Arguments: `addresses` are what is handed over; `environment` is added to that of this process;
    the new supervisor has `boot_timeout` seconds until it is ready (0: any time). Raises OSError if
    it cannot be started.
    """

    def __init__(self, addresses: Addresses, environment: dict[str, str], boot_timeout: float) -> None:
        self.state = Progress.BOOTING
        self.reason = ""
        """Why it has failed, if it has."""
        self.deaf = False
        """Has it closed its end of the channel?"""
        self.pidfile: str | None = None
        """The new one's, as soon as it is ready."""
        self._limit = boot_timeout
        # A little more than it takes itself, so that it can say what was not ready.
        self._deadline = time.monotonic() + boot_timeout + LEAVING_TIME if boot_timeout > 0 else math.inf
        self.channel, theirs = socket.socketpair()
        try:
            self._process = _start(addresses, theirs, environment)
        except BaseException:
            self.channel.close()
            raise
        finally:
            theirs.close()
        self.channel.setblocking(False)
        keep_from_children(self.channel)
        orphans.spare(self.pid)

    @property
    def pid(self) -> int:
        """The new supervisor's pid."""
        return self._process.pid

    @property
    def due(self) -> float:
        """When `look` has something to do, if nothing happens before (monotonic seconds)."""
        return self._deadline

    def look(self) -> Progress:
        """Take note of what has happened, and return the state that follows from it."""
        if self.state is Progress.BOOTING:
            self._listen()
        if self.state is Progress.LEFT:
            return self.state  # what becomes of it is its own business now
        status = self._process.poll()
        if status is not None and self.state is not Progress.ENDED:
            how = f"signal {-status}" if status < 0 else f"status {status}{_MEANINGS.get(status, '')}"
            self.reason = self.reason or f"it ended before it was ready: {how}"
            self._close(Progress.ENDED)
        elif time.monotonic() >= self._deadline:
            self._overdue()
        return self.state

    def give_way(self) -> None:
        """Tell the new one to take over."""
        try:
            self.channel.sendall(GO)
        except OSError:
            pass  # it has ended just now
        self._close(Progress.LEFT)
        self._process.returncode = 0  # nobody here will wait for it

    def end(self, number: signal.Signals, reason: str, patience: float) -> None:
        """Have the new one end, upon signal `number`, within `patience` seconds."""
        self.state = Progress.ENDING
        self.reason = self.reason or reason
        self._deadline = time.monotonic() + patience
        self._process.send_signal(number)

    def _listen(self) -> None:
        try:
            data = self.channel.recv(65_536)
            self.deaf = not data
            said, self.pidfile = json.loads(data or "[0, 0]")
            if said == READY:
                self.state = Progress.READY
        except (BlockingIOError, ValueError, TypeError):
            pass
        except OSError:
            self.deaf = True

    def _overdue(self) -> None:
        if self.state is Progress.BOOTING:
            self.end(
                signal.SIGTERM, f"it was not ready within {self._limit:g} s (--boot-timeout)", LEAVING_TIME
            )
        else:
            self._process.kill()
            self._deadline = math.inf

    def _close(self, state: Progress) -> None:
        self.state = state
        self._deadline = math.inf
        self.channel.close()
        orphans.unspare(self.pid)


def _start(
    addresses: Addresses, channel: socket.socket, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """Execute the new supervisor with its end of the channel and copies of all sockets."""
    inherited = [
        Inheritance(bind.canonical, index, sock.fileno(), sockets.is_own(sock))
        for bind, index, sock in addresses.entries()
    ]
    handover = {
        "pid": os.getpid(),
        "channel": channel.fileno(),
        "inode": os.fstat(channel.fileno()).st_ino,
        "sockets": [dataclasses.asdict(entry) for entry in inherited],
        "passed": activation.passed(),
    }
    there = origin()
    # It must not die of a reload that is meant for everybody before it has handlers of its own;
    # these signals wait until it has.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HARMLESS)
    try:
        return subprocess.Popen(
            there.words,
            cwd=there.folder,
            env={**os.environ, **environment, VARIABLE: json.dumps(handover)},
            pass_fds=[channel.fileno(), *(entry.fd for entry in inherited)],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
