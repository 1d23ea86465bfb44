"""That there is a watcher when the settings want one (`--reload`), and that it watches what they say."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from aserve.children import WATCHER, Child
from aserve.crew import Crew
from aserve.messages import Failed
from aserve.options import Settings
from aserve.sharedpage import PageFullError
from aserve.staffing import Staffing

if TYPE_CHECKING:
    from aserve.watchlist import Watchlist

_log = logging.getLogger("aserve")


class Lookout:
    """Keeps one watcher, or none.

    Arguments: `crew` is where it belongs to, `staffing` knows when it may be tried again.
    """

    def __init__(self, crew: Crew, staffing: Staffing) -> None:
        self._crew = crew
        self._staffing = staffing
        self._settings: Settings | None = None
        self._watchlist: Watchlist | None = None
        self._watched: Watchlist | None = None
        self._since = 0.0
        self._due = math.inf

    def keep(self, settings: Settings) -> None:
        """Have what `settings` want watched. Called in every turn of the loop, before workers are started.

        Whatever changes from now on is noticed, however long it takes a watcher to get ready, and
        whatever becomes of it meanwhile.
        """
        self._due = math.inf
        if settings is not self._settings:
            self._settings = settings
            self._adapt(settings)
        wanted = self._watchlist
        for child in self._crew.children:
            if child.is_watcher and child.serving:
                if self._watched == wanted:
                    return
                self._crew.release(child)
        if wanted is None:
            return
        self._due = self._staffing.not_before(WATCHER)
        if time.monotonic() < self._due:
            return
        self._due = math.inf
        try:
            self._crew.start_watcher(settings, wanted, self._since)
            self._watched = wanted
        except (OSError, PageFullError) as error:
            self._later("watcher", f"cannot start a process: {error}", 0.0)

    def lost(self, watcher: Child, failed: Failed) -> None:
        """Take note that the watcher is gone; there will be another one."""
        served = 0.0 if watcher.ready_at == math.inf else time.monotonic() - watcher.ready_at
        self._later(str(watcher), failed.reason, served)

    def due(self) -> float:
        """Return when `keep` has something to do (monotonic seconds)."""
        return self._due

    def _adapt(self, settings: Settings) -> None:
        if not settings.reload:
            self._watchlist = None
            return
        from aserve.watchlist import Watchlist  # only where it is wanted

        try:
            wanted = Watchlist.of(settings)
        except OSError:  # the working folder is gone; until it is back, what it was is watched
            return
        if wanted != self._watchlist:
            self._watchlist, self._since = wanted, time.time()

    def _later(self, who: str, reason: str, served: float) -> None:
        delay = self._staffing.settle(WATCHER, served, time.monotonic())
        self._due = self._staffing.not_before(WATCHER)
        if not served:
            _log.error("%s failed: %s; next try in %g s", who, reason, delay)
