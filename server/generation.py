"""What workers of the same reload have in common."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from aserve.options import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """Workers that were started with the same settings, for the same reload.

    Arguments: `number` counts from 1; `settings` are what its workers run with, and `sockets` what
    they accept connections from.
    """

    number: int
    settings: Settings
    sockets: tuple[socket.socket, ...] = ()

    def __str__(self) -> str:
        return f"gen={self.number}"
