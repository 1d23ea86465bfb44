"""The mold: a process that has imported the application, and that workers are forked from (`--preload`).

The supervisor never imports the application, or else a reload could not bring new code. So with
`--preload` it forks a mold, which does; the workers are copies of the mold, and share the memory
of what was imported. A reload makes a new mold.

    supervisor --fork--> mold --fork--> (go-between) --fork--> worker

The go-between ends at once, and the supervisor, as the subreaper of its descendants, becomes the
worker's parent: it waits for the worker as for any other, and no worker minds the end of its mold.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from aserve import identity, importpath, logs, orphans, titles
from aserve.adapters.interfaces import detect
from aserve.adapters.loading import ApplicationLoadError, load_application
from aserve.children import Child
from aserve.errors import EXIT_BOOT, EXIT_LOAD, UsageError, application_traceback, below
from aserve.generation import Generation
from aserve.hooks import HookError
from aserve.messages import SEND_TIMEOUT, Channel, Failed, Ready
from aserve.options import Settings
from aserve.processes import fork
from aserve.serverhooks import ServerHooks
from aserve.sharedpage import SharedPage, Slot
from aserve.signals import take_no_notice
from aserve.stacks import StackFile
from aserve.standins import WorkerStandIn
from aserve.workerhooks import WorkerHooks

NUMBER: Final = -1
"""The place of a mold in the table of children: none that a worker could fill."""

PATIENCE: Final = 10.0
"""Seconds that a mold may take to fork a worker; it has nothing else to do."""

_PR_SET_CHILD_SUBREAPER: Final = 36
_LONGEST_REQUEST: Final = 4096

_log = logging.getLogger("aserve")


def prepare(settings: Settings) -> None:
    """Have the kernel give this process the children of its descendants, if the settings need that.

    Raises UsageError where there is no such thing (it is Linux's own).
    """
    if not settings.preload_app:
        return
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0
    except (OSError, AttributeError):
        failed = True
    if failed:
        raise UsageError("--preload needs Linux: leave it out on this system")
    orphans.expect()


@dataclass(slots=True, eq=False)
class Mold(Child):
    """The supervisor's side of a mold, in the table of children with the workers.

    Arguments: `requests` is the supervisor's end of the connection that asks for workers.
    """

    noun: ClassVar[str] = "mold"

    requests: socket.socket = field(kw_only=True)

    def __str__(self) -> str:
        return f"mold {self.generation} pid={self.pid}"

    def cast(self, number: int, age: int, slot: Slot, channel: Channel, stacks: StackFile) -> int:
        """Have a worker forked; return its pid. The process that calls is its parent.

        Arguments: what the worker is to have, see `worker.Assignment`; `age` is for its hooks. Raises
        OSError if it cannot be forked, or the mold does not answer.
        """
        request = json.dumps({"number": number, "age": age, "slot": slot.index}).encode()
        self.requests.settimeout(PATIENCE)
        socket.send_fds(self.requests, [request], [channel.fileno(), stacks.fileno()])
        answer = self.requests.recv(_LONGEST_REQUEST) or b"it has ended"
        if not answer.isdigit():
            raise OSError(f"{self}: {answer.decode(errors='replace')}")
        return int(answer)

    def let_go(self) -> None:
        """Close what this process holds of it: a mold of which nobody asks anything ends."""
        Child.let_go(self)
        self.requests.close()


class MoldProcess:
    """The mold's own side.

    Arguments: `generation` is its workers', who have their slots in `page`; `hooks` are this process's
    copy of the supervisor's; `channel` and `stacks` are as a worker has them; `requests` is its end of
    the connection that asks for workers.
    """

    def __init__(
        self,
        generation: Generation,
        page: SharedPage,
        hooks: ServerHooks,
        *,
        channel: Channel,
        requests: socket.socket,
        stacks: StackFile,
    ) -> None:
        self.generation = generation
        self._page = page
        self._hooks = hooks
        self._channel = channel
        self._requests = requests
        self._stacks = stacks
        self._app: Any = None

    def run(self) -> int:
        """Import the application and fork workers until nobody asks any more; return the exit status.

        Called once, in the child, after the fork. Signals are as for a new program: TERM ends it.
        """
        self._stacks.fill_on_crash()
        settings = self.generation.settings
        signal.signal(signal.SIGINT, take_no_notice)  # of a terminal; the supervisor says what it means
        titles.show(settings, "mold", "booting")
        importpath.extend(settings)
        importpath.forget_listings()
        try:
            logs.enter(settings)  # before it gives up the right to open files
        except UsageError as error:
            self._channel.send(Failed("boot", str(error)))
            return EXIT_BOOT
        identity.assume(settings)
        if settings.reload:
            from aserve import bytecode  # only where it is wanted

            bytecode.distrust_recent()
        if settings.hooks.footprint is not None:
            settings.hooks.footprint.settle(settings)
        loops = _event_loops()
        try:
            self._app = load_application(settings.app, settings.factory)
            interface = detect(self._app, settings.worker_class)
        except ApplicationLoadError as error:
            own = application_traceback(error.cause) if error.cause is not None else ""
            self._channel.send(Failed("load", str(error), own))
            return EXIT_LOAD
        left = _left_running(loops)
        if left:
            self._channel.send(Failed("boot", f"--preload cannot be used with this application: {left}"))
            return EXIT_BOOT
        gc.collect()
        gc.freeze()  # from here on the collector writes to none of it, so that it stays shared
        sys.stdout.flush()
        sys.stderr.flush()
        titles.show(settings, "mold", "ready")
        self._channel.send(Ready(interface, "-", "-"))
        self._serve()
        return 0

    def _serve(self) -> None:
        while True:
            try:
                request, descriptors, _, _ = socket.recv_fds(self._requests, _LONGEST_REQUEST, 2)
            except OSError:
                return
            if not request:
                return
            try:
                answer = str(self._fork(json.loads(request), descriptors) or "it has not forked a worker")
            except (OSError, HookError) as error:
                own = error.traceback if isinstance(error, HookError) else ""
                _log.error("mold %s: %s%s", self.generation, error, below(own))
                answer = str(error)
            for descriptor in descriptors:
                os.close(descriptor)
            with contextlib.suppress(OSError):
                self._requests.send(answer.encode(errors="replace")[:_LONGEST_REQUEST])

    def _fork(self, request: dict[str, int], descriptors: list[int]) -> int:
        """Fork a worker through a go-between; return its pid when the go-between has ended."""
        generation = self.generation
        stand_in = self._hooks.worker(generation.settings, generation.sockets, request["age"])
        stand_in.wsgi = self._app
        self._hooks.arbiter.worker = stand_in
        self._hooks.call("pre_fork", generation.settings, stand_in)
        reader, writer = os.pipe()
        try:
            between = os.fork()
            if not between:
                try:
                    pid = fork(lambda: self._be_worker(request, descriptors, stand_in))
                    os.write(writer, b"%d" % pid)
                finally:
                    os._exit(0)
            os.close(writer)
            writer = -1
            text = os.read(reader, 32)
            os.waitpid(between, 0)  # only then the worker's parent is the supervisor
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)
        return int(text or 0)

    def _be_worker(self, request: dict[str, int], descriptors: list[int], stand_in: WorkerStandIn) -> int:
        from aserve.worker import Assignment, Worker

        self._requests.close()
        self._channel.close()
        self._stacks.close()
        channel, stacks = descriptors
        generation = self.generation
        assignment = Assignment(
            number=request["number"],
            generation=generation.number,
            settings=generation.settings,
            channel=Channel(socket.socket(fileno=channel), patience=SEND_TIMEOUT),
            slot=self._page.slot(request["slot"]),
            stacks=StackFile(stacks),
            sockets=generation.sockets,
            hooks=WorkerHooks(generation.settings, self._hooks.arbiter, stand_in),
            application=self._app,
            certificates=generation.certificates,
        )
        return Worker(assignment).run()


def _left_running(loops: set[str]) -> str:
    """What the import has left running that no copy of the process would have; nothing if all is well.

    Arguments: `loops` are the event loops that were there before.
    """
    main = threading.main_thread()
    threads = [thread.name for thread in threading.enumerate() if thread is not main]
    # Those that were started without the module threading have no names.
    threads += ["unnamed"] * (_thread._count() - len(threads))
    if threads:
        return (
            f"its import has started threads ({', '.join(threads)}), which workers would not have: "
            "start them when the application starts (lifespan, first request), or leave --preload out"
        )
    if _event_loops() - loops:
        return (
            "its import has opened an event loop, which workers must not share: "
            "use the running one when the application starts, or leave --preload out"
        )
    return ""


def _event_loops() -> set[str]:
    """The descriptors of event loops (epoll instances) that this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if "[eventpoll]" in os.readlink(f"/proc/self/fd/{name}"):
                found.add(name)
    return found
