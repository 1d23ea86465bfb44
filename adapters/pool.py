"""The thread pool between the event loop and WSGI applications.

Wake-ups and changes of the interpreter lock are what a hand-over costs, so there are few. Work
waits in one deque, and a turn of the loop that adds to it wakes one thread, not one for each
piece: a thread that is awake takes pieces as long as there are any. More are woken, twice as many
each millisecond, while work waits and the awake ones are blocked: nobody has taken a piece, or
the process is not using the time it has. Where they compute, more threads would only fight over
the interpreter. What the threads have for the loop goes through another deque, with one wake-up
for as many pieces as have gathered: while there is work to go on with, the loop is left alone,
since it looks every millisecond then.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Final

from aserve.adapters.batching import BatchingRunner
from aserve.adapters.bell import Bell
from aserve.adapters.errorlog import thread_stack
from aserve.adapters.lifespan import LifespanError
from aserve.adapters.runner import Gate, RunnerOptions
from aserve.adapters.waiting import WaitingExchange

# Seconds after which a thread that computes hands the interpreter on to one that waits for it, instead of
# 5 ms: the loop is in time again, for 2 % of what the threads could do (docs/performance.md).
SWITCH_INTERVAL: Final = 0.0005
_USUAL_INTERVAL: Final = 0.005

# Seconds between two looks at whether the work needs further threads.
PATIENCE: Final = 0.001
# Share of a core above which the process counts as busy computing.
BUSY: Final = 0.8


class ThreadGate:
    """What a thread waits at."""

    __slots__ = ("_condition",)

    def __init__(self) -> None:
        self._condition = threading.Condition()

    def wait_for(self, ready: Callable[[], Any]) -> None:
        """See `Gate`."""
        with self._condition:
            self._condition.wait_for(ready)

    def notify(self) -> None:
        """See `Gate`."""
        with self._condition:
            self._condition.notify_all()


class ThreadPool(BatchingRunner):
    """A fixed number of threads that serve one event loop."""

    exchange_class: ClassVar[type[WaitingExchange]] = WaitingExchange

    def __init__(self, loop: asyncio.AbstractEventLoop, options: RunnerOptions) -> None:
        super().__init__(loop, options)
        self.multithread = options.threads > 1
        self._loop = loop
        self._work = self.queue.waiting
        self._idle: list[Bell] = []
        self._waiting = False
        self._oldest: WaitingExchange | None = None
        self._looked = (0.0, 0.0)
        self._closing = False
        self._bells: list[Bell] = []
        self._returns: dict[int, tuple[deque[Callable[[], None]], Bell]] = {}
        self._threads = [
            threading.Thread(target=self._serve, name=f"aserve-{number}", daemon=True)
            for number in range(options.threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        # Another one has been set by the application.
        if self.options.own_process and sys.getswitchinterval() == _USUAL_INTERVAL:
            sys.setswitchinterval(SWITCH_INTERVAL)
        try:
            for _ in self._threads:
                self._bells.append(Bell())
        except OSError as error:
            while self._bells:
                self._bells.pop().close()
            size = len(self._threads)
            raise LifespanError(
                f"no files for {size} threads, which take one each: raise the limit (ulimit -n), or use "
                f"fewer --threads: {error.strerror}"
            ) from error
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Has a thread not ended yet?"""
        return any(thread.is_alive() for thread in self._threads)

    def describe(self) -> str:
        """How many threads there are."""
        return f"{self.options.threads} threads"

    def gate(self) -> Gate:
        """What a thread waits at."""
        return ThreadGate()

    def stack(self, place: int) -> str:
        """Where that thread is."""
        return thread_stack(place)

    def post(self, callback: Callable[..., None], *args: Any) -> None:
        """From a thread: have the loop call `callback(*args)`, in the order of the posts."""
        self._results.append((callback, args))
        if not self._told and not (self._waiting and self._work):
            self._told = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                pass  # the loop is closed: a program that goes on has not waited for this thread

    def return_to(self, place: int, call: Callable[[], None]) -> None:
        """On the loop: have that thread call `call()`, before it takes another request."""
        calls, bell = self._returns[place]
        calls.append(call)
        try:
            self._idle.remove(bell)
        except ValueError:
            return  # it is at work, and will look before it sleeps
        bell.ring()

    def close(self) -> None:
        """Have the threads end; returns at once, a thread that is at work ends behind it."""
        super().close()
        self._closing = True
        self._release(len(self._threads))

    def _set_to_work(self) -> None:
        """Wake a thread for what this turn of the loop has brought."""
        try:
            last = self._work[-1]
        except IndexError:
            return
        # The thread may do its work before this goes on: what there is by then needs no wake-up.
        self._told = True
        self._release(1)
        if self._work:
            self._oldest = last
            if not self._waiting:
                self._waiting = True
                self._looked = (self._loop.time(), time.process_time())
                self._loop.call_later(PATIENCE, self._reinforce, 1)
        self._deliver()

    def _release(self, number: int) -> None:
        idle = self._idle
        while number and idle:
            number -= 1
            try:
                bell = idle.pop()
            except IndexError:
                return  # a thread took itself off
            bell.ring()

    def _reinforce(self, number: int) -> None:
        """Wake `number` threads if work waits for want of them."""
        queue = self._work
        try:
            front = queue[0]
        except IndexError:  # the threads have just taken all of it
            self._waiting = False
            self._oldest = None
            self._deliver()
            return
        then, used = self._looked
        self._looked = now, using = self._loop.time(), time.process_time()
        oldest, self._oldest = self._oldest, front
        if oldest is self._oldest or using - used < BUSY * (now - then):
            self._release(number)
            number = min(2 * number, len(self._threads))
        else:
            number = 1
        self._loop.call_later(PATIENCE, self._reinforce, number)
        self._deliver()

    def _serve(self) -> None:
        take = self.queue.take
        bell = self._bells.pop()
        calls: deque[Callable[[], None]] = deque()
        place = threading.get_ident()
        self._returns[place] = calls, bell
        while not self._closing or self._work or calls:
            if calls:
                if self._work:
                    self._release(1)  # this thread may have been woken for that, and a call may block
                calls.popleft()()
                continue
            try:
                exchange = take()
            except IndexError:
                self._park(bell, calls)
            else:
                contextvars.Context().run(exchange.handle, place)
                if self.in_child:
                    os._exit(1)  # forked by the application: its bell and its queue are the parent's
                del exchange  # an idle thread holds on to nothing
        bell.close()

    def _park(self, bell: Bell, calls: deque[Callable[[], None]]) -> None:
        """Sleep until woken, unless there is something to do after all."""
        idle = self._idle
        idle.append(bell)
        # What came before the bell stood in the list has woken somebody else, or nobody.
        if self._work or calls or self._closing:
            try:
                idle.remove(bell)
            except ValueError:
                bell.wait()  # it was just rung
            return
        bell.wait()
