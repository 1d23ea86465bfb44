"""The hooks that are called in the supervisor, and before a fork."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from socket import socket

from aserve.errors import below
from aserve.footprint import about_threads
from aserve.hooks import HookError
from aserve.options import Settings
from aserve.standins import Arbiter, Config, WorkerStandIn

_log = logging.getLogger("aserve")


class ServerHooks:
    """Calls the hooks of a supervisor, or of a mold, which is a copy of it.

    Each generation of workers has its own hooks with its settings, so these are named in every call.

    Arguments: `settings` are those of the start.
    """

    def __init__(self, settings: Settings) -> None:
        self.arbiter = Arbiter(settings)
        self._count: int | None = None

    def call(self, name: str, settings: Settings, *arguments: object) -> None:
        """Call the hook `name` with the server and `arguments`, if it is set. Raises HookError."""
        hooks = settings.hooks
        if hooks.footprint is None or hooks.get(name) is None:
            return
        self.arbiter.cfg = Config(settings)
        try:
            with hooks.footprint.hook(settings):
                hooks.call(name, self.arbiter, *arguments)
        except HookError:
            raise
        except Exception as error:  # what is around it: the process is the hook's, and must go on
            raise HookError(name, error) from error
        if hooks.footprint.threads:
            _log.warning("%s", about_threads(f"the hook {name}", hooks.footprint.threads))

    def tell(self, name: str, settings: Settings, *arguments: object) -> None:
        """Call it where nothing can be undone: an error goes to the log."""
        try:
            self.call(name, settings, *arguments)
        except HookError as error:
            _log.error("%s%s", error, below(error.traceback))

    def count(self, wanted: int, settings: Settings) -> None:
        """Take note of how many workers are wanted."""
        if wanted != self._count:
            before, self._count = self._count, wanted
            self.arbiter.num_workers = wanted
            self.tell("nworkers_changed", settings, wanted, before)

    def listen(self, sockets: Iterable[socket]) -> None:
        """Take note of where the server listens."""
        self.arbiter.LISTENERS = list(sockets)

    # -- workers ------------------------------------------------------------------------------

    def worker(self, settings: Settings, sockets: Iterable[socket], age: int | None = None) -> WorkerStandIn:
        """Return the object that stands for a worker which is to be forked.

        Arguments: it accepts from `sockets`; `age` is known already where a mold forks it.
        """
        if age is None:
            self.arbiter.worker_age += 1
            age = self.arbiter.worker_age
        made = WorkerStandIn(age, self.arbiter.pid, settings)
        made.sockets = list(sockets)
        return made

    def forked(self, worker: WorkerStandIn, pid: int, count: Callable[[], int]) -> None:
        """Take note that the worker is there; `count` returns how many requests it has answered."""
        worker.pid = pid
        worker.count = count
        self.arbiter.WORKERS[pid] = worker

    def ended(self, pid: int, settings: Settings) -> None:
        """Take note that the worker of that pid has ended."""
        worker = self.arbiter.WORKERS.pop(pid, None)
        if worker is not None:
            worker.alive = False
            self.tell("child_exit", settings, worker)
