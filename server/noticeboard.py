"""A piece of memory with which one process tells others what is new, whenever they come to look.

It is inherited by a fork, and nobody else can read it.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from typing import Final

LONGEST: Final = 4 * 2**20
"""Bytes of a notice; pages that none has reached take no memory."""

_HEAD: Final = struct.Struct("=QII")


class NoticeBoard:
    """Holds the latest notice with its number; 0 for none."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _HEAD.size + LONGEST)

    def write(self, version: int, notice: bytes) -> bool:
        """Put a notice in the place of the one before; False if it is too long. Only one process writes."""
        if len(notice) > LONGEST:
            return False
        self._memory[_HEAD.size : _HEAD.size + len(notice)] = notice
        self._memory[: _HEAD.size] = _HEAD.pack(version, len(notice), zlib.crc32(notice))
        return True

    @property
    def version(self) -> int:
        """The number of the latest notice."""
        return int(_HEAD.unpack_from(self._memory)[0])

    def read(self) -> bytes | None:
        """The latest notice; None if it is just being written."""
        _, size, checksum = _HEAD.unpack_from(self._memory)
        notice = self._memory[_HEAD.size : _HEAD.size + size]
        return notice if zlib.crc32(notice) == checksum else None
