"""WSGI applications in gevent's greenlets, on a hub in a thread of its own beside the event loop's.

gevent replaces what waits in the standard library by what switches to another greenlet. That holds for the
whole process, so the loop's thread keeps to what it took out of those modules before, see
`aserve.protocols.threads`. Sockets, locks and greenlets belong to the hub of the thread that has made
them: the application is loaded, called and ended in this one.

The hub is woken through an `async_` watcher of its loop, once for all that has gathered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, TypeVar

import gevent.monkey
from gevent import Greenlet
from gevent.hub import Hub, Waiter, set_hub

from aserve.adapters.errorlog import thread_stack
from aserve.adapters.greenlets import GreenletRunner, greenlet_stack, note_exit
from aserve.adapters.runner import RunnerOptions
from aserve.protocols.threads import allocate_lock, get_ident, start_new_thread

T = TypeVar("T")

# Seconds that the loop waits for the hub to say where a greenlet is, and in which it does not ask
# again if the hub did not answer.
PATIENCE: Final = 0.1
SILENCE: Final = 1.0

logger: Final = logging.getLogger("aserve")


class GeventRunner(GreenletRunner):
    """The hub's thread, as the event loop sees it. Made in the main thread, before there are others."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: RunnerOptions) -> None:
        super().__init__(loop, options)
        self._silent_until = 0.0
        self._hub: Hub
        self._bell: Any
        self._end: Waiter
        self._thread = 0
        self._alive = allocate_lock()
        self._alive.acquire()
        patch()
        start_new_thread(self._run, ())
        self._alive.acquire()  # it has begun, and gives this back when it ends

    def describe(self) -> str:
        """How many greenlets there may be."""
        return f"gevent, {self.most} greenlets"

    def load(self, loader: Callable[[], T]) -> T:
        """Return `loader()`, called in a greenlet of the hub; the calling thread waits, without a hub."""
        done = allocate_lock()
        done.acquire()
        results: list[T] = []
        errors: list[BaseException] = []

        def load() -> None:
            try:
                results.append(loader())
            except BaseException as error:  # the caller's
                errors.append(error)
            finally:
                done.release()

        self.call(partial(self.spawn, load))
        done.acquire()
        if errors:
            raise errors[0]
        return results[0]

    async def unload(self, finish: Callable[[], None]) -> None:
        """See `Runner`; the thread ends as well, since it would not survive the interpreter's own end."""
        self.load(finish)
        self.call(partial(self._end.switch, None))
        self._alive.acquire()

    def stack(self, place: Greenlet) -> str:
        """Where that greenlet is, or what keeps the hub from saying so."""
        if self.loop.time() >= self._silent_until:
            answered = allocate_lock()
            answered.acquire()
            answer: list[str] = []

            def look() -> None:
                answer.append(greenlet_stack(place))
                answered.release()

            self.call(look)
            if answered.acquire(timeout=PATIENCE):
                return answer[0]
            self._silent_until = self.loop.time() + SILENCE
        return f"No greenlet gets its turn, the hub's thread is here:\n{thread_stack(self._thread)}"

    def _ring(self) -> None:
        self._bell.send()

    # In the hub's thread

    def spawn(self, call: Callable[..., object], *args: Any) -> Greenlet:
        """See `GreenletRunner`."""
        return Greenlet.spawn(call, *args)

    def waiter(self) -> Waiter:
        """See `GreenletRunner`."""
        return Waiter(self._hub)

    def kill(self, place: Greenlet) -> None:
        """See `GreenletRunner`."""
        place.kill(block=False)

    def _run(self) -> None:
        # Only the loop that libev calls the default one can wait for child processes.
        self._hub = hub = _ApplicationHub(default=True)
        set_hub(hub)
        self._thread = get_ident()
        hub.loop.install_sigchld()  # a first child may end before somebody watches it
        self._bell = hub.loop.async_()
        self._bell.start(self.attend)
        self._end = Waiter(hub)
        self._alive.release()
        self._end.get()
        self._bell.close()
        hub.destroy(destroy_loop=True)
        self._alive.release()


class _ApplicationHub(Hub):  # type: ignore[misc]
    """A hub that a `sys.exit()` in a greenlet of the application does not end."""

    def handle_system_error(
        self, type: type[BaseException], value: BaseException, tb: TracebackType | None = None
    ) -> None:
        note_exit(value)


def patch() -> None:
    """Have the standard library switch greenlets where it waits, and prepare this thread for it."""
    # The log's own lock guards nothing that could switch, and the loop must not wait at it with a hub.
    locks = [(handler, handler.lock) for handler in logger.handlers]
    gevent.monkey.patch_all()
    for handler, lock in locks:
        handler.lock = lock
    # Should something in this thread wait with gevent after all, then not on the loop of the other.
    set_hub(Hub(default=False))
