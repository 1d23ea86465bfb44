"""The WSGI adapter: PEP 3333 applications in a pool of threads."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final

from aserve.adapters import environ as environs
from aserve.adapters.errorlog import log_exception, thread_stack
from aserve.adapters.pool import ThreadPool
from aserve.adapters.wsgi_input import StreamedBody
from aserve.protocols.clock import REASONS
from aserve.protocols.errors import ClientDisconnectedError, ResponseError
from aserve.protocols.exchange import Exchange
from aserve.protocols.group import ExchangeFactory
from aserve.protocols.headers import CACHE_SIZE
from aserve.protocols.states import Response

logger: Final = logging.getLogger("aserve")

ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Bytes of a response that may wait for the loop or the client before the thread has to.
_WRITE_AHEAD: Final = 64 * 1024

# Response header name, as the application gives it -> bytes.
_NAMES: Final[dict[str, bytes]] = {}

# "200 OK" -> the code, and the reason phrase if it is not the standard one.
_STATUSES: Final[dict[str, tuple[int, bytes]]] = {}


class WSGIExchange(Exchange):
    """An exchange whose application runs in a thread.

    The request goes to a thread when its body is complete, or has filled the buffer: slow
    uploads hold no thread. Methods marked "thread" are called there, all others on the loop.
    posted, delivered: body bytes that the thread gave to the loop, and that left for the client.
    thread: the identifier of the thread, 0 before there is one. abandoned: nobody waits for what it
    does any more.
    """

    __slots__ = (
        "abandoned",
        "condition",
        "delivered",
        "head_posted",
        "input",
        "posted",
        "submitted",
        "thread",
    )

    adapter: WSGIAdapter
    app: WSGIApp

    def begin(self) -> None:
        self.submitted = False
        self.abandoned = False
        self.thread = 0
        self.posted = 0
        self.delivered = 0
        self.head_posted = False
        self.condition: threading.Condition | None = None
        if self.received or self.buffered >= self.connection.group.options.body_buffer:
            self._submit()
        else:
            # One of the ways that PEP 3333 allows: ask for the body at once.
            self.send_continue()

    def on_body(self) -> None:
        if not self.submitted:
            if self.connection.exchange is self and (
                self.received or self.buffered >= self.connection.group.options.body_buffer
            ):
                self._submit()
        else:
            self._notify()

    def on_disconnect(self) -> None:
        if self.submitted:
            self._notify()
        else:
            self.connection.group.left(self)

    def on_writable(self) -> None:
        self._notify()

    def cancel(self) -> None:
        """A thread cannot be ended from outside: what it does from now on goes nowhere."""
        self.abandoned = True
        self._notify()

    def where(self) -> str:
        return thread_stack(self.thread)

    def _submit(self) -> None:
        self.submitted = True
        self.input: io.BytesIO | io.BufferedReader
        if self.received:
            self.input = io.BytesIO(self.take_body())
        else:
            self.condition = threading.Condition()
            self.input = io.BufferedReader(StreamedBody(self), 65536)
        self.adapter.pool.submit(self.handle)

    def _notify(self) -> None:
        condition = self.condition
        if condition is not None:
            with condition:
                condition.notify_all()

    def _deliver(self, data: bytes, more: bool) -> None:
        """Write what the thread has posted."""
        self.delivered += len(data)
        if self.abandoned:
            self._notify()
            return
        try:
            self.write(data, more)
        except ClientDisconnectedError:
            pass
        except ResponseError as error:
            logger.error("%s: %s", error, self.line())
            self.fail()
        self._notify()

    def _abandon(self) -> None:
        """The application failed (posted by the thread)."""
        if self.state is not Response.BROKEN and not self.abandoned:
            self.fail()

    def _finish(self, last: bytes | None) -> None:
        """The thread is done; `last` ends the response, if there is to be one."""
        if last is not None:
            self._deliver(last, False)
        self.connection.group.left(self)

    # Thread

    def handle(self) -> None:
        """Run the application (thread)."""
        post = self.adapter.pool.post
        self.thread = threading.get_ident()
        try:
            if self.abandoned or (self.disconnected and self.state is Response.BROKEN):
                last = None  # nobody waits for the answer any more
            else:
                last = self._call()
        except ClientDisconnectedError:
            post(self._abandon)
            last = None
        except BaseException as error:  # sys.exit() in a view must not end the thread
            log_exception(self.line(), error)
            post(self._abandon)
            last = None
        self.thread = 0
        post(self._finish, last)

    def _call(self) -> bytes:
        """Call the application and send what it returns, but for the last piece (thread)."""
        connection = self.connection
        environ = (connection.template or self.adapter.template(connection)).copy()
        environs.fill(environ, self)
        environ["wsgi.input"] = self.input
        result = self.app(environ, self.start_response)
        try:
            if isinstance(result, (list, tuple)):
                self._check_started()
                return _checked(result[0] if len(result) == 1 else b"".join(result))
            for chunk in result:
                if chunk:
                    self._check_started()
                    self.send(chunk)
            self._check_started()
            return b""
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """The WSGI `start_response` (thread).

        status: "200 OK". headers: names and values as latin-1 strings. exc_info: replaces a head
        that was not sent yet, or raises that exception when it is too late for it.
        Returns `write`. Raises `ResponseError` for what PEP 3333 or HTTP does not allow.
        """
        if exc_info is not None:
            try:
                if self.head_posted:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # the frame must not keep the traceback alive
        elif self.state is not Response.WAITING:
            if self.state is Response.BROKEN:
                raise ClientDisconnectedError("the client has disconnected")
            raise ResponseError("start_response was already called")
        code, reason = _STATUSES.get(status) or _status(status)
        self.start(code, _fields(headers), reason)
        return self.send

    def send(self, data: bytes) -> None:
        """Send body bytes (thread): also the `write` that `start_response` returns.

        Waits while the client is slower than the application. Raises `ClientDisconnectedError`.
        """
        if self.condition is None:
            self.condition = threading.Condition()
        self.head_posted = True
        self.posted += len(_checked(data))
        self.adapter.pool.post(self._deliver, data, True)
        self._wait(self._has_room)
        if self.abandoned or (self.disconnected and self.state is Response.BROKEN):
            raise ClientDisconnectedError("the client has disconnected")

    def next_chunk(self) -> bytes:
        """More of the request's body, b"" at its end (thread); raises `ClientDisconnectedError`."""
        self._wait(self._has_body)
        if not self.received and (self.disconnected or self.state is Response.BROKEN):
            raise ClientDisconnectedError("the client disconnected before its request was complete")
        done = threading.Event()
        taken: list[bytes] = []

        def take() -> None:
            taken.append(self.take_body())
            done.set()

        # The loop's own data: have the loop hand it out.
        self.adapter.pool.post(take)
        done.wait()
        return taken[0]

    def _wait(self, ready: Callable[[], bool]) -> None:
        if not ready():
            assert self.condition is not None
            with self.condition:
                self.condition.wait_for(ready)

    def _has_room(self) -> bool:
        return (
            self.abandoned
            or self.state is Response.BROKEN
            or (
                self.posted - self.delivered <= _WRITE_AHEAD
                and (self.connection.writable or self.posted != self.delivered)
            )
        )

    def _has_body(self) -> bool:
        return self.received or self.buffered > 0 or self.disconnected or self.state is Response.BROKEN

    def _check_started(self) -> None:
        if self.state is Response.WAITING:
            raise ResponseError("the application returned without calling start_response")


class WSGIAdapter:
    """Serves a WSGI application.

    app: the application. root_path: SCRIPT_NAME. threads: size of the pool.
    multiprocess: what `wsgi.multiprocess` says.
    """

    def __init__(
        self,
        app: WSGIApp,
        *,
        loop: asyncio.AbstractEventLoop,
        root_path: str,
        threads: int,
        multiprocess: bool,
    ) -> None:
        self.exchange_factory: ExchangeFactory
        self.websocket_factory: ExchangeFactory | None = None
        self.pool = ThreadPool(loop, threads)
        self._threads = threads
        self._script_name = root_path.rstrip("/")
        self._multiprocess = multiprocess

        class BoundExchange(WSGIExchange):
            """What all exchanges share stands in their class, not in each of them."""

            __slots__ = ()

        BoundExchange.app = staticmethod(app)
        BoundExchange.adapter = self
        self.exchange_factory = BoundExchange

    async def startup(self) -> None:
        """Start the threads."""
        self.pool.start()

    async def shutdown(self) -> None:
        """End the threads."""
        self.pool.close()

    def describe(self) -> str:
        """The interface as the log names it."""
        return f"wsgi, {self._threads} threads"

    def template(self, connection: Any) -> dict[str, Any]:
        """The part of the environ that all requests of a connection have in common."""
        environ = environs.template(connection, self._script_name, self._multiprocess)
        connection.template = environ
        return environ


def _checked(data: object) -> bytes:
    if not isinstance(data, bytes):
        raise ResponseError(f"a WSGI application yields bytes, not {type(data).__name__}")
    return data


def _status(status: object) -> tuple[int, bytes]:
    """Code and reason phrase of "200 OK" (see `_STATUSES`); raises `ResponseError`."""
    if isinstance(status, str):
        code, phrase = status[:3], status[4:].strip()
        if code.isascii() and code.isdigit() and status[3:4] in ("", " ") and phrase.isprintable():
            reason = phrase.encode("latin-1", "replace")
            if len(_STATUSES) >= CACHE_SIZE:
                _STATUSES.clear()
            number = int(code)
            _STATUSES[status] = number, b"" if reason == REASONS.get(number) else reason
            return _STATUSES[status]
    raise ResponseError(f"invalid response status: {status!r}")


def _fields(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """The headers as bytes; raises `ResponseError` for what is no latin-1 string."""
    try:
        return [(_NAMES.get(name) or _name(name), value.encode("latin-1")) for name, value in headers]
    except (AttributeError, TypeError, ValueError):
        raise ResponseError(f"response headers are pairs of latin-1 strings, not {headers!r}") from None


def _name(name: str) -> bytes:
    encoded = name.encode("latin-1")
    if len(_NAMES) >= CACHE_SIZE:
        _NAMES.clear()
    _NAMES[name] = encoded
    return encoded
