"""How one thread wakes another that sleeps."""

from __future__ import annotations

import os
import sys
from os import close, read, write  # by name: see protocols/threads.py
from typing import Final

_RING: Final = (1).to_bytes(8, sys.byteorder)  # what an eventfd takes, and a pipe as well


class Bell:
    """What a thread sleeps at until another one rings. To each ring belongs one wait, before or after it.

    A lock would do the same, but who opens it goes on with the interpreter in its hands: the thread that
    wakes, on the same core at once, finds it taken and goes to sleep again. A file is written to without
    the interpreter, and the other thread has it right away.
    """

    __slots__ = ("_reading", "_writing")

    def __init__(self) -> None:
        if sys.platform == "linux":
            self._reading = self._writing = os.eventfd(0)
        else:
            self._reading, self._writing = os.pipe()

    def ring(self) -> None:
        """Wake the thread that waits, or is about to. Others may run before this returns."""
        write(self._writing, _RING)

    def wait(self) -> None:
        """Sleep until somebody rings."""
        read(self._reading, len(_RING))

    def close(self) -> None:
        """Give the files back; nobody rings or waits from now on."""
        for file in {self._reading, self._writing}:
            close(file)
