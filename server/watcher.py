"""The watcher: a process that notices changes of files and tells the supervisor of them (`--reload`).

Notifications of the system only say that it is time to look: what has changed is found by comparing
how the files were and are. So nothing is missed while the notifications are set up anew for another
folder, nothing is told of files that come and go while an editor saves, and polling is the same without
the notifications.

It is a process of its own since the library that gets the notifications has threads, and the
supervisor must not have any when it forks.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from aserve import identity, titles
from aserve.children import Child
from aserve.errors import EXIT_BOOT
from aserve.messages import Changed, Channel, Failed, Watching
from aserve.options import Settings
from aserve.signals import take_no_notice
from aserve.watchlist import MISSING, Snapshot, Watchlist

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

QUIET: Final = 0.05
"""Seconds without a change after which changes are told: many files may be about to change."""

LONGEST_UNREST: Final = 2.0
"""Seconds after which they are told in any case."""

POLL_INTERVAL: Final = 0.5
"""Seconds between two looks without notifications."""

POLL_SHARE: Final = 10
"""How many times longer than a look takes it is waited for the next, if that is more."""

RETRY_INTERVAL: Final = 1.0
"""Seconds between two looks for what should be there and is not."""

CLOCK_STEP: Final = 0.01
"""Seconds by which a file's time may be before that of the clock: the kernel's own goes in steps."""

_MOMENT_MS: Final = 50
_STEP_MS: Final = 25
"""How long notifications are collected, and how often the library looks for them."""

_RECURSIVE: Final = sys.platform == "darwin"
"""Does the system tell of a whole tree at the price of one folder? inotify does not."""


@dataclass(slots=True, eq=False)
class Watcher(Child):
    """The supervisor's side of a watcher, in the table of children with the workers."""

    noun: ClassVar[str] = "watcher"

    def __str__(self) -> str:
        return f"watcher pid={self.pid}"


class WatcherProcess:
    """The watcher's own side.

    Arguments: `watchlist` is what it watches, `since` is the time (seconds of the clock) from which on
    changes count, `channel` leads to the supervisor.
    """

    def __init__(self, settings: Settings, watchlist: Watchlist, since: float, channel: Channel) -> None:
        self._settings = settings
        self._watchlist = watchlist
        self._since = since - CLOCK_STEP
        self._channel = channel
        self._seen = Snapshot()

    def run(self) -> int:
        """Watch until the supervisor ends it or is gone; return the exit status if it cannot.

        Called once, in the child, after the fork. Signals are as for a new program: TERM ends it.
        """
        for number in (signal.SIGINT, signal.SIGQUIT):  # of a terminal; the supervisor says what they mean
            signal.signal(number, take_no_notice)
        titles.show(self._settings, "watcher", "watching")
        identity.assume(self._settings)
        threading.Thread(target=self._end_with_supervisor, daemon=True).start()
        self._seen = self._watchlist.scan(self._since)
        try:
            self._watch(Polling() if self._watchlist.engine == "poll" else Notifications())
        except CannotBeNotifiedError as error:
            if self._watchlist.engine == "inotify":
                self._channel.send(Failed("boot", f"--reload-engine inotify: {error}"))
                return EXIT_BOOT
            self._watch(Polling(), str(error))
        return 0

    def _end_with_supervisor(self) -> None:
        """Wait for the end of the channel: on it a supervisor has nothing to say to a watcher."""
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        poll.poll()
        os._exit(0)

    def _watch(self, hints: Hints, trouble: str = "") -> None:
        hints.cover(self._seen.folders)
        files, folders = len(self._seen.files), len(self._seen.folders)
        what = f"{files} file{'s' * (files != 1)} in {folders} folder{'s' * (folders != 1)}, {hints.how}"
        self._channel.send(Watching(what, trouble))
        self._tell(self._seen.fresh)
        while True:
            self._catch_up()
            if not hints.cover(self._seen.folders):
                hints.wait(self._seen)

    def _catch_up(self) -> None:
        """Tell what has changed since the last time, when it is quiet again."""
        changed: set[str] = set()
        latest = time.monotonic() + LONGEST_UNREST
        while True:
            before, self._seen = self._seen, self._watchlist.scan()
            differences = self._seen.differences(before)
            changed |= differences
            if not differences or time.monotonic() > latest:
                break
            time.sleep(QUIET)
        self._tell(changed)

    def _tell(self, changed: AbstractSet[str]) -> None:
        if changed:
            self._channel.send(Changed(self._watchlist.named(changed)))


class CannotBeNotifiedError(Exception):
    """There are no notifications to be had; the message says why."""


class Hints(Protocol):
    """How it is known that it may be worth while to look."""

    how: str
    """In words for the log."""

    def cover(self, folders: AbstractSet[str]) -> bool:
        """Hear of what happens in `folders` from now on; return whether that was not so before."""

    def wait(self, seen: Snapshot) -> None:
        """Return when it is time to look again; `seen` is what was found the last time."""


class Polling:
    """No hints: look again and again."""

    how = "polling"

    def __init__(self) -> None:
        self._waited = time.monotonic()

    def cover(self, folders: AbstractSet[str]) -> bool:
        """Return False: there is nothing to be done for that."""
        return False

    def wait(self, seen: Snapshot) -> None:
        """Return after a while, a longer one if it takes long to look."""
        took = time.monotonic() - self._waited
        time.sleep(max(POLL_INTERVAL, took * POLL_SHARE))
        self._waited = time.monotonic()


class Notifications:
    """The system's notifications, by the library watchfiles."""

    how = "notified"

    def __init__(self) -> None:
        self._folders: AbstractSet[str] = frozenset()
        self._source: RustNotify | None = None

    def cover(self, folders: AbstractSet[str]) -> bool:
        """Hear of what happens in `folders` from now on; return whether that was not so before.

        Raises CannotBeNotifiedError, such as when the system has no more notifications to give.
        """
        if folders == self._folders and self._source is not None:
            return False
        try:
            self._source = None  # what it had is needed for the next one
            self._source = self._open(_tops(folders) if _RECURSIVE else folders)
            self._folders = folders
        except FileNotFoundError:  # gone in this moment: what is there now is to be found out again
            time.sleep(QUIET)
        except ImportError:
            raise CannotBeNotifiedError(MISSING) from None
        except (OSError, RuntimeError) as error:
            raise CannotBeNotifiedError(str(error)) from error
        return True

    def _open(self, folders: AbstractSet[str]) -> RustNotify:
        from watchfiles._rust_notify import RustNotify  # an extra

        return RustNotify(sorted(folders), False, False, 0, _RECURSIVE, False)

    def wait(self, seen: Snapshot) -> None:
        """Return when something has happened that may matter, or when it may be there what was missing."""
        assert self._source is not None  # covered before
        timeout = round(RETRY_INTERVAL * 1000) if seen.incomplete else 0
        while True:
            changes = self._source.watch(_MOMENT_MS, _STEP_MS, timeout, None)
            if isinstance(changes, str) or any(seen.concerns(path) for _, path in changes):
                return


def _tops(folders: AbstractSet[str]) -> set[str]:
    """Return those of `folders` that are in no other of them."""
    tops: set[str] = set()
    for folder in sorted(folders):
        if not any(folder.startswith(f"{top.rstrip(os.sep)}{os.sep}") for top in tops):
            tops.add(folder)
    return tops
