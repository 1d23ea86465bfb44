"""Worker classes for gunicorn: `gunicorn -k aserve.workers.ASGIWorker main:app`, or `WSGIWorker`.

gunicorn supervises, with its sockets, signals, hooks and logs; in the workers serves what serves in ours.
See docs/gunicorn-worker.md.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import sys
import threading
import time
import traceback
from functools import partial
from types import FrameType
from typing import Any, ClassVar, Final, Literal, NoReturn

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from aserve import loops, workerlog, workertls
from aserve.adapters import ExchangeAdapter, make_adapter, make_runner
from aserve.adapters.failures import one_line
from aserve.adapters.interfaces import Interface, detect
from aserve.adapters.loading import ApplicationLoadError
from aserve.adapters.requesthooks import RequestHooks
from aserve.adapters.runner import Runner
from aserve.errors import UsageError
from aserve.listeners import Listeners
from aserve.options import Settings
from aserve.processes import free_forks
from aserve.service import Ending, Service
from aserve.sharedpage import SharedPage
from aserve.signals import OBEYED, STOPPING, Signals, take_no_notice
from aserve.worker import runner_options, warm_up
from aserve.workeroverseer import Arbitration
from aserve.workersettings import remark_on, translate
from aserve.workertable import Place, WorkerState, WorkerTable

IDLE_TIME: Final = 2.0
"""Seconds that idle connections stay open at most when a worker ends: who is just sending a request gets
its answer, and a restart does not take longer than that."""

RELIEF_INTERVAL: Final = 0.05
"""Seconds between two looks whether another worker serves already."""

RELOAD_TIME: Final = 2.0
"""Seconds that requests have when gunicorn's reloader has seen a change: nobody else serves meanwhile, and
a stream has no end."""

QUICK_TIME: Final = 2.0
"""Seconds after QUIT or INT in which the loop has to have a turn, or what keeps it is interrupted."""

_ARBITERS: Final = (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)
"""What is meant for the arbiter, and ends no worker that gets it by mistake."""


class _Heartbeat:
    """gunicorn's file for heartbeats. When the arbiter closes it, the worker is gone, and so is its place."""

    def __init__(self, tmp: Any, table: WorkerTable, place: Place) -> None:
        self._tmp = tmp
        self._table = table
        self._place: Place | None = place
        self._arbiter = os.getpid()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tmp, name)

    def close(self) -> None:
        self._tmp.close()
        # Forks close the files of those who came before them: that says nothing about these.
        if self._place is not None and os.getpid() == self._arbiter:
            self._table.give_back(self._place)
            self._place = None


class ServiceWorker(Worker):  # type: ignore[misc]  # gunicorn has no types
    """What both classes have in common; the names without an underscore are gunicorn's, or for our overseer.

    interface: what the application speaks.
    """

    interface: ClassVar[Literal["asgi", "wsgi"]]
    settings: Settings
    tmp: Any
    _table: ClassVar[WorkerTable | None] = None

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Called by the arbiter when it starts: say what has no effect, and import for all workers.

        Raises RuntimeError for what cannot be used, which gunicorn shows without a traceback.
        """
        try:
            found = translate(cfg, os.environ)
        except UsageError as error:
            raise RuntimeError(str(error)) from error
        for remark in found.remarks:
            log.warning("%s", remark)
        if kwargs := getattr(cls, "CONFIG_KWARGS", None):
            log.warning("%s: %s", cls.__name__, remark_on(kwargs))
        warm_up(dataclasses.replace(found.settings, worker_class=cls.interface))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """In the arbiter, before the fork; the arguments are gunicorn's."""
        super().__init__(*args, **kwargs)
        if ServiceWorker._table is None:
            ServiceWorker._table = WorkerTable()
        self._place = ServiceWorker._table.take()
        self.tmp = _Heartbeat(self.tmp, ServiceWorker._table, self._place)
        self._service: Service | None = None
        self._loop: asyncio.AbstractEventLoop
        self._runner: Runner | None = None
        self._relief_due = 0.0
        self._broken_off: int | None = None
        self._alive_at = 0.0

    @property
    def nr(self) -> int:
        """How many requests have been answered."""
        return self._service.requests if self._service is not None else 0

    @nr.setter
    def nr(self, value: int) -> None:
        """Nothing: gunicorn sets it to 0 at the beginning."""

    # -- the worker's life, called by gunicorn ------------------------------------------------

    def init_signals(self) -> None:
        """Before the application is loaded: gunicorn's handlers, which are replaced when the loop runs.

        Until now the arbiter's own were in place, and have queued what was meant for this process.
        """
        arbiter = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        super().init_signals()
        if not _queued(arbiter).isdisjoint(STOPPING):
            self.handle_exit(signal.SIGTERM, None)
        for number in _ARBITERS:
            signal.signal(number, take_no_notice)
            signal.siginterrupt(number, False)

    def load_wsgi(self) -> None:
        """Load the application, with an event loop for those that ask for it while they are imported.

        Raises what its import raises; RuntimeError for a SystemExit, for which gunicorn would try again.
        """
        workerlog.follow(self.log)
        try:
            self.settings = translate(self.cfg, os.environ).settings
        except UsageError as error:
            self.log.error("%s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        self._certificates = workertls.certificates(self.cfg)
        self._loop_name = loops.choose(self.settings.loop)
        self._loop = loops.new_loop(self._loop_name)
        asyncio.set_event_loop(self._loop)
        try:
            super().load_wsgi()
        except BaseException as error:
            if isinstance(error, Exception) or not self.alive:  # QUIT's handler ends it by an exit as well
                raise
            raise RuntimeError(f"the application ended its import: {one_line(error)}") from error

    def run(self) -> None:
        """Serve until told to end."""
        sockets = [listener.sock for listener in self.sockets]
        # With a socket for each worker, nobody else takes what one leaves to the others.
        slot = SharedPage(1).take() if self.cfg.reuse_port else self._place.slot
        self._listeners = Listeners(sockets, slot, self.settings.worker_connections)
        free_forks(self._listeners.filenos)
        try:
            adapter = self._adapt()
        except ApplicationLoadError as error:
            self.log.error("%s", error)
            sys.exit(Arbiter.APP_LOAD_ERROR)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            status = runner.run(self._serve(adapter))
        if status:
            sys.exit(status)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle TERM while the application is loaded: nobody is to wait for this worker."""
        super().handle_exit(sig, frame)
        self._place.enter(WorkerState.LEAVING)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """Handle ABRT, mostly because the loop stands still: in the main thread, wherever that is."""
        self.alive = False
        self.log.error("Worker aborted (pid: %s)%s", self.pid, _stacks())
        self._call("worker_abort")
        self._break_off(1)

    # -- for the overseer ---------------------------------------------------------------------

    def notify(self) -> None:
        """Show the arbiter that the loop runs."""
        super().notify()
        self._alive_at = time.monotonic()

    def retire(self) -> None:
        """End when what was begun is done; nothing that a client may be about to send goes unanswered."""
        if self.alive and self._service is not None:
            self.alive = False
            self._place.enter(WorkerState.LEAVING)
            self._service.retire(range(len(self.sockets)))
            idle = min(IDLE_TIME, self.settings.keep_alive, self.settings.graceful_timeout / 2)
            self._loop.call_later(idle, self._service.end, Ending.STOP)

    def count(self) -> None:
        """A request has been answered: was it the last one?"""
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.retire()  # gunicorn starts no other one before that

    def look_after_parent(self) -> None:
        """End if the arbiter is gone."""
        if self.ppid != os.getppid() and self._service is not None and self.alive:
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False
            self._service.end(Ending.STOP)

    # -- inside -------------------------------------------------------------------------------

    def _call(self, hook: str) -> None:
        """Call a hook of what cannot be undone any more: an error goes to the log."""
        try:
            getattr(self.cfg, hook)(self)
        except Exception:
            self.log.exception("the hook %s failed", hook)

    def _break_off(self, status: int) -> NoReturn:
        """In a signal's handler: end what keeps the loop, and then the loop, by what it finds in the pipe."""
        self._broken_off = status
        os.write(self.PIPE[1], b"1")
        sys.exit(status)

    def _adapt(self) -> ExchangeAdapter:
        interface = self._detect()
        if interface == "wsgi":
            self._runner = make_runner("wsgi", self._loop, runner_options(self.settings))
        return make_adapter(
            self.wsgi,
            interface,
            loop=self._loop,
            lifespan=self.settings.lifespan,
            root_path=self.settings.root_path,
            runner=self._runner,
            multiprocess=self.cfg.workers > 1,
            hooks=self._request_hooks(),
        )

    def _detect(self) -> Interface:
        if self.cfg.reload and self.app.callable is None:
            return "wsgi"  # gunicorn's own, which shows a syntax error until that is mended
        try:
            found = detect(self.wsgi, self.interface)
        except ApplicationLoadError:
            other = detect(self.wsgi, "auto")
            if other.startswith(self.interface):
                raise
            raise ApplicationLoadError(
                f"this is no {self.interface.upper()} application: serve it with "
                + ("-k aserve.workers.WSGIWorker" if other == "wsgi" else "-k aserve.workers.ASGIWorker")
            ) from None
        assert found != "tornado"
        return found

    def _request_hooks(self) -> RequestHooks | None:
        def own(name: str) -> Any:
            """The user's hook, or gunicorn's where that writes something."""
            setting = self.cfg.settings[name]
            if setting.get() is setting.default and not self._logs_requests(name):
                return None
            return partial(setting.get(), self)

        before, after = own("pre_request"), own("post_request")
        return RequestHooks(before, after) if before or after else None

    def _logs_requests(self, name: str) -> bool:
        return name == "pre_request" and logging.getLogger("gunicorn.error").isEnabledFor(logging.DEBUG)

    async def _serve(self, adapter: ExchangeAdapter) -> int:
        self._service = service = Service(
            self.settings,
            adapter,
            listeners=self._listeners,
            overseer=Arbitration(self, self._place),
            name=f"worker (pid: {self.pid})",
            loop_name=self._loop_name,
            certificates=self._certificates,
        )
        loop = self._loop
        signals = Signals(OBEYED)
        signals.install(loop)
        self._quit_in_any_case()
        loop.add_reader(signals.fileno(), self._hear_signals, signals, service)
        loop.add_reader(self.PIPE[0], self._hear_gunicorn, service)
        try:
            # It may have been told to end while the application was loaded.
            status = await service.run() if self.alive else 0
            if self._runner is not None:
                await self._runner.unload(lambda: None)
            return status
        finally:
            if service.ending is Ending.AT_ONCE:
                signal.setitimer(signal.ITIMER_REAL, 0)
            loop.remove_reader(signals.fileno())
            loop.remove_reader(self.PIPE[0])

    def _hear_signals(self, signals: Signals, service: Service) -> None:
        for number in signals.take():
            match number:
                case signal.SIGUSR1:
                    service.reopen_logs()
                case signal.SIGTERM:
                    self._told_to_end()
                case _:
                    self.alive = False
                    self._call("worker_int")
                    service.end(Ending.AT_ONCE)

    def _quit_in_any_case(self) -> None:
        """Heed QUIT and INT also while something keeps the loop."""
        note = signal.getsignal(signal.SIGQUIT)
        assert callable(note)

        def quit_soon(number: int, frame: FrameType | None) -> None:
            note(number, frame)
            signal.signal(signal.SIGALRM, give_up)  # not before: the application may have use for it
            signal.setitimer(signal.ITIMER_REAL, QUICK_TIME, QUICK_TIME)

        def give_up(_number: int, _frame: FrameType | None) -> None:
            if time.monotonic() - self._alive_at < QUICK_TIME:
                return  # the end is under way
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.log.warning("Worker interrupted (pid: %s)%s", self.pid, _stacks())
            self._call("worker_int")
            self._break_off(0)

        for number in (signal.SIGQUIT, signal.SIGINT):
            signal.signal(number, quit_soon)

    def _told_to_end(self) -> None:
        """Heed TERM, which gunicorn sends at a stop, and at a reload as well: before new workers serve."""
        if self.alive and not self._relief_due:
            self.log.debug("Worker told to end (pid: %s)", self.pid)
            self._place.enter(WorkerState.LEAVING)
            self._relief_due = self._loop.time() + self.settings.graceful_timeout / 2
            self._loop.call_later(RELIEF_INTERVAL, self._await_relief)  # others hear it at the same time

    def _await_relief(self) -> None:
        """Go on until another worker serves, if one is about to."""
        others = self._place.any_other
        if (
            others(WorkerState.STARTING)
            and not others(WorkerState.SERVING)
            and self._loop.time() < self._relief_due
        ):
            self._loop.call_later(RELIEF_INTERVAL, self._await_relief)
        else:
            self.retire()

    def _hear_gunicorn(self, service: Service) -> None:
        """Something was written to gunicorn's pipe: by our signal handlers, or its reloader."""
        try:
            os.read(self.PIPE[0], 4096)
        except BlockingIOError:
            return
        if self._broken_off is not None:
            sys.exit(self._broken_off)
        if not self.alive:
            service.end(Ending.STOP)
            self._loop.call_later(RELOAD_TIME, service.end, Ending.AT_ONCE)


class ASGIWorker(ServiceWorker):
    """Serves an ASGI application: HTTP and WebSockets, with lifespan events."""

    interface = "asgi"


class WSGIWorker(ServiceWorker):
    """Serves a WSGI application in a pool of gunicorn's `threads`."""

    interface = "wsgi"


def _queued(arbiter: Any) -> set[int]:
    """Return the signals that an arbiter has not dealt with yet; a list in gunicorn's older versions."""
    queue: Any = getattr(arbiter, "SIG_QUEUE", ())
    if hasattr(queue, "get_nowait"):
        return {queue.get_nowait() for _ in range(queue.qsize())}
    return set(queue)


def _stacks() -> str:
    """Return where all threads are, below a line of the log."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        parts.append(
            f"\nThread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame)).rstrip()}"
        )
    return "".join(parts)
