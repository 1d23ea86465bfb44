"""Where a worker that crashes or hangs leaves its stacks, for the supervisor to put in the log."""

from __future__ import annotations

import faulthandler
import os
from typing import Final

LONGEST: Final = 65_536
"""Bytes of stacks that are kept: enough for hundreds of threads' worth of frames that matter."""


class StackFile:
    """A file without a name, made by the supervisor before it forks the worker.

    It is written by the interpreter's crash handler, which needs neither the interpreter lock nor
    memory: so it works while the loop hangs in C code, and after a segmentation fault.

    Arguments: `descriptor` is that of such a file, of which this is another holder; by default a
    new one is made.
    """

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = _nameless() if descriptor is None else descriptor

    def fileno(self) -> int:
        """Return the descriptor; -1 once it is closed."""
        return self._descriptor

    def fill_on_crash(self) -> None:
        """In the worker: write the stacks of all threads here on ABRT, SEGV and the like."""
        faulthandler.enable(self._descriptor, all_threads=True)

    def read(self) -> str:
        """Return the stacks, or nothing if there was no crash."""
        text = os.pread(self._descriptor, LONGEST, 0).decode("utf-8", "backslashreplace")
        # The first lines say "Fatal Python error", which the signal does as well; the last one
        # lists the extension modules.
        _, _, stacks = text.partition("\n\n")
        lines = stacks.rstrip().splitlines()
        return "\n".join(line for line in lines if not line.startswith("Extension modules:")).rstrip()

    def close(self) -> None:
        """Give the file up in this process."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _nameless() -> int:
    if hasattr(os, "memfd_create"):  # Linux
        return os.memfd_create("aserve-stacks")
    import tempfile  # slow to import, and not needed elsewhere

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
