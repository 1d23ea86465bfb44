"""What a service manager wants to know: sd_notify(3), for systemd units of Type=notify and notify-reload."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

from aserve.lifecycle import Phase
from aserve.situation import Situation

EXTENSION: Final = 15.0
"""Seconds by which the manager's patience is extended at a time while workers boot or drain."""

EXTEND_EVERY: Final = 5.0
"""Seconds between two extensions: so a supervisor that hangs is found out."""

_SEND_TIMEOUT: Final = 1.0
_MICRO: Final = 1_000_000


class Notifier:
    """The messages to the service manager. All of them are sent by the supervisor.

    Arguments: `address` is where they go, as NOTIFY_SOCKET has it (a path, or @ and an abstract
    name); without an address nothing is sent. `watchdog` is within how many seconds the manager
    wants a sign of life (0: none).
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self._address = address
        self._watchdog = watchdog
        self._last: Situation | None = None
        self._served = False
        self._extend_at = -math.inf
        self._alive_at = -math.inf

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Return what the environment asks for, and take it out of it: it is not for the application."""
        address = environ.pop("NOTIFY_SOCKET", "")
        interval = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        wanted = interval.isascii() and interval.isdigit() and pid in ("", str(os.getpid()))
        return cls(address, int(interval) / _MICRO if wanted else 0.0)

    def environment(self) -> dict[str, str]:
        """Return the variables for a supervisor that is to go on with this."""
        if not self._address:
            return {}
        watchdog = {"WATCHDOG_USEC": str(round(self._watchdog * _MICRO))} if self._watchdog else {}
        return {"NOTIFY_SOCKET": self._address, **watchdog}

    @property
    def due(self) -> float:
        """When `heed` has something to send even if nothing changes (monotonic seconds)."""
        if not self._address or self._last is None:
            return math.inf
        extend_at = self._extend_at + EXTEND_EVERY if _takes_time(self._last) else math.inf
        alive_at = self._alive_at + self._watchdog / 2 if self._watchdog and _alive(self._last) else math.inf
        return min(extend_at, alive_at)

    def heed(self, situation: Situation) -> None:
        """Send what follows from how things are now, compared to the last time."""
        if not self._address:
            return
        now = time.monotonic()
        last, self._last = self._last, situation
        for lines in self._news(last, situation):
            self.send(*lines)
        if _takes_time(situation) and now >= self._extend_at + EXTEND_EVERY:
            self._extend_at = now
            self.send(f"EXTEND_TIMEOUT_USEC={round(EXTENSION * _MICRO)}")
        if self._watchdog and _alive(situation) and now >= self._alive_at + self._watchdog / 2:
            self._alive_at = now
            self.send("WATCHDOG=1")

    def _news(self, last: Situation | None, now: Situation) -> list[list[str]]:
        """Return the messages that lead from one situation to the next."""
        messages: list[list[str]] = []
        status = f"STATUS={now}"
        if now.phase is Phase.STOPPING:
            if last is None or last.phase is not Phase.STOPPING:
                messages.append(["STOPPING=1", status])
            return messages
        began = last is not None and now.reloads > last.reloads
        ended = not now.reloading and (began or (last is not None and last.reloading))
        if began:
            messages.append(["RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", status])
        if ended or (now.ready and not self._served):
            self._served = True
            messages.append(["READY=1", status])
        if not messages and (last is None or status != f"STATUS={last}"):
            messages.append([status])
        return messages

    def send(self, *lines: str) -> None:
        """Send one message. A manager that does not take it is not waited for longer than a second."""
        if not self._address:
            return
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_SEND_TIMEOUT)
                sock.sendto("\n".join(lines).encode("utf-8", "replace"), name)
        except OSError:
            pass  # it is gone, or deaf; there is nobody else to tell


def _takes_time(situation: Situation) -> bool:
    return situation.reloading or situation.phase in (Phase.STARTING, Phase.STOPPING)


def _alive(situation: Situation) -> bool:
    """Is it worth a sign of life? Not if workers are wanted and none serves; a stop has its own limits."""
    return situation.ready > 0 or situation.wanted == 0 or situation.phase is Phase.STOPPING
