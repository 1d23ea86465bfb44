"""The hooks that are called in a worker."""

from __future__ import annotations

import functools
import logging
import os
import signal
from types import FrameType
from typing import TYPE_CHECKING

from aserve.errors import below
from aserve.hooks import BY_NAME, HookError

if TYPE_CHECKING:
    from aserve.adapters.requesthooks import RequestHooks
    from aserve.options import Settings
    from aserve.standins import Arbiter, WorkerStandIn

_log = logging.getLogger("aserve")


class WorkerHooks:
    """Calls the hooks of one worker.

    Arguments: `settings` have the hooks; `arbiter` and `worker` are what they are given.
    """

    def __init__(self, settings: Settings, arbiter: Arbiter, worker: WorkerStandIn) -> None:
        self._settings = settings
        self._hooks = settings.hooks
        self._arbiter = arbiter
        self.worker = worker

    def enter(self) -> None:
        """Take note that this is the worker's process now, and heed ABRT if there is a hook for it.

        Call it before the interpreter's crash handler is enabled: that one then comes first, writes the
        stacks whatever the process is doing, and hands on to the handler that it has found.
        """
        self.worker.pid = os.getpid()
        self._arbiter.cfg = self.worker.cfg
        self._arbiter.worker = self.worker
        if self._hooks.get("worker_abort") is not None:
            signal.signal(signal.SIGABRT, self._aborted)

    def settle(self) -> None:
        """Have what the configuration file has brought along in this process."""
        if self._hooks.footprint is not None:
            self._hooks.footprint.settle(self._settings)

    def call(self, name: str) -> None:
        """Call the hook `name`, if it is set. Raises HookError."""
        given = {"server": self._arbiter, "worker": self.worker}
        self._hooks.call(name, *(given[argument] for argument in BY_NAME[name].arguments))

    def tell(self, name: str) -> None:
        """Call it where nothing can be undone: an error goes to the log."""
        try:
            self.call(name)
        except HookError as error:
            _log.error("%s%s", error, below(error.traceback))

    def around_requests(self) -> RequestHooks | None:
        """Return the hooks of each request, or None if there are none."""
        before, after = self._hooks.get("pre_request"), self._hooks.get("post_request")
        if before is None and after is None:
            return None
        from aserve.adapters.requesthooks import RequestHooks  # not loaded where there is none

        return RequestHooks(
            before and functools.partial(before, self.worker), after and functools.partial(after, self.worker)
        )

    def _aborted(self, _number: int, _frame: FrameType | None) -> None:
        """Handle ABRT: in the main thread, between two instructions of whatever Python code runs there."""
        if os.getpid() == self.worker.pid:  # and not a fork of the application's
            self.worker.alive = False
            self.worker.aborted = True
            self.tell("worker_abort")
            self.tell("worker_exit")
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGABRT)
