"""`wsgi.input` (PEP 3333, Input and Error Streams)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aserve.adapters.waiting import WaitingExchange


class StreamedBody(io.RawIOBase):
    """A request's body while it still arrives; read where the application runs.

    Put an `io.BufferedReader` around it: that makes read, readline, readlines and iteration.
    A body that breaks off raises `OSError`, so that it cannot be taken for a complete one.
    """

    def __init__(self, exchange: WaitingExchange) -> None:
        super().__init__()
        self._exchange = exchange
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` with what there is, waiting for at least a byte; 0 at the body's end."""
        if not self._rest:
            self._rest = memoryview(self._exchange.next_chunk())
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
