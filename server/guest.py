"""One service inside another program, from its start to its end: the program around it is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import logging
import sys
from collections.abc import Sequence
from socket import socket
from typing import Any, Final

import anyio

from aserve import sockets, worker
from aserve.adapters import RUNNERS, make_runner
from aserve.adapters.lifespan import state_of
from aserve.adapters.runner import Runner
from aserve.errors import BootError
from aserve.listeners import Listeners
from aserve.loops import LoopName
from aserve.messages import Failed, Ready, Tired
from aserve.options import Settings
from aserve.overseer import AccessLog, News, Overseer, open_access_log
from aserve.reload import load_certificates
from aserve.service import Ending, Service
from aserve.sharedpage import SharedPage

LEAVING_TIME: Final = 1.0
"""Seconds that the threads of a WSGI application are waited for, when their requests have ended."""

_LOOK_INTERVAL: Final = 0.002

_log = logging.getLogger("aserve")


class StoppedEarlyError(BootError):
    """The server was told to stop before it was ready."""


class Guest(Overseer):
    """The service, and who looks after it in the place of a supervisor. Made on the running loop.

    Arguments: `settings` have the application or its name; `listening` are the sockets to accept from,
    which belong to this object from now on; they are closed as soon as the service has been told to end.
    """

    def __init__(self, settings: Settings, listening: Sequence[socket]) -> None:
        self._settings = settings
        self._listening = listening
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._error: BootError | None = None
        self._limit: asyncio.TimerHandle | None = None
        self.state: dict[str, Any] = {}
        """What the application has put into the state of its lifespan."""
        self._task: asyncio.Task[None] | None = None
        self._service: Service
        self._runner: Runner | None

    async def start(self) -> None:
        """Return when the service is ready.

        Raises ApplicationLoadError if there is no such application, BootError if it does not start. Nothing
        is left behind then, nor if this is cancelled.
        """
        try:
            self._service = self._make_service()
        except BaseException:
            sockets.close(self._listening)
            raise
        # A context of its own: what the program has set in its variables is not for requests.
        context = contextvars.Context()
        self._task = self._loop.create_task(self._run(), name="aserve", context=context)
        try:
            await asyncio.wait({self._task, self._ready}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._hurry(self._task)
            raise
        if not self._ready.done():
            await self.wait()
            raise StoppedEarlyError("stopped before it was ready")

    @property
    def ended(self) -> bool:
        """Is nothing left of it that could serve? That may as well be the doing of a loop that was closed."""
        return self._task is not None and (self._task.done() or self._loop.is_closed())

    def abandon(self) -> None:
        """Close what a loop has left open that was closed before the end, which will not come any more."""
        sockets.close(self._listening)
        self._listeners.close_all()

    def end(self, *, at_once: bool) -> None:
        """Have the service end: when its requests have, or at once."""
        if self._task is None or self._task.done():
            return
        # First: from now on new connections are refused. The service has copies, and takes what waits.
        sockets.close(self._listening)
        self._service.end(Ending.AT_ONCE if at_once else Ending.STOP)

    async def wait(self) -> None:
        """Return when everything has ended; raise what it has ended with, if that was a failure.

        Cancelled meanwhile, it has the rest end at once, and waits for that.
        """
        task = self._task
        if task is None:
            return
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            await self._hurry(task)
            raise
        if self._error is not None:
            raise self._error
        if not task.cancelled():
            task.result()

    async def watch(self) -> None:
        """Return when it has ended. Cancelled meanwhile, it goes on."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _hurry(self, task: asyncio.Task[None]) -> None:
        # Bounded, see `expect_end`: who cancels it again and again has to wait for that as well.
        self.end(at_once=True)
        with anyio.CancelScope(shield=True):
            while not task.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({task})

    # -- as an overseer -----------------------------------------------------------------------

    def tell(self, news: News) -> None:
        """See `Overseer`."""
        match news:
            case Ready():
                self._ready.set_result(None)
            case Failed():
                cause = sys.exception()  # what the service has caught, and tells of
                self._error = BootError(news.reason)
                self._error.__cause__ = getattr(cause, "cause", None) or cause
            case Tired():
                _log.warning("%s", news.reason)
            case _:
                pass

    def show_life(self, when: float) -> None:
        """Take up new certificates now and then, in the place of the supervisor."""
        if self._certificates is not None and self._certificates.look():
            _log.warning("--ca-certs: sessions of before go on until the server is started anew")

    def expect_end(self, status: int, seconds: float) -> None:
        """Cancel what is left of the service then; of several calls the one with the earliest end holds."""
        when = self._loop.time() + seconds
        if self._limit is None or when < self._limit.when():
            if self._limit is not None:
                self._limit.cancel()
            self._limit = self._loop.call_at(when, self._give_up, seconds)

    def access_log(self) -> AccessLog | None:
        """See `Overseer`."""
        return open_access_log(self._settings)

    # -- the service --------------------------------------------------------------------------

    def _make_service(self) -> Service:
        settings, loop = self._settings, self._loop
        options = dataclasses.replace(worker.runner_options(settings), own_process=False)
        kind = settings.worker_class
        runner = make_runner(kind, loop, options) if kind in RUNNERS else None
        app = worker.load(settings, runner)
        adapter, self._runner = worker.adapt(app, settings, loop, runner, options)
        self.state = state_of(adapter)
        _, self._certificates = load_certificates(settings)
        copies = [sock.dup() for sock in self._listening]
        for copy in copies:
            copy.setblocking(False)
        self._listeners = Listeners(copies, SharedPage(1).take(), settings.worker_connections)
        return Service(
            settings,
            adapter,
            listeners=self._listeners,
            overseer=self,
            name=f"server on {', '.join(map(sockets.address, self._listening))}",
            loop_name=loop_name(loop),
            certificates=self._certificates,
        )

    async def _run(self) -> None:
        try:
            await self._service.run()
        except (KeyboardInterrupt, SystemExit):
            # Out of a task they end the loop as well, so that nobody is left to ask this one for them.
            if self._task is not None:
                self._task.add_done_callback(asyncio.Task.exception)
            raise
        finally:
            if self._limit is not None:
                self._limit.cancel()
            self._listeners.abandon()
            sockets.close(self._listening)
            await self._wait_for_threads()

    async def _wait_for_threads(self) -> None:
        deadline = self._loop.time() + LEAVING_TIME
        while self._runner is not None and self._runner.alive:
            if self._loop.time() >= deadline:
                _log.warning("threads of the application are still at work: they end with their requests")
                break
            await asyncio.sleep(_LOOK_INTERVAL)

    def _give_up(self, seconds: float) -> None:
        _log.warning("the application's shutdown is cancelled: %g s are over", round(seconds, 1))
        if self._task is not None:
            self._task.cancel()


def loop_name(loop: Any) -> LoopName:
    """Return the name of the running loop's kind."""
    return "uvloop" if type(loop).__module__.startswith("uvloop") else "asyncio"
