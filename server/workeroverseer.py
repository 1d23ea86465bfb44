"""gunicorn's arbiter, as a service has it that runs in one of gunicorn's workers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from aserve import workerlog
from aserve.errors import below
from aserve.messages import Draining, Failed, Ready
from aserve.overseer import AccessLog, News, Overseer
from aserve.workertable import Place, WorkerState

if TYPE_CHECKING:
    from aserve.workers import ServiceWorker

_LATE: Final = 1.0
"""Seconds that a sign of life may be old: later ones are about a loop that something keeps busy."""


class Arbitration(Overseer):
    """Tells the arbiter how `worker` goes; `place` is where the other workers can see it."""

    def __init__(self, worker: ServiceWorker, place: Place) -> None:
        self._worker = worker
        self._place = place

    def tell(self, news: News) -> None:
        """Say it in gunicorn's error log, and do what a worker of gunicorn's does itself."""
        log = self._worker.log
        match news:
            case Ready():
                self._place.enter(WorkerState.SERVING)
                log.info(
                    "Worker ready (pid: %s): %s, %s, %s",
                    self._worker.pid,
                    news.interface,
                    news.loop,
                    news.http,
                )
            case Failed():
                log.error("%s%s", news.reason, below(news.traceback))
            case Draining():
                log.debug("Worker draining (pid: %s)", self._worker.pid)
            case _:
                log.warning("Worker retires (pid: %s): %s", self._worker.pid, news.reason)
                self._worker.retire()

    def show_life(self, when: float) -> None:
        """Beat, for the arbiter and for the other workers, and see whether there still is an arbiter."""
        if time.monotonic() - when < _LATE:
            self._worker.notify()
            self._place.slot.beat = when
        self._worker.look_after_parent()

    def expect_end(self, status: int, seconds: float) -> None:
        """Beat once more. The arbiter waits for as long as its timeout says, and kills after that."""
        self._worker.notify()

    def access_log(self) -> AccessLog | None:
        """gunicorn's, if it is wanted. It counts as well, for max_requests."""
        worker = self._worker
        wanted = workerlog.is_wanted(worker.log, worker.cfg)
        if not wanted and not worker.cfg.max_requests:
            return None
        return workerlog.AccessLog(
            worker.log if wanted else None,
            root_path=worker.settings.root_path,
            after=worker.count,
        )

    def reopen_logs(self, *, only_moved: bool) -> None:
        """All files of gunicorn's loggers, and those of the application's that log to files."""
        if not only_moved:
            self._worker.log.reopen_files()
