"""Where WSGI applications run, and how they wait there.

What PEP 3333 says (environ, start_response, write, the iterable and its close, what the response may
still become) is `WSGIExchange`, and holds everywhere. A `Runner` is a place for applications; it says
in `exchange_class` which exchange goes with it. There are two kinds of places:

- Where an application can wait (threads, greenlets), it is one straight call, `WaitingExchange.handle`.
  A `WaitingRunner` takes exchanges out of its `queue` and makes that call, in a context of its own; the
  exchange comes back for few things only. `post` has the loop do something, in order; `gate` makes
  what one application waits at, which the loop opens by `notify`; `stack` tells where it is.
- Where nothing can wait (on the loop itself), the exchange has to be driven in steps: inline.py.

For a further place of the first kind derive from `WaitingRunner`, provide `_wake`, `post`, `gate` and
`return_to` (and `stack`), and enter the class in `RUNNERS` of adapters/__init__.py; the options'
choices follow from that table. Which calls come from the loop's thread and which from the application's
place is said with each method; nothing else of an exchange may be touched from there. A place that shares
the loop's thread may call at once what is posted, as long as the order is kept. Modules of extras
are imported in the runner's own module only.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeVar

from aserve.adapters.forked import RUNNERS
from aserve.adapters.requestqueue import RequestQueue
from aserve.adapters.shedding import Shedding

if TYPE_CHECKING:
    from aserve.adapters.waiting import WaitingExchange
    from aserve.adapters.wsgi import WSGIExchange

T = TypeVar("T")

DEFAULT_BUFFER: Final = 64 * 1024
"""Bytes that transports hold before they ask for a pause, unless they are told otherwise."""


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """The settings that places for applications use.

    threads: size of the pool. connections: requests at work at the same time in greenlets.
    queue_limit: requests that may wait for a place, 0 for no limit. queue_timeout, queue_target: for
    how long, in seconds, see `Shedding`. response_buffer: bytes of a response that may wait for its
    client before the application has to. own_process: what holds for the whole process may be changed.
    """

    threads: int = 8
    connections: int = 1000
    queue_limit: int = 2048
    queue_timeout: float = 30.0
    queue_target: float | None = None
    response_buffer: int = DEFAULT_BUFFER
    own_process: bool = True


class Gate(Protocol):
    """What one application waits at, for whatever the loop brings."""

    def wait_for(self, ready: Callable[[], Any]) -> None:
        """At the application's place: return when `ready()` is true; it is asked again at each `notify`."""

    def notify(self) -> None:
        """On the loop: things have changed."""


class Runner(ABC):
    """A place where the applications of one event loop run. Made before the application is loaded.

    exchange_class: what goes with it. multithread: what `wsgi.multithread` says, whether the
    application may be called while it is at work. whole_bodies: a request's body is always complete
    before the application is called.
    loop, options: as given. in_child: this is a process that the application has forked. since: the
    monotonic time in seconds since when one request has kept all others from being worked on, inf if none
    does. queue: the requests that wait, None if none do.
    """

    exchange_class: ClassVar[type[WSGIExchange]]
    multithread: bool
    whole_bodies: ClassVar[bool] = False

    def __init__(self, loop: asyncio.AbstractEventLoop, options: RunnerOptions) -> None:
        self.loop = loop
        self.options = options
        self.in_child = False
        RUNNERS.add(self)
        self.since = inf
        self.queue: RequestQueue | None = None

    def load(self, loader: Callable[[], T]) -> T:
        """Return `loader()`, which imports the application: it is called where that has to happen."""
        return loader()

    async def unload(self, finish: Callable[[], None]) -> None:  # noqa: B027
        """After `close`: have `finish()` called where `load` called the loader, and nothing after that.

        It ends what the application has left running. Where that is the main thread there is no need
        for this, since the process does the same on its way out.
        """

    @property
    def alive(self) -> bool:
        """After `close`: is an application still at work there?"""
        return False

    @abstractmethod
    def describe(self) -> str:
        """The place as the log names it."""

    @abstractmethod
    def start(self) -> None:
        """Make it ready; on the loop, before the first request."""

    @abstractmethod
    def close(self) -> None:
        """Give it up, behind the last request; returns at once."""


class WaitingRunner(Runner):
    """A place where an application may wait.

    queue: exchanges that are to be handled; shedding: for how long they may wait. Who has a place free
    takes one and has its `handle` called in a context of its own; `handle` does not raise.
    """

    exchange_class: ClassVar[type[WaitingExchange]]
    queue: RequestQueue

    def __init__(self, loop: asyncio.AbstractEventLoop, options: RunnerOptions) -> None:
        super().__init__(loop, options)
        self.shedding = Shedding(options.queue_timeout, options.queue_target)
        self.queue = RequestQueue(options.queue_limit, self.shedding)
        self._woken = False  # it will look into the queue anyway
        self._watching = not self.shedding.needed  # there is nothing to be watched then
        self._watch_timer: asyncio.TimerHandle | None = None

    def submit(self, exchange: WaitingExchange) -> None:
        """On the loop: have `exchange` handled when there is a place, or turn it away now."""
        queue = self.queue
        exchange.queued = monotonic()
        if queue.limit and len(queue.waiting) >= queue.limit:
            exchange.decline()
            return
        queue.waiting.append(exchange)
        if not self._woken:
            self._wake()
        if not self._watching:
            self._watching = True
            self.shedding.begin(exchange.queued)
            self._watch_timer = self.loop.call_later(self.shedding.step, self._watch)

    def _watch(self) -> None:
        """Turn those away that have waited for too long."""
        now = monotonic()
        self.shedding.look(now, not self.queue)
        for exchange in self.queue.expired(now):
            exchange.decline()
        self._watching = bool(self.queue) or self.shedding.overloaded
        if self._watching:
            self._watch_timer = self.loop.call_later(self.shedding.step, self._watch)

    def close(self) -> None:
        """See `Runner`. The loop, which may go on without this place, forgets it."""
        if self._watch_timer is not None:
            self._watch_timer.cancel()

    @abstractmethod
    def _wake(self) -> None:
        """On the loop: there is an exchange more in the queue."""

    @abstractmethod
    def post(self, callback: Callable[..., None], *args: Any) -> None:
        """At the application's place: have the loop call `callback(*args)`, in the order of the posts.

        Cheap for many calls in a row: they share a wake-up of the loop.
        """

    @abstractmethod
    def gate(self) -> Gate:
        """Something new to wait at; made on either side, and only for who has to wait."""

    @abstractmethod
    def return_to(self, place: Any, call: Callable[[], None]) -> None:
        """On the loop: have `call()` made at `place`, what `handle` was told, which does not raise.

        Closing what an application has opened is the business of the thread it was opened in: there is
        its connection to a database.
        """

    def stack(self, place: Any) -> str:
        """On the loop: where the application is that is at `place`, as stacks are written; "" if unknown."""
        return ""
