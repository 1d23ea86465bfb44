"""The ASGI lifespan protocol, 2.0 with state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aserve.adapters.failures import one_line

logger: Final = logging.getLogger("aserve")

ABANDON_TIME: Final = 1.0
"""Seconds that an application has for its end when it is cancelled in its start-up or shutdown."""


class LifespanError(Exception):
    """The application did not start.

    cause: what it raised, if it raised.
    """

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = cause


class Lifespan:
    """One application's start-up and shutdown.

    mode: "auto" (an application that raises before it answers does without), "on" or "off".
    state: what the application puts there at start-up; each request gets a shallow copy.
    supported: the application has started with it.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], mode: str) -> None:
        self._app = app
        self._mode = mode
        self.state: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._listening = False
        self._over = False
        self.supported = False
        self._phase = ""
        self._exit: BaseException | None = None

    async def startup(self) -> None:
        """Run the application's start-up; raises `LifespanError` when it fails."""
        if self._mode == "off":
            return
        self._task = asyncio.get_running_loop().create_task(self._run())
        answer = await self._ask("startup")
        if answer is None:
            self._unsupported()
        elif answer["type"] == "lifespan.startup.failed":
            cause = await self._settle()
            reason = answer.get("message") or "no reason given"
            if cause is not None and "\n" in reason:
                reason = one_line(cause)  # frameworks send their whole traceback
            raise LifespanError(f"start-up failed: {reason}", cause)
        else:
            self.supported = True

    async def shutdown(self) -> None:
        """Run the application's shutdown; what goes wrong there is logged."""
        task = self._task
        if task is None or not self.supported:
            return
        if task.done():
            self._log_failure("lifespan ended early")
            return
        answer = await self._ask("shutdown")
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            logger.error("application shutdown failed: %s", answer.get("message") or "no reason given")
        await self._settle()
        self._log_failure("application shutdown failed")

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except (SystemExit, KeyboardInterrupt) as error:  # out of a task they would end the loop
            self._exit = error

    async def _receive(self) -> dict[str, Any]:
        self._listening = True
        self._cancel_listener()
        try:
            return await self._events.get()
        finally:
            self._listening = False

    async def _send(self, message: dict[str, Any]) -> None:
        answer = self._answer
        expected = (f"lifespan.{self._phase}.complete", f"lifespan.{self._phase}.failed")
        if answer is None or answer.done() or message["type"] not in expected:
            raise RuntimeError(f"unexpected ASGI message {message['type']!r} in the lifespan")
        answer.set_result(message)

    async def _ask(self, phase: str) -> dict[str, Any] | None:
        """Send an event; the application's answer, or None when it ends without one."""
        assert self._task is not None
        self._phase = phase
        answer = self._answer = asyncio.get_running_loop().create_future()
        self._events.put_nowait({"type": f"lifespan.{phase}"})
        await self._wait(self._task, answer)
        return answer.result() if answer.done() else None

    async def _settle(self) -> BaseException | None:
        """Wait for the application's end, now that there are no more events; what it has raised."""
        assert self._task is not None
        self._over = True
        self._cancel_listener()
        await self._wait(self._task)
        return self._raised()

    async def _wait(self, task: asyncio.Task[None], *others: asyncio.Future[Any]) -> None:
        """Until one of them is done. Cancelled meanwhile, have the application cancelled, and clean up."""
        try:
            await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task}, timeout=ABANDON_TIME)
            raise

    def _raised(self) -> BaseException | None:
        """What the application has ended with, if that was an exception."""
        assert self._task is not None
        return self._exit or (None if self._task.cancelled() else self._task.exception())

    def _cancel_listener(self) -> None:
        """An application that waits for another event would wait for ever."""
        if self._over and self._listening and self._task is not None:
            self._task.cancel()

    def _unsupported(self) -> None:
        cause = self._raised()
        if self._exit is not None:
            raise LifespanError(f"start-up failed: {one_line(self._exit)}", cause)
        if self._mode == "on":
            what = "ended" if cause is None else f"raised {one_line(cause)}"
            raise LifespanError(
                f"the application {what} instead of answering lifespan.startup "
                "(--lifespan off serves it without)",
                cause,
            )
        if cause is None:
            logger.debug("served without lifespan events: the application has returned")
        else:  # which may as well be its start-up that has failed
            logger.info("served without lifespan events: the application raised %s", one_line(cause))

    def _log_failure(self, what: str) -> None:
        cause = self._raised()
        if cause is not None:
            logger.error(what, exc_info=cause)


def state_of(adapter: object) -> dict[str, Any]:
    """The state that the application of `adapter` has filled at its start-up; empty if it has no lifespan."""
    lifespan = getattr(adapter, "lifespan", None)
    return lifespan.state if isinstance(lifespan, Lifespan) else {}
