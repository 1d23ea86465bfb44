"""What workers of the same reload have in common."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aserve.options import Settings

if TYPE_CHECKING:
    from aserve.certificates import Certificates


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """Workers that were started with the same settings, for the same reload.

    Arguments: `number` counts from 1; `settings` are what its workers run with, and `sockets` what
    they accept connections from, and `certificates` what they serve with (None: plain HTTP).
    """

    number: int
    settings: Settings
    sockets: tuple[socket.socket, ...] = ()
    certificates: Certificates | None = None

    def __str__(self) -> str:
        return f"gen={self.number}"
