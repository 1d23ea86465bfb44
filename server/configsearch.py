"""Which configuration file is read if none is named."""

from __future__ import annotations

import os
import re
from typing import Final

from aserve.origin import origin

_NAMES: Final = ("aserve.toml", "pyproject.toml")
"""In this order, in the working directory."""

_TABLE: Final = rb"""(?m)tool["']?\s*\.\s*["']?aserve|^\s*\[\s*["']?tool["']?\s*\]|^\s*tool\s*="""
"""What a file looks like that may have [tool.aserve]; most others need not be parsed then."""


def find() -> str | None:
    """Return its name, in the folder of the start; None if there is none."""
    for name in _NAMES:
        path = os.path.join(origin().folder, name)
        if name == "pyproject.toml":
            found = os.path.isfile(path) and _has_table(path)
        else:
            found = os.path.isfile(path) or os.path.islink(path)  # one that leads nowhere is to be told of
        if found:
            return name
    return None


def _has_table(path: str) -> bool:
    """Has a pyproject.toml the table [tool.aserve]? Also if it cannot be read as TOML, but looks so."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return False
    if b"aserve" not in text or re.search(_TABLE, text) is None:
        return False
    import tomllib

    from aserve.tomlfile import table_of

    try:
        return table_of(tomllib.loads(text.decode()), ("tool", "aserve")) is not None
    except ValueError:
        return True  # whoever reads it will say where it is wrong
