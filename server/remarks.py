"""What there is to say of settings that can be used all the same, before there is a log."""

from __future__ import annotations

from typing import ClassVar, Final

# logging's numbers; it is heavy to import for the first lines of a start.
_INFO: Final = 20
_WARNING: Final = 30


class Remark(str):
    """A line for the log; a plain text counts as one as well."""

    __slots__ = ()
    level: ClassVar[int] = _WARNING


class Note(Remark):
    """A line that warns of nothing."""

    __slots__ = ()
    level: ClassVar[int] = _INFO


def level_of(remark: str) -> int:
    """Return the level that a remark is logged with."""
    return remark.level if isinstance(remark, Remark) else Remark.level
