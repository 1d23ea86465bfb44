"""What a client sends, and where its reads end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stream:
    """data: the bytes. cuts: the places in them where a read ends, rising."""

    data: bytes
    cuts: tuple[int, ...] = ()

    def pieces(self) -> list[bytes]:
        """The reads."""
        ends = [*self.cuts, len(self.data)]
        return [self.data[start:end] for start, end in zip([0, *self.cuts], ends, strict=True)]

    def single_bytes(self) -> list[bytes]:
        """Reads of one byte."""
        return [self.data[index : index + 1] for index in range(len(self.data))]
