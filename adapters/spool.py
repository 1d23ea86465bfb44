"""A request's body that is kept until it is complete: in memory first, then in a temporary file."""

from __future__ import annotations

import io
import tempfile
from typing import IO


class Spool:
    """Pieces of a body, in order.

    memory: bytes that are held in memory; more of them go to a file without a name in the
    folder for temporary files, all of them. The size of the whole is the caller's to bound.
    """

    __slots__ = ("_file", "_memory")

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._file: IO[bytes] = io.BytesIO()

    def write(self, data: bytes) -> None:
        """Add a piece; raises `OSError` of the file system."""
        if isinstance(self._file, io.BytesIO) and self._file.tell() + len(data) > self._memory:
            held = self._file.getvalue()
            self._file = tempfile.TemporaryFile(prefix="aserve-")  # noqa: SIM115 - `close` does it
            self._file.write(held)
        self._file.write(data)

    def rewind(self) -> IO[bytes]:
        """All that was written, as a binary file at its beginning; raises `OSError`."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Give a file back; what `rewind` has returned cannot be read any more."""
        if isinstance(self._file, io.BytesIO):
            return
        try:
            self._file.close()
        except OSError:  # what could not be written is not wanted any more
            pass
