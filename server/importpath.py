"""Where the application is imported from."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import FileFinder

from aserve.errors import UsageError
from aserve.options import Settings

_base: str | None = None
"""The folder that this process was started in, by the name that it was called there."""


def enter(settings: Settings) -> None:
    """Change to the folder that `--chdir` names, or else to the one that the process was started in.

    Called again, it finds what has that name by then: deployments change a link such as `current`.
    Raises UsageError if the folder that `--chdir` names cannot be entered.
    """
    global _base
    if _base is None:
        _base = _named_folder()
    elif settings.chdir is None:
        with contextlib.suppress(OSError):  # gone, and nobody has asked for it: stay
            os.chdir(_base)
    if settings.chdir is None:
        return
    try:
        os.chdir(os.path.join(_base, settings.chdir))
    except OSError as error:
        raise UsageError(
            f"--chdir: cannot change to {settings.chdir!r}: {error.strerror}: name a folder that is there"
        ) from error


def _named_folder() -> str:
    name = os.environ.get("PWD", "")
    try:
        return name if os.path.isabs(name) and os.path.samefile(name, ".") else os.getcwd()
    except OSError:
        return os.curdir


def extend(settings: Settings) -> None:
    """Make the working directory importable, and the folders of `--pythonpath` before it.

    They come first, as with `python main.py`: an application's own modules must win over
    installed ones of the same name. For processes that load the application only: a supervisor
    must not take its modules for those of the standard library.
    """
    wanted = list(_absolute((*settings.pythonpath, os.curdir)))
    sys.path[:] = wanted + [entry for entry in sys.path if entry not in wanted]


def _absolute(folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):  # the working folder is gone: nothing is found there
            if folder == os.curdir:
                yield os.getcwd()
            else:
                from pathlib import Path  # slow to import, as in other modules that all servers need

                yield str(Path(folder).absolute())


def forget_listings() -> None:
    """Have the import system look into every directory again: it may know them from the supervisor.

    As `importlib.invalidate_caches()`, which also imports a dozen modules that nobody else needs.
    """
    for finder in sys.path_importer_cache.values():
        if isinstance(finder, FileFinder):
            finder.invalidate_caches()
