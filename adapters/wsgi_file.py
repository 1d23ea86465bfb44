"""`wsgi.file_wrapper` (PEP 3333, Optional Platform-Specific File Handling)."""

from __future__ import annotations

import io
import os
import stat
import types
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

_BLOCK_SIZE: Final = 8192


class FilePart(NamedTuple):
    """What of an open file is to be sent: its descriptor, and offset and size in bytes."""

    descriptor: int
    offset: int
    size: int


class FileWrapper:
    """An iterable of a file's blocks; the server looks whether it is one that the system can send by itself.

    filelike: an object with `read(size)`; has it a `close`, then so has this. blksize: bytes to
    read at a time. What else Werkzeug looks for, to send ranges, is passed on: `seekable`, `seek`, `tell`.
    """

    close: Callable[[], object]

    def __init__(self, filelike: Any, blksize: int = _BLOCK_SIZE) -> None:
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.blksize)
        if data:
            return data
        raise StopIteration

    def seekable(self) -> bool:
        """Whether the file can be read from another place."""
        seekable = getattr(self.filelike, "seekable", None)
        return bool(seekable()) if seekable is not None else hasattr(self.filelike, "seek")

    def seek(self, *args: int) -> Any:
        """As the file's."""
        return self.filelike.seek(*args)

    def tell(self) -> Any:
        """As the file's."""
        return self.filelike.tell()

    def part(self) -> FilePart | None:
        """What is left of the file; None if reading it is not the same as reading its descriptor."""
        file = _opened(self.filelike)
        if file is None:
            return None
        try:
            descriptor, offset = file.fileno(), file.tell()
            found = os.fstat(descriptor)
        except (OSError, ValueError, AttributeError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return FilePart(descriptor, offset, max(0, found.st_size - offset))


def _opened(filelike: Any) -> io.BufferedReader | io.BufferedRandom | io.FileIO | None:
    """The file of Python's own whose `read` is that of `filelike`.

    Whoever has a `fileno` need not read what stands there: GzipFile, which has its file's, does not.
    """
    read = getattr(filelike, "read", None)
    read = getattr(read, "__wrapped__", read)  # tempfile's
    if not isinstance(read, types.BuiltinMethodType):
        return None
    file = read.__self__
    if isinstance(file, io.FileIO):
        return file
    if isinstance(file, (io.BufferedReader, io.BufferedRandom)) and type(file.raw) is io.FileIO:
        return file
    return None
