"""What a test client tells the application, or learns of it, beside the wire.

A test client in the application's process can do things for which HTTP has no words: it says which
client and server the application is to see, and raises what the application has raised. These few things
go by the side, from one thread to the other; all else is what the server makes of the bytes.
The connection's own address says which request is meant, so that no header has to.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

TIMEOUT: Final = 5.0
"""Seconds after which the other side is thought to hang."""

Message = dict[str, Any]
Address = tuple[str, int]


@dataclass(eq=False)
class Passage:
    """One request.

    amend: changes the scope or the environ. context: the test's, whose variables an ASGI application in its
    process would see. entered: the application has been called. error: what it has
    raised. started: it has begun a response. trailers: with trailer fields to follow. close: its
    `websocket.close`, if it sent one. debug: its `http.response.debug`. returned: a WSGI application's
    call is over, what it has returned need not be.
    """

    amend: Callable[[dict[str, Any]], None]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    entered: bool = False
    error: BaseException | None = None
    started: bool = False
    trailers: bool = False
    close: Message | None = None
    debug: dict[str, Any] | None = None
    returned: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def end(self) -> None:
        """The application has ended. Called in the server's threads."""
        self.returned.set()
        self._ended.set()

    def wait(self) -> BaseException | None:
        """Return what the application has raised, once it has ended, as a client in its process would.

        Called when there has been an answer: whoever has not been called by then will not be.
        """
        if self.entered:
            assert self._ended.wait(TIMEOUT), "the application has not ended"
        return self.error

    def wait_returned(self) -> None:
        """As `wait`, for the call alone."""
        if self.entered:
            assert self.returned.wait(TIMEOUT), "the application has not returned"


class Passages:
    """Those of one server."""

    def __init__(self) -> None:
        self._passages: dict[Address, Passage] = {}
        self.lifespan_error: BaseException | None = None

    def __setitem__(self, client: Address, passage: Passage) -> None:
        self._passages[client] = passage

    def asgi(self, app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """`app`, with a passage for each request."""

        async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                try:
                    await app(scope, receive, send)
                except BaseException as error:
                    self.lifespan_error = error
                    raise
                return
            passage = self._passages[scope["client"]]
            passage.entered = True
            for variable, value in passage.context.items():
                variable.set(value)
            passage.amend(scope)

            async def noting(message: Message) -> None:
                match message["type"]:
                    case "http.response.debug":
                        passage.debug = message["info"]
                        return
                    case "http.response.start" | "websocket.accept" | "websocket.http.response.start":
                        passage.started = True
                        passage.trailers = message.get("trailers", False)
                    case "websocket.close":
                        passage.close = message
                await send(message)

            try:
                await app(scope, receive, noting)
            except BaseException as error:
                passage.error = error
                raise
            finally:
                passage.end()

        return application

    def wsgi(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """As `asgi`."""

        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            passage = self._passages[environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"])]
            passage.entered = True
            passage.amend(environ)
            try:
                result = app(environ, start_response)
            except BaseException as error:
                passage.error = error
                passage.end()
                raise
            if isinstance(result, (list, tuple)):
                passage.end()
                return result
            passage.returned.set()
            return _Noting(result, passage)

        return application


class _Noting:
    """What a WSGI application has returned."""

    def __init__(self, result: Iterable[bytes], passage: Passage) -> None:
        self._result = result
        self._passage = passage

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._result
        except BaseException as error:
            self._passage.error = error
            raise

    def close(self) -> None:
        """The server calls it in any case (PEP 3333)."""
        try:
            close = getattr(self._result, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self._passage.error = error
            raise
        finally:
            self._passage.end()
