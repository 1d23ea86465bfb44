"""A worker process, from the fork to its exit status: it loads the application and runs the loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import socket
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aserve import identity, importpath, logs, loops, titles
from aserve.adapters import GREENLETS, RUNNERS, Adapter, make_adapter, make_runner
from aserve.adapters.interfaces import detect
from aserve.adapters.loading import ApplicationLoadError, given_application, load_application
from aserve.adapters.runner import Runner, RunnerOptions
from aserve.errors import EXIT_BOOT, EXIT_LOAD, UserError, application_traceback
from aserve.hooks import HookError
from aserve.listeners import Listeners
from aserve.messages import Channel, Failed, Retire
from aserve.options import Settings
from aserve.overseer import Supervision
from aserve.processes import finish, free_forks
from aserve.service import Ending, Service
from aserve.sharedpage import Slot
from aserve.signals import OBEYED, Signals, take_no_notice
from aserve.stacks import StackFile
from aserve.workerhooks import WorkerHooks

if TYPE_CHECKING:
    from aserve.adapters.requesthooks import RequestHooks
    from aserve.certificates import Certificates
    from aserve.metrics import WorkerMetrics

_log = logging.getLogger("aserve")


class Assignment(NamedTuple):
    """What a worker needs to know.

    Arguments: `number` and `generation` name it; `channel` is its end of the connection to the
    supervisor, `slot` its part of the shared page, `stacks` is for a crash; it accepts from
    `sockets`; `hooks` are to be called; `application` is set if it has already been loaded;
    `certificates` are those of its generation.
    """

    number: int
    generation: int
    settings: Settings
    channel: Channel
    slot: Slot
    stacks: StackFile
    sockets: Sequence[socket.socket]
    hooks: WorkerHooks
    application: Any = None
    certificates: Certificates | None = None

    def __str__(self) -> str:
        return f"worker={self.number} gen={self.generation} pid={os.getpid()}"


class Worker:
    """The worker's process.

    Arguments: `assignment` comes from the supervisor.
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._settings = assignment.settings
        self._channel = assignment.channel
        self._hooks = assignment.hooks
        self._runner: Runner | None = None
        self._metrics: WorkerMetrics | None = None
        self._signals = Signals(OBEYED)
        self._listeners = Listeners(
            assignment.sockets, assignment.slot, assignment.settings.worker_connections
        )

    def run(self) -> int:
        """Load, serve, end; return the exit status. Called once, in the child, after the fork.

        Until the loop runs, TERM and QUIT end the process at once: nothing has been promised to
        anybody, and an import may hang in code that no handler would interrupt.
        """
        self._hooks.enter()
        self._assignment.stacks.fill_on_crash()
        # INT of a terminal goes to everybody: who ends by it before the supervisor has heard it has died.
        signal.signal(signal.SIGINT, take_no_notice)
        try:
            titles.show(self._settings, f"worker {self._assignment.number}", "booting")
            return self._work()
        except UserError as error:
            own = error.traceback if isinstance(error, HookError) else ""
            self._channel.send(Failed("boot", str(error), own))
            return EXIT_BOOT
        finally:
            self._hooks.tell("worker_exit")

    def _work(self) -> int:
        free_forks(lambda: [self._channel.fileno(), *self._listeners.filenos()])
        if self._assignment.application is None:
            importpath.extend(self._settings)
            importpath.forget_listings()
        self._hooks.settle()
        if self._assignment.application is None:  # otherwise the mold has done it
            logs.enter(self._settings)
        self._measure()
        self._hooks.worker.wsgi = self._assignment.application
        if self._settings.worker_class not in GREENLETS:  # which exchange the standard library first
            self._hooks.worker.load = self._import
        self._hooks.call("post_fork")
        identity.assume(self._settings)
        loop_name = loops.choose(self._settings.loop)
        loop = loops.new_loop(loop_name)
        asyncio.set_event_loop(loop)  # for applications that ask for it while they are imported
        try:
            adapter = self._load(loop)
        except ApplicationLoadError as error:
            own = application_traceback(error.cause) if error.cause is not None else ""
            self._channel.send(Failed("load", str(error), own))
            return EXIT_LOAD
        self._hooks.call("post_worker_init")
        self._hooks.worker.booted = True
        with asyncio.Runner(loop_factory=lambda: loop) as asyncio_runner:
            return asyncio_runner.run(self._serve(adapter, loop_name))

    def _measure(self) -> None:
        if self._settings.statsd_host is not None:
            from aserve.metrics import WorkerMetrics  # imported, and paid for, only where it is wanted

            self._metrics = WorkerMetrics(self._settings)
            self._metrics.heed_log()

    def _load(self, loop: asyncio.AbstractEventLoop) -> Adapter:
        settings = self._settings
        runner = None
        if settings.worker_class in RUNNERS:
            runner = make_runner(settings.worker_class, loop, runner_options(settings))
        app = self._hooks.worker.wsgi
        if app is None:
            app = self._hooks.worker.wsgi = self._import(runner)
        adapter, self._runner = adapt(
            app, settings, loop, runner, runner_options(settings), self._hooks.around_requests()
        )
        return adapter

    def _import(self, runner: Runner | None = None) -> Any:
        if self._settings.reload:
            from aserve import bytecode  # only where it is wanted

            bytecode.distrust_recent()
        return load(self._settings, runner)

    async def _serve(self, adapter: Adapter, loop_name: loops.LoopName) -> int:
        assignment = self._assignment
        service = Service(
            self._settings,
            adapter,
            listeners=self._listeners,
            overseer=Supervision(self._settings, self._channel, assignment.slot, str(assignment)),
            name=str(assignment),
            loop_name=loop_name,
            metrics=self._metrics,
            certificates=assignment.certificates,
        )
        self._hooks.worker.count = lambda: service.requests
        loop = asyncio.get_running_loop()
        self._signals.install(loop)
        loop.add_reader(self._signals.fileno(), self._hear_signals, service)
        loop.add_reader(self._channel.fileno(), self._hear_supervisor, service)
        try:
            status = await service.run()
            if self._runner is not None:
                await self._runner.unload(finish)
            return status
        finally:
            if self._metrics is not None:
                self._metrics.close()
            # The handlers stay and take note for nobody: a late TERM is no reason to die half-way.
            loop.remove_reader(self._signals.fileno())
            loop.remove_reader(self._channel.fileno())

    def _hear_signals(self, service: Service) -> None:
        for number in self._signals.take():
            match number:
                case signal.SIGUSR1:
                    service.reopen_logs()
                case signal.SIGTERM:
                    service.end(Ending.STOP)
                case _:  # at a terminal INT goes to the supervisor and the workers alike
                    self._hooks.tell("worker_int")
                    service.end(Ending.AT_ONCE)

    def _hear_supervisor(self, service: Service) -> None:
        for message in self._channel.receive():
            if isinstance(message, Retire):
                service.retire({int(number) for number in message.abandoned.split()})
        if self._channel.closed:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            _log.warning("%s: the supervisor is gone, stopping", self._assignment)
            service.end(Ending.STOP)


def adapt(
    app: Any,
    settings: Settings,
    loop: asyncio.AbstractEventLoop,
    runner: Runner | None,
    options: RunnerOptions,
    hooks: RequestHooks | None = None,
) -> tuple[Adapter, Runner | None]:
    """Return what serves `app` on `loop`, and where a WSGI application runs.

    That is `runner`, if there is one already, else a pool of threads made with `options`. Raises
    ApplicationLoadError.
    """
    interface = detect(app, settings.worker_class)
    if interface == "tornado":
        return tornado_adapter(app, settings), None
    if interface == "wsgi" and runner is None:
        runner = make_runner("wsgi", loop, options)
    if interface == "wsgi" and settings.has_access_log:
        from aserve.accesslog import view  # only where it is wanted

        app = view(app, settings)
    adapter = make_adapter(
        app,
        interface,
        loop=loop,
        lifespan=settings.lifespan,
        root_path=settings.root_path,
        runner=runner,
        multiprocess=settings.workers > 1,
        hooks=hooks,
    )
    return adapter, runner


def tornado_adapter(app: Any, settings: Settings) -> Adapter:
    """Return what serves a Tornado application; raises ApplicationLoadError if it cannot be served so."""
    from aserve.adapters.tornado_group import TornadoAdapter  # with Tornado, which the application has loaded

    if settings.proxy_protocol != "off":
        raise ApplicationLoadError(
            "Tornado does not read the PROXY protocol: leave --proxy-protocol out, and have the proxy "
            "set X-Forwarded-For"
        )
    return TornadoAdapter(app)


def load(settings: Settings, runner: Runner | None) -> Any:
    """Return the application, imported in the place where it is going to run, if that is known.

    Raises ApplicationLoadError.
    """
    if settings.application is not None:
        call = partial(given_application, settings.application, settings.factory)
    else:
        call = partial(load_application, settings.app, settings.factory)
    return call() if runner is None else runner.load(call)


def runner_options(settings: Settings) -> RunnerOptions:
    """Return what the place of a WSGI application needs to know of the settings."""
    return RunnerOptions(
        threads=settings.threads,
        connections=settings.worker_connections or 1000,
        queue_limit=settings.queue_limit,
        queue_timeout=settings.queue_timeout,
        queue_target=settings.queue_target,
        response_buffer=settings.response_buffer,
    )


def warm_up(settings: Settings) -> None:
    """Import what the workers will need, for the supervisor to call before it forks.

    Done once and shared by all of them. Nothing of it starts a thread or a loop.
    """
    names = []
    if loops.choose(settings.loop) == "uvloop":
        names.append("uvloop")
    if settings.has_access_log:
        names.append("aserve.accesslog")
    names.append(f"aserve.protocols.parser_{'h11' if settings.http == 'h11' else 'httptools'}")
    if settings.secure:
        names.append("aserve.protocols.tls_handshake")
    if settings.worker_class in ("auto", "asgi"):
        names.append("aserve.adapters.asgi")
    if settings.worker_class in ("auto", "wsgi"):
        names.append("aserve.adapters.pool")
    if settings.worker_class == "sync":
        names.append("aserve.adapters.inline")
    for name in names:
        with contextlib.suppress(ImportError):  # to be reported by who needs it
            importlib.import_module(name)
