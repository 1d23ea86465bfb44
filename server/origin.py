"""How this process was started: what a supervisor needs to be started again by another one."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple


class Origin(NamedTuple):
    """A command line and the folder that it was given in."""

    folder: str
    words: tuple[str, ...]

    @classmethod
    def here(cls) -> Origin:
        """Return this process's own. Call it before anybody changes the folder."""
        return cls(_folder(), tuple(_words()))


def remember() -> None:
    """Take note of how this process was started, for `origin`."""
    global _origin
    _origin = Origin.here()


def origin() -> Origin:
    """Return how this process was started, as it was remembered."""
    return _origin or Origin.here()


def tie() -> None:
    """Take note that a program waits for the end of this very process, and is what was started."""
    global _tied
    _tied = True


def tied() -> bool:
    """Return whether that is so: nothing that is started again could take this process' place."""
    return _tied


_origin: Origin | None = None
_tied = False


def _folder() -> str:
    """Return the current folder by the name that the user has for it.

    `current` may be a link to the release of the day: after a deployment it leads to the new one.
    """
    real = os.getcwd()
    named = os.environ.get("PWD", "")
    try:
        return named if os.path.isabs(named) and os.path.samefile(named, real) else real
    except OSError:
        return real


def _words() -> list[str]:
    """Return the command line, beginning with the name of a program that can be executed.

    An installed command is executed itself, and not the interpreter that its first line named when
    it was started: an upgrade may have changed that line. So is whatever comes without options of
    the interpreter and can be executed.
    """
    words = sys.orig_argv[1:]
    if words and words[0] == sys.argv[0] and os.access(words[0], os.X_OK) and os.path.isfile(words[0]):
        return [os.path.abspath(words[0]), *words[1:]]
    return [sys.executable, *words]
