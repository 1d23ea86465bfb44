"""Configuration files in TOML: aserve.toml, and the table [tool.aserve] of pyproject.toml."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from aserve.origin import origin
from aserve.settingsource import ConfigFileError, Source

_PROJECT: Final = "pyproject.toml"
_POSITION: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class TomlFile(Source):
    """A file in TOML; `path` is relative to the folder that the server was started in."""

    def __init__(self, path: str) -> None:
        super().__init__(path, os.path.join(origin().folder, path))
        self._table = ("tool", "aserve") if os.path.basename(path) == _PROJECT else ()
        self._names: Mapping[str, str] = {}

    def load(self) -> dict[str, Any]:
        """Return the settings that it has, by their names; - in a name is the same as _.

        Raises ConfigFileError.
        """
        self.read()
        found = self._parsed()
        self._names = {name: name.replace("-", "_") for name in found}
        if len(set(self._names.values())) < len(found):
            twice = next(name for name in found if "-" in name and name.replace("-", "_") in found)
            raise ConfigFileError(f"{self.name}: {twice}: it is there twice, with - and with _: write one")
        return {self._names[name]: value for name, value in found.items()}

    def lines(self) -> Mapping[str, int]:
        """Return where each setting is given its value."""
        lines = self._decoded().splitlines()
        where = {self._names[name]: _line_of(name, lines, self._table) for name in self._names}
        return {name: line for name, line in where.items() if line}

    def _decoded(self) -> str:
        return self.text.decode("utf-8-sig")  # some editors put a mark at the beginning

    def _parsed(self) -> dict[str, Any]:
        import tomllib  # not needed where there is no such file

        try:
            document = tomllib.loads(self._decoded())
        except UnicodeDecodeError as error:
            line = self.text.count(b"\n", 0, error.start) + 1
            raise ConfigFileError(f"{self.place(line)}: it is not UTF-8: save it as UTF-8") from error
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            position = _POSITION.search(message)
            line = int(position[1] or self.text.rstrip().count(b"\n") + 1) if position else 0
            raise ConfigFileError(f"{self.place(line)}: {_POSITION.sub('', message)}") from error
        table = table_of(document, self._table)
        if table is None:
            raise ConfigFileError(f"--config: there is no table [tool.aserve] in {self.name!r}: write one")
        return table


def table_of(document: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the table of that path, None if there is none."""
    table: object = document
    for name in path:
        table = table.get(name) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else None


def _line_of(name: str, lines: list[str], path: tuple[str, ...]) -> int:
    """Return the line where a key of the table gets its value, counted from 1; 0 if it is not found.

    What stands before a statement can be parsed alone, and does not have the key; with the statement,
    it has. So a line that only looks like it, in a text of several lines, is never taken for it.
    """
    for number, line in enumerate(lines):
        if name not in line:
            continue
        before = _prefix(lines[:number], path)
        if before is None or name in before:
            continue
        for end in range(number + 1, len(lines) + 1):
            if (until := _prefix(lines[:end], path)) is not None:
                if name in until:
                    return number + 1
                break
    return 0


def _prefix(lines: list[str], path: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the table as these lines have it, empty if they have none; None if they are incomplete."""
    import tomllib

    try:
        return table_of(tomllib.loads("\n".join(lines) + "\n"), path) or {}
    except tomllib.TOMLDecodeError:
        return None
