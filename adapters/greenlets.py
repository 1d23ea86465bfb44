"""Applications in greenlets: what is the same with each library that has them."""

from __future__ import annotations

import asyncio
import logging
import traceback
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

from greenlet import GreenletExit, getcurrent, greenlet

from aserve.adapters.batching import BatchingRunner
from aserve.adapters.errorlog import comes_of
from aserve.adapters.runner import RunnerOptions
from aserve.adapters.waiting import WaitingExchange

logger: Final = logging.getLogger("aserve")


class GreenletExchange(WaitingExchange):
    """An exchange whose application runs in a greenlet of its own."""

    __slots__ = ()

    runner: GreenletRunner
    gate: GreenletGate | None

    def cancel(self) -> None:
        """End the application: at its gate it hears that the client has gone, elsewhere it is killed."""
        self.abandoned = True
        self.runner.call(self._end)

    def note_failure(self, error: BaseException) -> None:
        if self.abandoned and comes_of(error, GreenletExit):
            logger.debug("the application was ended: %s", self.line())
        else:
            super().note_failure(error)

    # Place

    def _end(self) -> None:
        if self.place is None:
            return  # it has not begun, or has ended meanwhile
        if self.gate is not None and self.gate.waiters:
            self.gate.open()
        else:
            self.runner.kill(self.place)


class GreenletGate:
    """What a greenlet waits at.

    waiters: the greenlets that do.
    """

    __slots__ = ("_runner", "waiters")

    def __init__(self, runner: GreenletRunner) -> None:
        self._runner = runner
        self.waiters: list[Any] = []

    def wait_for(self, ready: Callable[[], Any]) -> None:
        """See `Gate`."""
        while True:
            waiter = self._runner.waiter()
            self.waiters.append(waiter)
            # Only now: what happens from here on opens the gate.
            try:
                if ready():
                    return
                waiter.get()
            finally:
                if waiter in self.waiters:
                    self.waiters.remove(waiter)

    def notify(self) -> None:
        """See `Gate`."""
        if self.waiters:
            self._runner.call(self.open)

    def open(self) -> None:
        """Where the greenlets are, but in none that waits: let them all look again."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.switch(None)


class GreenletRunner(BatchingRunner):
    """A place with a greenlet for each request.

    `connections` of the options says how many there may be at the same time, the others wait in the queue.
    """

    exchange_class: ClassVar[type[WaitingExchange]] = GreenletExchange
    multithread = True

    def __init__(self, loop: asyncio.AbstractEventLoop, options: RunnerOptions) -> None:
        super().__init__(loop, options)
        self.most: Final = options.connections
        self._active = 0
        self._calls: deque[Callable[[], None]] = deque()
        self._called = False

    def start(self) -> None:
        """Nothing more to do."""

    def close(self) -> None:
        """What the application has left running goes on, until `unload`."""
        super().close()

    def call(self, call: Callable[[], None]) -> None:
        """On the loop: have `call()` made where the greenlets are, but in none that may wait."""
        self._calls.append(call)
        self._set_to_work()

    def return_to(self, place: Any, call: Callable[[], None]) -> None:
        """On the loop: have `call()` made in a new greenlet, since `place` has ended."""
        self.call(partial(self.spawn, call))

    def _set_to_work(self) -> None:
        if not self._called:
            self._called = True
            self._ring()

    @abstractmethod
    def _ring(self) -> None:
        """On the loop: have `attend` called where the greenlets are, but in none that may wait."""

    @abstractmethod
    def spawn(self, call: Callable[..., object], *args: Any) -> Any:
        """Where the greenlets are: have `call(*args)` made in a new one, with an empty context; soon."""

    def attend(self) -> None:
        """Where the greenlets are: do what the loop has asked for."""
        self._called = False  # before the look
        calls = self._calls
        for _ in range(len(calls)):
            calls.popleft()()
        self._admit()

    def _admit(self) -> None:
        """Begin as many requests as there may be."""
        take = self.queue.take
        while self._active < self.most:
            try:
                exchange = take()
            except IndexError:
                return
            self._active += 1
            self.spawn(self._handle, exchange)

    def _handle(self, exchange: WaitingExchange) -> None:
        try:
            exchange.handle(getcurrent())
        finally:
            self._active -= 1
        if self.queue:
            self._admit()

    @abstractmethod
    def waiter(self) -> Any:
        """In a greenlet: what `get` waits at, until `switch` is called, which may be before."""

    @abstractmethod
    def kill(self, place: Any) -> None:
        """Where the greenlets are: have `GreenletExit` raised in the one that is `place`."""

    def gate(self) -> GreenletGate:
        """What a greenlet waits at."""
        return GreenletGate(self)


def note_exit(error: BaseException) -> None:
    """Log that a greenlet of the application's own has called `sys.exit`, which ends nothing but that."""
    logger.error("a greenlet of the application has ended itself alone: %r", error)


def greenlet_stack(place: greenlet) -> str:
    """Where a greenlet is that does not run; to be called in its thread."""
    frame = place.gr_frame
    return "".join(traceback.format_stack(frame)).rstrip() if frame is not None else ""
