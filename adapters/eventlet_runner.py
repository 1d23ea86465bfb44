"""WSGI applications in eventlet's greenlets, which are the event loop's own thread.

eventlet has a hub that runs on asyncio. Here it does not bring a loop, but runs on the server's: the greenlet
that runs the loop is the hub, timers and descriptors of the application are the loop's, and what the loop
calls for them switches to the application's greenlets. These go on until they wait.

For that long no loop is said to be running: frameworks refuse to run synchronous code beside one.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from threading import RLock  # by name: see aserve.protocols.threads
from typing import Any, Final, TypeVar

from aserve.adapters.greenlets import GreenletRunner, greenlet_stack, note_exit
from aserve.adapters.runner import RunnerOptions

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says of itself that it has no future: so does the documentation
    import eventlet
    from eventlet import hubs
    from eventlet.hubs.asyncio import Hub

T = TypeVar("T")

logger: Final = logging.getLogger("aserve")

_set_running_loop = asyncio._set_running_loop


class EventletRunner(GreenletRunner):
    """The application's greenlets, as the event loop sees them. Made in the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: RunnerOptions) -> None:
        super().__init__(loop, options)
        # What the loop is asked for by a request must not happen in its context.
        self._context = contextvars.copy_context()
        patch(loop)
        self._hub: LoopHub = hubs.get_hub()

    def describe(self) -> str:
        """How many greenlets there may be."""
        return f"eventlet, {self.most} greenlets"

    def load(self, loader: Callable[[], T]) -> T:
        """Return `loader()`, called in a greenlet, while the loop runs for that."""
        return self.loop.run_until_complete(self._there(loader))

    async def unload(self, finish: Callable[[], None]) -> None:
        """See `Runner`."""

        def join_and_finish() -> None:
            for thread in threading.enumerate():
                # eventlet lists the main thread of a copy of the module.
                if not thread.daemon and type(thread).__name__ != "_MainThread":
                    thread.join()
            finish()

        await self._there(join_and_finish)
        # Without the loop nobody could wait for anything.
        threading._shutdown = lambda: None  # type: ignore[attr-defined]

    async def _there(self, call: Callable[[], T]) -> T:
        result: asyncio.Future[T] = self.loop.create_future()

        def make() -> None:
            try:
                result.set_result(call())
            except BaseException as error:  # the caller's
                result.set_exception(error)

        self.spawn(make)
        return await result

    def stack(self, place: Any) -> str:
        """Where that greenlet is: it waits, since the loop has its turn."""
        return greenlet_stack(place)

    def post(self, callback: Callable[..., None], *args: Any) -> None:
        """In a greenlet: have the loop call `callback(*args)`, in the order of the posts."""
        self._results.append((callback, args))
        if not self._told:
            self._told = True
            self.loop.call_soon(self._deliver, context=self._context)

    def _ring(self) -> None:
        self.loop.call_soon(self._turn, context=self._context)

    def _turn(self) -> None:
        with self._hub.turn():
            self.attend()

    def spawn(self, call: Callable[..., object], *args: Any) -> Any:
        """See `GreenletRunner`."""
        return eventlet.spawn(call, *args)

    def waiter(self) -> Waiter:
        """See `GreenletRunner`."""
        return Waiter(self._hub)

    def kill(self, place: Any) -> None:
        """See `GreenletRunner`."""
        eventlet.kill(place)


class Waiter:
    """What one greenlet waits at, see `GreenletRunner.waiter`."""

    __slots__ = ("_greenlet", "_hub", "_open")

    def __init__(self, hub: LoopHub) -> None:
        self._hub = hub
        self._greenlet: Any = None
        self._open = False

    def get(self) -> None:
        """Return when `switch` is called, or has been."""
        if not self._open:
            self._greenlet = eventlet.getcurrent()
            self._hub.switch()

    def switch(self, _: None) -> None:
        """On the loop: let it go on, now."""
        self._open = True
        if self._greenlet is not None:
            self._greenlet.switch()


class LoopHub(Hub):  # type: ignore[misc]
    """eventlet's hub, as callbacks of a loop that runs already. Made in the greenlet that runs it.

    Others are switched to in what `call_soon` calls, and nowhere else: while libuv tells of descriptors and
    timers, it has on the stack of the loop's greenlet what it changes when it is asked to watch others; and
    while another greenlet runs, its own stack may be in that place.

    loop: to be set in a subclass, since eventlet makes the hub itself.
    """

    # For eventlet: exceptions that end the hub.
    SYSTEM_EXCEPTIONS = ()

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.greenlet = eventlet.getcurrent()
        self._context = contextvars.copy_context()
        self._handle: asyncio.Handle | None = None
        self._due = 0.0

    def _post_initialize(self) -> None:
        """Where eventlet's own would make a loop."""

    @staticmethod
    def is_available() -> bool:
        """For eventlet."""
        return True

    def turn(self) -> Turn:
        """In such a context the loop's greenlet may switch to others."""
        return Turn(self.loop)

    def add_timer(self, timer: Any) -> float:
        """Have the loop call `timer` when it is due."""
        due: float = super(Hub, self).add_timer(timer)
        self._see_to_it(due)
        return due

    def _see_to_it(self, due: float) -> None:
        if self._handle is not None:
            if self._due <= due:
                return
            self._handle.cancel()
        self._due = due
        delay = due - self.clock()
        if delay <= 0:
            self._handle = self.loop.call_soon(self._fire, context=self._context)
        else:
            self._handle = self.loop.call_later(delay, self._fall_due, context=self._context)

    def _fall_due(self) -> None:
        self._handle = self.loop.call_soon(self._fire, context=self._context)

    def _fire(self) -> None:
        """Call the timers that are due."""
        self._handle = None
        with self.turn():
            while self.closed:
                self.close_one()
            self.prepare_timers()
            self.fire_timers(self.clock())
        self.prepare_timers()
        due = self.sleep_until()
        if due is not None:
            self._see_to_it(due)

    def squelch_timer_exception(self, timer: Any, exc_info: Any) -> None:
        """A greenlet has not caught this."""
        if isinstance(exc_info[1], SystemExit):
            note_exit(exc_info[1])
        else:
            super().squelch_timer_exception(timer, exc_info)

    def mark_as_reopened(self, fileno: int) -> None:
        """The descriptor is another file's now: those that wait at it are told."""
        super().mark_as_reopened(fileno)
        if self.closed:
            self._see_to_it(0.0)

    def add(self, evtype: str, fileno: int, cb: Callable[..., Any], tb: Any, mark_as_closed: Any) -> Any:
        """Have the loop watch a descriptor, for who calls `cb`; raises ValueError if there is none."""
        try:
            os.fstat(fileno)
        except OSError:
            raise ValueError("Invalid file descriptor") from None
        watched = fileno in self.listeners[evtype]
        listener = super(Hub, self).add(evtype, fileno, cb, tb, mark_as_closed)
        if not watched:
            watch = self.loop.add_reader if evtype == self.READ else self.loop.add_writer
            watch(fileno, self._ready, evtype, fileno)
        return listener

    def _ready(self, evtype: str, fileno: int) -> None:
        """A descriptor is ready: see to it that who waits for it goes on, see `LoopHub`."""
        listener = self.listeners[evtype].get(fileno)
        if listener is not None:
            self.loop.call_soon(self._go_on, listener, context=self._context)

    def _go_on(self, listener: Any) -> None:
        fileno = listener.fileno
        if self.listeners[listener.evtype].get(fileno) is listener:  # it may have given up meanwhile
            with self.turn():
                try:
                    listener.cb(fileno)
                except BaseException:
                    self.squelch_exception(fileno, sys.exc_info())
        if self.closed:
            self._see_to_it(0.0)

    def run(self, *args: Any, **kwargs: Any) -> None:
        """The loop runs by itself."""
        raise RuntimeError("eventlet's hub is the server's event loop, which runs already")


class Turn:
    """While greenlets of the application run, no loop is said to do so."""

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        _set_running_loop(None)

    def __exit__(self, *_: object) -> None:
        _set_running_loop(self._loop)


def patch(loop: asyncio.AbstractEventLoop) -> None:
    """Have the standard library switch greenlets where it waits, and the hub be `loop`."""

    class BoundHub(LoopHub):
        pass

    BoundHub.loop = loop
    hubs.use_hub(BoundHub)
    shutdown = threading._shutdown  # type: ignore[attr-defined]
    for handler in logger.handlers:
        handler.lock = None
    eventlet.monkey_patch()
    # The log's own lock guards nothing that could switch, and other threads log as well.
    for handler in logger.handlers:
        handler.lock = RLock()
    # eventlet's waits for threads of a copy of the module, which has only the main one.
    threading._shutdown = shutdown  # type: ignore[attr-defined]
