"""Where a file's settings stand, and what is said of them: the file and the line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aserve.errors import UsageError


class ConfigFileError(UsageError):
    """A configuration file cannot be used. cause: what its own code has raised, if it has."""

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = cause


class Source:
    """A configuration file: `name` as the user calls it, `path` as tracebacks do, `text` if it is known."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.text = b""
        self._lines: Mapping[str, int] | None = None

    def lines(self) -> Mapping[str, int]:
        """Return where each name is given its value; found out when somebody asks."""
        raise NotImplementedError

    def read(self) -> None:
        """Have its text. Raises ConfigFileError."""
        try:
            self.text = Path(self.path).read_bytes()
        except OSError as error:
            raise ConfigFileError(
                f"--config: cannot read {self.name!r}: {error.strerror}: name a file that is there"
            ) from error

    def place(self, line: int | None) -> str:
        """Return file and line for a message."""
        return f"{self.name}:{line}" if line else self.name

    def place_of(self, name: str) -> str:
        """Return the file and line where a name is given its value."""
        if self._lines is None:
            self._lines = self.lines()
        return self.place(self._lines.get(name))
