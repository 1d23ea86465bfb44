"""A server in a thread with an event loop of its own, beside whatever else the program does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from aserve import loops
from aserve.guest import StoppedEarlyError
from aserve.service import ABORT_TIME

if TYPE_CHECKING:
    from aserve.embedding import Server

LEAVING_TIME: Final = 15.0
"""Seconds beyond the graceful time in which a thread has to end: for the application's shutdown."""


class ServerThread:
    """Serves in a thread, from `start` to `stop`, or as a context manager. Made by `Server.in_thread`.

    The loop is uvloop where it is installed, or what the server's option `loop` says. Can be used
    again after `stop`. To be started and stopped from outside, not from the loop in it.
    """

    def __init__(self, server: Server) -> None:
        self.server: Final = server
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()  # held until `stop` knows of the thread
        self._ready = threading.Event()
        self._early: BaseException | None = None  # for who starts it
        self._error: BaseException | None = None  # for who stops it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unwanted = False

    def start(self) -> Self:
        """Start to serve; return when connections are accepted.

        Raises here what `Server.start` raises in the thread, and BootError if another thread calls `stop`
        meanwhile.
        """
        if self._thread is not None:
            raise RuntimeError("the server has been started already: stop it before")
        self._ready.clear()
        self._loop = None
        self._unwanted = False
        self._early = self._error = None
        # A daemon: a program that forgets to stop it can end all the same.
        thread = threading.Thread(target=self._run, name=f"aserve {self.server.settings.app}", daemon=True)
        with self._starting:
            thread.start()
            self._thread = thread
        try:
            self._ready.wait()
        except BaseException:  # Ctrl-C
            self.stop(at_once=True)
            raise
        self._raise_early()
        return self

    def stop(self, *, at_once: bool = False) -> None:
        """Stop as `Server.stop` does; return when the thread has ended. Does nothing if there is none.

        Raises what the service has ended with if that was a failure, TimeoutError if the thread does not
        end because the application keeps it.
        """
        with self._starting:
            if self._thread is None:
                return
        self._unwanted = True
        if self._loop is not None:
            # By way of the loop: there, the server either has been started or never will be.
            with contextlib.suppress(RuntimeError):  # it is closed: the server has ended
                self._loop.call_soon_threadsafe(lambda: self.server.request_stop(at_once=at_once))
        self._end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """See `Server.url`."""
        return self.server.url

    @property
    def port(self) -> int:
        """See `Server.port`."""
        return self.server.port

    @property
    def addresses(self) -> tuple[str, ...]:
        """See `Server.addresses`."""
        return self.server.addresses

    def _raise_early(self) -> None:
        if self._early is not None:
            self._end()
            raise self._early

    def _end(self) -> None:
        thread = self._thread
        if thread is None:  # another one has seen to it
            return
        patience = self.server.settings.graceful_timeout + ABORT_TIME + LEAVING_TIME
        thread.join(patience)
        if thread.is_alive():
            raise TimeoutError(f"the server's thread has not ended within {patience:g} s: what holds it?")
        self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        try:
            name = loops.choose(self.server.settings.loop)
            with asyncio.Runner(loop_factory=lambda: loops.new_loop(name)) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._ready.is_set():
                self._error = error
            else:
                self._early = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._unwanted:
            raise StoppedEarlyError("stopped before it was ready")
        await self.server.start()
        self._ready.set()
        await self.server.wait_stopped()
