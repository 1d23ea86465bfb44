"""Threads and locks of the server's own, which stay that where the application's become greenlets.

Libraries such as gevent replace functions of `threading`, `select`, `socket` and `time` by some that
switch between greenlets, which the event loop's thread must not do. What was taken out of a module before
remains as it was: so the server imports by name what waits.
"""

from __future__ import annotations

import asyncio
from _thread import allocate_lock, get_ident, start_new_thread
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

__all__ = ["Threads", "allocate_lock", "get_ident", "start_new_thread"]

T = TypeVar("T")


class Threads:
    """Threads for what may wait for a disk; they are started when needed, and end with the process.

    most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._started = 0
        self._undone = 0
        self._counting = allocate_lock()
        self._work: SimpleQueue[tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]] = (
            SimpleQueue()
        )

    def submit(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """On a loop: the future result of `call(*args)`, which is made in one of the threads."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._counting:
            self._undone += 1
            lacking = self._started < min(self._undone, self._most)
            self._started += lacking
        self._work.put((future, call, args))
        if lacking:
            start_new_thread(self._serve, ())
        return future

    def _serve(self) -> None:
        while True:
            future, call, args = self._work.get()
            result, failure = None, None
            try:
                result = call(*args)
            except Exception as error:
                failure = error
            with self._counting:
                self._undone -= 1
            try:
                future.get_loop().call_soon_threadsafe(_settle, future, result, failure)
            except RuntimeError:
                pass  # the loop is closed
            del future, call, args, result, failure  # an idle thread holds on to nothing


def _settle(future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if future.cancelled():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
