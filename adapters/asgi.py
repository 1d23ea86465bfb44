"""The ASGI adapter: HTTP scope, spec version 2.5."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from aserve.adapters import ExchangeAdapter, extensions, origins
from aserve.adapters.errorlog import log_exception, task_stack
from aserve.adapters.interfaces import Interface
from aserve.adapters.lifespan import Lifespan
from aserve.protocols.errors import ResponseError
from aserve.protocols.exchange import Exchange
from aserve.protocols.extended import ExtendedExchange
from aserve.protocols.group import ExchangeFactory
from aserve.protocols.http1 import Http1Connection
from aserve.protocols.states import Response
from aserve.protocols.target import PERCENT, split_target

if TYPE_CHECKING:
    from aserve.adapters.requesthooks import RequestHooks
    from aserve.protocols.requesthead import RequestHead

logger: Final = logging.getLogger("aserve")

Message = dict[str, Any]
ASGIApp = Callable[..., Awaitable[None]]

_WAITING = Response.WAITING
_HELD = Response.HELD
_FILE = Response.FILE
_DONE = Response.DONE
_BROKEN = Response.BROKEN

# What Starlette raises when the client has gone.
_DISCONNECTS: Final = frozenset({"ClientDisconnect", "WebSocketDisconnect"})

# Bytes that a response may send before the other tasks have a turn, and what a piece counts on top.
_TURN: Final = 64 * 1024
_CHUNK_COST: Final = 512

# From 3.12 on a task can take its first step at once instead of in the loop's next turn.
_EAGER: Final = sys.version_info >= (3, 12)
_Task: Final[Any] = asyncio.Task


class ASGIExchange(ExtendedExchange):
    """An exchange that runs an ASGI application in a task of its own."""

    __slots__ = ("body_taken", "suspended", "task", "unyielded")

    adapter: ASGIAdapter
    app: ASGIApp

    def begin(self) -> None:
        connection = self.connection
        adapter = self.adapter
        request = self.request
        scope = request.prepared
        if scope:
            scope = scope.copy()
        else:
            scope = adapter.scope(connection, request)
            if request.prepared is not None:
                request.prepared = scope.copy()
        scope["headers"] = request.headers.copy()
        if self.plain:
            scope["extensions"] = scope["extensions"].copy()
        else:
            scope["http_version"] = request.version
            scope["extensions"] = extensions.announced(self, scope["extensions"])
            if self.origin is not None:
                origins.fill_scope(scope, self, self.origin)
        if adapter.lifespan.supported:
            scope["state"] = adapter.lifespan.state.copy()
        self.body_taken = False
        self.unyielded = 0
        group = connection.group
        if _EAGER:
            self.suspended = False
            self.task = _Task(
                self._run(scope), loop=group.loop, context=group.context.copy(), eager_start=True
            )
            if self.state is not _DONE:
                self.suspended = True
                if self.state is _HELD:
                    group.loop.call_soon(self.flush)
        else:
            self.suspended = True
            self.task = _Task(self._run(scope), loop=group.loop, context=group.context.copy())

    async def _run(self, scope: dict[str, Any]) -> None:
        outbox = self.connection.group.outbox
        if not outbox.open or monotonic() > outbox.until:
            outbox.begin()
        try:
            await self.app(scope, self.receive, self.send)
            if self.state is not _DONE:
                self._incomplete()
        except asyncio.CancelledError:
            self._cancelled()
        except BaseException as error:  # sys.exit() in a view must not end the worker
            self._raised(error)
        finally:
            self.connection.group.left(self)

    async def receive(self) -> Message:
        """The ASGI `receive`: the request's body, then the disconnect."""
        while True:
            if self.received:
                if not self.body_taken and self.state is not _DONE:
                    self.body_taken = True
                    return {"type": "http.request", "body": self.take_body(), "more_body": False}
            elif self.buffered:
                return {"type": "http.request", "body": self.take_body(), "more_body": True}
            if self.disconnected or self.state is _DONE or self.state is _BROKEN:
                self.give_up()
                return {"type": "http.disconnect"}
            self.send_continue()
            await self.changed()

    async def send(self, message: Message) -> None:
        """The ASGI `send`; raises `ClientDisconnectedError` (an OSError) when the client is gone."""
        kind = message["type"]
        if self.state is _FILE:
            await self.file_sent()
        if kind == "http.response.start":
            if self.state is _HELD:
                raise ResponseError("http.response.start was already sent")
            self.start(message["status"], message.get("headers", ()))
            if message.get("trailers"):
                self.expect_trailers()
            if self.suspended:
                # Soon: its client may wait for the head alone.
                self.connection.group.loop.call_soon(self.flush)
        elif kind == "http.response.body":
            body = message.get("body", b"")
            if body.__class__ is not bytes:
                body = _as_bytes(body)
            if not message.get("more_body", False):
                self.write(body)
                return
            self.write(body, more=True)
            # A transport may take all that it is given: an application that only ever sends must
            # not keep the loop from everybody else.
            self.unyielded += len(body) + _CHUNK_COST
            if self.unyielded > _TURN or not self.connection.writable:
                self.unyielded = 0
                await self.drained()
        else:
            await extensions.send(self, kind, message)

    def on_body(self) -> None:
        self.wake()

    def cancel(self) -> None:
        self.task.cancel()

    def where(self) -> str:
        return task_stack(self.task)

    def _incomplete(self) -> None:
        if self.disconnected:
            self.break_off()
            return
        what = "without a response" if self.state is _WAITING else "before its response was complete"
        logger.error("the application returned %s: %s", what, self.line())
        self.fail()

    def _cancelled(self) -> None:
        if not self.disconnected and self.state is not _DONE and self.state is not _BROKEN:
            # The server tells it of a disconnect before.
            logger.error("the application has cancelled itself: %s", self.line())
        self.fail()

    def _raised(self, error: BaseException) -> None:
        if self.disconnected and comes_of_disconnect(error):
            logger.debug("the client has gone: %s", self.line(), exc_info=error)
            self.break_off()
            return
        log_exception(self.line(), error)
        if self.state is not _DONE:
            self.fail()


class ASGIAdapter(ExchangeAdapter):
    """Serves an ASGI application.

    app: the application. interface: "asgi3" or "asgi2". lifespan: "auto", "on" or "off".
    root_path: where it is mounted, without a slash at the end. hooks: what to call around each request.
    """

    def __init__(
        self,
        app: Any,
        interface: Interface,
        *,
        loop: asyncio.AbstractEventLoop,
        lifespan: str,
        root_path: str,
        hooks: RequestHooks | None = None,
    ) -> None:
        self.exchange_factory: ExchangeFactory
        self._interface = interface
        application: ASGIApp = _single_callable(app) if interface == "asgi2" else app
        self.root_path = root_path.rstrip("/")
        self.lifespan = Lifespan(application, lifespan)

        class BoundExchange(ASGIExchange):
            """What all exchanges share stands in their class, not in each of them."""

            __slots__ = ()

        BoundExchange.app = staticmethod(application)
        BoundExchange.adapter = self
        self.exchange_factory = BoundExchange if hooks is None else hooks.asgi(BoundExchange)
        self._app = application
        self._hooks = hooks
        self._websocket_class: ExchangeFactory | None = None

    def websocket_factory(self, connection: Http1Connection, request: RequestHead) -> Exchange:
        """The exchange of a request that begins a WebSocket; raises `RequestRefusedError`."""
        if self._websocket_class is None:
            self._websocket_class = self.websocket_class()
        return self._websocket_class(connection, request)

    def websocket_class(self) -> ExchangeFactory:
        """The class of such exchanges, imported only where there are any."""
        from aserve.adapters.websocket import ASGIWebSocket

        class BoundWebSocket(ASGIWebSocket):
            """As BoundExchange."""

            __slots__ = ()

        BoundWebSocket.app = staticmethod(self._app)
        BoundWebSocket.adapter = self
        return BoundWebSocket if self._hooks is None else self._hooks.asgi(BoundWebSocket)

    async def startup(self) -> None:
        """Run the lifespan start-up; raises `LifespanError`."""
        await self.lifespan.startup()

    async def shutdown(self) -> None:
        """Run the lifespan shutdown."""
        await self.lifespan.shutdown()

    @property
    def held_since(self) -> float:
        """No request keeps the others from being worked on."""
        return inf

    @property
    def queue(self) -> None:
        """No request waits for the application."""
        return None

    def describe(self) -> str:
        """The interface as the log names it."""
        return self._interface

    def below_root(self, path: bytes) -> bytes:
        """The path with the mount point in front; a proxy may or may not have taken it off."""
        root = self.root_path.encode()
        if path == root or path.startswith(root + b"/"):
            return path
        return root + path

    def scope(self, connection: Http1Connection, request: RequestHead) -> dict[str, Any]:
        """What a scope says of the connection, and of a request's first line."""
        scope = (connection.template or self.template(connection)).copy()
        target = request.target
        if target[:1] == b"/":
            path, _, query = target.partition(b"?")
        else:
            path, query = split_target(target)
        if self.root_path:
            path = self.below_root(path)
        scope["method"] = request.method
        scope["raw_path"] = path
        scope["query_string"] = query
        scope["path"] = (unquote_to_bytes(path) if PERCENT in path else path).decode(errors="replace")
        return scope

    def template(self, connection: Http1Connection) -> dict[str, Any]:
        """The part of the scope that all requests of a connection have in common."""
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "2.0" if self._interface == "asgi2" else "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "scheme": "http",
            "root_path": self.root_path,
            "client": connection.client,
            "server": connection.server,
            "extensions": extensions.COMMON,
        }
        info = connection.tls_info()
        if info is not None:
            scope["scheme"] = "https"
            scope["extensions"] = {**extensions.COMMON, "tls": info.extension()}
        connection.template = scope
        return scope


def _as_bytes(body: object) -> bytes:
    """The bytes of another kind of buffer, which the application may change while they wait."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise ResponseError(f"the body of a response is bytes, not {type(body).__name__}")


def comes_of_disconnect(error: BaseException | None) -> bool:
    """Whether an exception is what an application makes of a client that has gone, not a fault."""
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return all(comes_of_disconnect(each) for each in error.exceptions)
        if isinstance(error, OSError) or type(error).__name__ in _DISCONNECTS:
            return True
        error = error.__cause__ or error.__context__
    return False


def _single_callable(app: Any) -> ASGIApp:
    """An ASGI 2 application, `app(scope)(receive, send)`, as a single callable."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await app(scope)(receive, send)

    return application
