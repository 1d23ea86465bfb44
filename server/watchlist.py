"""Which files a reload depends on (`--reload`), and how they are: names and times, no notifications.

Patterns are those of a shell. One without a slash is for the name of a file or folder, one with
slashes for the end of its path; `**` stands for any number of folders. As in a shell, a leading dot
has to be written. A pattern that matches a folder stands for all that is in it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import Final, TypeAlias

from aserve.errors import UsageError
from aserve.options import Settings

MISSING: Final = (
    "--reload needs watchfiles: install the extra aserve-server[reload], or add --reload-engine poll"
)

SOURCES: Final = "*.py"
"""What counts by itself."""

LEFT_OUT: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
"""Folders that are not looked into, beside hidden ones and virtual environments."""

NOISE: Final = ("*~", "#*#", "*.py[cod]", "flycheck_*", "*___jb_*___")
"""Files that tools write beside those that they work on."""

SHOWN: Final = 3
"""Files that a line of the log names."""

State: TypeAlias = tuple[int, int, int]
"""Time of change, size and inode of a file: another one after a change of any kind."""


class Pattern:
    """A pattern for paths.

    Arguments: `text` as the user has written it.
    """

    __slots__ = ("_parts", "fixed")

    def __init__(self, text: str) -> None:
        path = os.path.normpath(text)
        if path.startswith(os.pardir):
            path = os.path.abspath(path)
        parts = path.split(os.sep)
        self._parts = parts if os.path.isabs(path) else ["**", *parts]
        magic = [index for index, part in enumerate(parts) if is_pattern(part)]
        self.fixed = os.sep.join(parts[: min(magic, default=len(parts))]) or os.sep
        """The path up to the first part that is not a plain name."""

    def could_be(self, name: str) -> bool:
        """Does it match some path that ends with `name`?"""
        return self._parts[-1] == "**" or _part_matches(name, self._parts[-1])

    def matches(self, path: str) -> bool:
        """Does it match `path`, an absolute one?"""
        return self.could_be(os.path.basename(path)) and _matches(path.split(os.sep), self._parts)


def is_pattern(text: str) -> bool:
    """Is there something in `text` that stands for other characters?"""
    return any(character in text for character in "*?[")


def _matches(parts: list[str], wanted: list[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_matches(parts[start:], wanted[1:]) for start in range(len(parts) + 1))
    return bool(parts) and _part_matches(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])


def _part_matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) and (name[:1] != "." or pattern[:1] == ".")


def _is_noise(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in NOISE)


@dataclass(slots=True)
class Snapshot:
    """How the files are at a moment.

    Arguments: what was changed at `since` or later (seconds of the clock) is `fresh`.
    """

    since: float = math.inf
    files: dict[str, State] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    """The real paths of the folders in which something can happen to them."""
    names: set[str] = field(default_factory=set)
    """Their names, and those of what they are links to."""
    fresh: set[str] = field(default_factory=set)
    incomplete: bool = False
    """Is something not there, or not readable, that should be watched?"""
    patterns: list[Pattern] = field(default_factory=list)
    """What may be new among them has a name that one of these can match ..."""
    open_folders: set[str] = field(default_factory=set)
    """... or is in one of these, real paths as well."""

    def add(self, path: str, linked: bool) -> None:
        """Note how the file at `path` is, if there is one; `linked` says whether it is a link."""
        try:
            status = os.stat(path)
        except OSError:  # gone meanwhile, or a link to nothing
            return
        self.files[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        self.names.add(os.path.basename(path))
        if linked:
            folder, name = os.path.split(os.path.realpath(path))
            self.folders.add(folder)
            self.names.add(name)
        if max(status.st_mtime, status.st_ctime) >= self.since:
            self.fresh.add(path)

    def concerns(self, path: str) -> bool:
        """Can it be that a file has changed or is new if something has happened at the real `path`?"""
        folder, name = os.path.split(path)
        return (
            name in self.names
            or folder in self.open_folders
            or path in self.folders
            or any(pattern.could_be(name) for pattern in self.patterns)
            or os.path.isdir(path)
        )

    def differences(self, other: Snapshot) -> set[str]:
        """Return the files that are not the same in `other`."""
        paths = self.files.keys() | other.files.keys()
        return {path for path in paths if self.files.get(path) != other.files.get(path)}


@dataclass(frozen=True, slots=True)
class Watchlist:
    """What is to be watched. Two are equal if they mean the same.

    Arguments: `base` is the working folder; `folders` are those of the application, and of the files in
    them `includes` count and `excludes` do not; `extras` are files, folders and patterns that count
    besides. All paths are absolute. `engine` says how, see `--reload-engine`.
    """

    base: str
    folders: tuple[str, ...]
    includes: tuple[str, ...]
    excludes: tuple[str, ...]
    extras: tuple[str, ...]
    engine: str

    @classmethod
    def of(cls, settings: Settings) -> Watchlist:
        """Return what the settings mean in the folder that this process is in.

        Raises OSError if that is gone.
        """
        base = os.getcwd()
        folders = settings.reload_dirs or (os.curdir, *settings.pythonpath)
        return cls(
            base,
            tuple(os.path.normpath(os.path.join(base, folder)) for folder in folders),
            (SOURCES, *settings.reload_includes),
            settings.reload_excludes,
            tuple(os.path.normpath(os.path.join(base, extra)) for extra in settings.reload_extra_files),
            settings.reload_engine,
        )

    def scan(self, since: float = math.inf) -> Snapshot:
        """Return how everything is now; `since` is the snapshot's."""
        return _Scan(self, since).run()

    def named(self, paths: Iterable[str]) -> str:
        """Return `paths` as a line of the log has them: a few of them, seen from the working folder."""
        names = [path.removeprefix(os.path.join(self.base, "")) for path in sorted(paths)]
        shown = ", ".join(name if name.isprintable() else ascii(name) for name in names[:SHOWN])
        return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


class _Scan:
    """One look at all that is watched."""

    def __init__(self, watchlist: Watchlist, since: float) -> None:
        self._watchlist = watchlist
        self._excludes = [Pattern(text) for text in watchlist.excludes]
        self._found = Snapshot(since)

    def run(self) -> Snapshot:
        """Return what there is."""
        includes = [Pattern(text) for text in self._watchlist.includes]
        self._found.patterns += includes
        for folder in self._watchlist.folders:
            self._walk(folder, includes)
        for extra in self._watchlist.extras:
            if is_pattern(extra):
                pattern = Pattern(extra)
                self._found.patterns.append(pattern)
                self._walk(pattern.fixed, [pattern])
            elif os.path.isdir(extra):
                self._walk(extra, [], everything=True)
            else:
                self._add_file(extra)
        return self._found

    def _add_file(self, path: str) -> None:
        """Have the file at `path` watched, even if there is none yet."""
        folder, name = os.path.split(path)
        if os.path.isdir(folder):
            self._found.folders.add(os.path.realpath(folder))
        else:
            self._found.incomplete = True
        self._found.names.add(name)
        self._found.add(path, os.path.islink(path))

    def _walk(self, top: str, patterns: Collection[Pattern], everything: bool = False) -> None:
        """Look at `top` and all that is below it; with `everything`, what has another name counts as well."""
        seen = set()
        waiting = [(top, os.path.realpath(top), everything)]
        while waiting:
            folder, real, everything = waiting.pop()
            try:
                entries = [] if real in seen else list(os.scandir(folder))
            except OSError:
                self._found.incomplete |= folder == top
                continue
            if folder != top and any(entry.name == "pyvenv.cfg" for entry in entries):
                continue
            seen.add(real)  # a link may lead back
            self._found.folders.add(real)
            if everything:
                self._found.open_folders.add(real)
            for entry in entries:
                if any(pattern.matches(entry.path) for pattern in self._excludes):
                    continue
                counts = any(pattern.matches(entry.path) for pattern in patterns)
                linked = entry.is_symlink()
                if os.path.isdir(entry.path) if linked else entry.is_dir():
                    if counts or not (entry.name.startswith(".") or entry.name in LEFT_OUT):
                        inside = os.path.realpath(entry.path) if linked else os.path.join(real, entry.name)
                        waiting.append((entry.path, inside, everything or counts))
                elif (counts or (everything and entry.name[0] != ".")) and not _is_noise(entry.name):
                    self._found.add(entry.path, linked)


def check(settings: Settings) -> None:
    """Raise UsageError if what is to be watched is not there, or there is nothing to watch it with."""
    if settings.reload_engine != "poll" and find_spec("watchfiles") is None:
        raise UsageError(MISSING)
    for folder in settings.reload_dirs:
        if not os.path.isdir(folder):
            raise UsageError(f"--reload-dir: there is no folder {folder!r}: name one that is there")
    for path in settings.reload_extra_files:
        if not is_pattern(path) and not os.path.exists(path):
            raise UsageError(
                f"--reload-extra-file: there is no {path!r}: name a file that is there, or a pattern"
            )
