"""Which configuration file is read if none is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from aserve.origin import origin

_NAMES: Final = ("aserve.toml", "pyproject.toml")
"""In this order, in the working directory."""

_TABLE: Final = re.compile(
    rb"""tool["']?\s*\.\s*["']?aserve|^\s*\[\s*["']?tool["']?\s*\]|^\s*tool\s*=""", re.MULTILINE
)
"""What a file looks like that may have [tool.aserve]; most others need not be parsed then."""


def find() -> str | None:
    """Return its name, in the folder of the start; None if there is none."""
    for name in _NAMES:
        path = Path(origin().folder, name)
        if name == "pyproject.toml":
            found = path.is_file() and _has_table(path)
        else:
            found = path.is_file() or path.is_symlink()  # one that leads nowhere is a mistake to tell of
        if found:
            return name
    return None


def _has_table(path: Path) -> bool:
    """Has a pyproject.toml the table [tool.aserve]? Also if it cannot be read as TOML, but looks so."""
    try:
        text = path.read_bytes()
    except OSError:
        return False
    if b"aserve" not in text or _TABLE.search(text) is None:
        return False
    import tomllib

    from aserve.tomlfile import table_of

    try:
        return table_of(tomllib.loads(text.decode()), ("tool", "aserve")) is not None
    except ValueError:
        return True  # whoever reads it will say where it is wrong
