"""The WSGI adapter: what PEP 3333 says. Where the applications run is the matter of runner.py."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, cast

from aserve.adapters import ExchangeAdapter, wsgi_head
from aserve.adapters import environ as environs
from aserve.adapters.errorlog import UNFINISHED, comes_of, log_exception
from aserve.adapters.forked import end_child
from aserve.adapters.requestqueue import RequestQueue
from aserve.adapters.runner import Runner
from aserve.adapters.wsgi_file import FilePart
from aserve.adapters.wsgi_head import KNOWN
from aserve.protocols.errors import ClientDisconnectedError, ResponseError
from aserve.protocols.extended import ExtendedExchange
from aserve.protocols.filebody import SMALL
from aserve.protocols.group import ExchangeFactory
from aserve.protocols.response import interim_lines
from aserve.protocols.states import Response

if TYPE_CHECKING:
    from aserve.adapters.requesthooks import RequestHooks

logger: Final = logging.getLogger("aserve")

_WAITING = Response.WAITING
_HELD = Response.HELD

ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WSGIExchange(ExtendedExchange):
    """A call of a WSGI application; the classes that say how it is made derive from this.

    What is not marked "on the loop" may be called where the application runs.
    app, adapter, runner: the same for all. kept_environ: only there with `keeping_environ`.
    input: `wsgi.input`, to be set before the call.
    started_once: the application has called `start_response`. room: bytes that its content-length leaves
    for the body.
    """

    __slots__ = ("input", "kept_environ", "room", "started_once")

    app: WSGIApp
    adapter: WSGIAdapter
    runner: Runner
    input: IO[bytes] | io.BufferedReader
    kept_environ: dict[str, Any]
    started_once: bool
    room: int

    @property
    def head_gone(self) -> bool:
        """Whether body bytes have been sent, so that another head would come too late."""
        raise NotImplementedError

    def environ(self) -> dict[str, Any]:
        """The environ for the one call of the application."""
        self.started_once = False
        self.room = sys.maxsize
        connection = self.connection
        request = self.request
        environ = request.prepared
        if environ:
            environ = environ.copy()
        else:
            environ = self._new_environ()
            if request.prepared is not None:
                request.prepared = environ.copy()
        environ["wsgi.input"] = self.input
        environ["wsgi.early_hints"] = self.early_hints
        if not self.plain and self.length < 0 and self.input.seekable():
            below = None if self.runner.whole_bodies else connection.group.options.body_buffer
            environs.tell_length(environ, self.input, below)
        return environ

    def _new_environ(self) -> dict[str, Any]:
        """The part of it that the head says."""
        family = self.request.family
        if family is not None and family.prepared:
            environ = family.prepared.copy()
            environs.fill_target(environ, self.request.target)
        else:
            environ = (self.connection.template or self.adapter.template(self.connection)).copy()
            environs.fill(environ, self)
            if family is not None:
                family.prepared = environ.copy()
        return environ

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """The WSGI `start_response`.

        status: "200 OK". headers: names and values as latin-1 strings. exc_info: replaces a head
        that was not sent yet, or raises that exception when it is too late for it.
        Returns `write`. Raises `ResponseError` for what PEP 3333 or HTTP does not allow.
        """
        if exc_info:
            try:
                if self.head_gone:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # the frame must not keep the traceback alive
        elif self.started_once:
            raise ResponseError("start_response was already called")
        self.started_once = True
        try:
            known = KNOWN.get((status, tuple(headers))) if headers.__class__ is list else None
        except TypeError:
            known = None
        if known is None or self.state is not _WAITING or self.request.method == "CONNECT":
            self._convert_and_start(status, headers)
        else:
            code, fields, head = known
            self.start_known(code, fields, head)
        self.room = self.remaining if self.remaining >= 0 else sys.maxsize
        return self.write_part

    def _convert_and_start(self, status: str, headers: list[tuple[str, str]]) -> None:
        code, reason = wsgi_head.code_and_reason(status)
        fields = wsgi_head.as_bytes(headers)
        self.start(code, fields, reason)
        if not reason and headers.__class__ is list:
            wsgi_head.remember(status, headers, code, fields)

    def write_part(self, data: bytes) -> None:
        """The `write` that `start_response` returns.

        Raises `ClientDisconnectedError`; `ResponseError` for what is not bytes, and past the content-length.
        """
        part = self.part(data)
        if part or not data:
            self.send(part)
        if len(part) < len(data):
            raise ResponseError("write() of more than the content-length says")

    def send(self, data: bytes) -> None:
        """Send body bytes; raises `ClientDisconnectedError`."""
        raise NotImplementedError

    def part(self, data: object) -> bytes:
        """`data` as a part of the body, or what of it the content-length has room for.

        Whoever gets less asks the application for no more (PEP 3333, Handling the Content-Length
        Header). Raises `ResponseError` for what is not bytes, and if there has not been a head.
        """
        if self.runner.in_child:
            end_child(self.line(), None)
        if self.state is _WAITING:
            self.check_started()
        if not isinstance(data, bytes):
            raise ResponseError(f"a WSGI application yields bytes, not {type(data).__name__}")
        size = len(data)
        if size > self.room:
            logger.error("the body is longer than its content-length, and cut off: %s", self.line())
            size = self.room
            data = data[:size]
        self.room -= size
        return data

    def is_alone(self, result: Iterable[bytes]) -> bool:
        """Whether `result` says that it has one piece, whose length then is the content-length."""
        length: Callable[[], int] | None = getattr(result, "__len__", None)
        return length is not None and length() == 1

    def early_hints(self, fields: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        """`wsgi.early_hints`, which is gunicorn's: send a 103 response (RFC 8297) before the response itself.

        fields: names and values, mostly of Link. Does nothing when the head has left, and for a client of
        HTTP/1.0. Raises `ResponseError` for fields that must not be there.
        """
        try:
            pairs = [(wsgi_head.latin_1(name), wsgi_head.latin_1(value)) for name, value in fields]
        except (TypeError, ValueError):
            raise ResponseError("early hints are pairs of latin-1 strings") from None
        interim_lines(pairs)
        if pairs:
            self.hint(pairs)

    def hint(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Have `send_hint` called on the loop."""
        raise NotImplementedError

    def whole(self, result: list[bytes] | tuple[bytes, ...]) -> bytes:
        """The body, if the application has returned it in one go."""
        data = result[0] if len(result) == 1 else b"".join(result)
        if data.__class__ is bytes and len(data) == self.room:
            self.room = 0  # as nearly always
            return data
        return self.part(data)

    def small_file(self, part: FilePart) -> bytes | None:
        """The bytes of a part of a file, if it is small: a large one is for `transmit`."""
        self.check_started()
        size = min(part.size, self.room)
        if size > SMALL:
            return None
        return self.part(os.pread(part.descriptor, size, part.offset))

    def check_started(self) -> None:
        """Raise `ResponseError` unless there has been a head; to be called at the end of each iteration."""
        if self.runner.in_child:
            end_child(self.line(), None)
        if self.state is Response.WAITING:
            raise ResponseError("the application returned without calling start_response")

    def note_failure(self, error: BaseException) -> None:
        """Log what the application has raised, unless it comes of a client that has gone.

        A process that the application has forked ends here.
        """
        if self.runner.in_child:
            end_child(self.line(), error)
        if comes_of(error, ClientDisconnectedError):
            logger.debug("the client has gone: %s", self.line(), exc_info=error)
        else:
            log_exception(self.line(), error)

    # On the loop

    def send_hint(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Send a 103 response, if it is not too late, and there is still somebody who wants it."""
        try:
            self.inform(103, fields)
        except ClientDisconnectedError:
            pass

    async def transmit(self, part: FilePart) -> None:
        """Send a part of a file as the body, or as what of it is still missing; it must be open meanwhile."""
        try:
            await self.send_file(part.descriptor, part.offset, self.room_for(part.size))
        except ClientDisconnectedError:
            pass
        except ResponseError as error:
            logger.error("%s: %s", error, self.line())
            self.fail()

    def deliver(self, data: bytes, more: bool) -> None:
        """Write what the application has sent; it may send what HTTP does not allow."""
        try:
            if more or self.state is not _HELD:
                self.write(data, more)
            else:
                self.write_whole(data)
        except ClientDisconnectedError:
            pass
        except ResponseError as error:
            logger.error("%s: %s", error, self.line())
            self.fail()

    def decline(self) -> None:
        """Answer that there is no time for it, before the application has it."""
        if self.state is Response.WAITING:
            self.turn_away()
        self.leave()

    def leave(self) -> None:
        """The application has nothing more to do for it."""
        if UNFINISHED:
            self.end_lines()
        self.connection.group.left(self)

    def end_lines(self) -> None:
        """What the application has begun to write to the error log is a line: nobody else will end it."""
        template = self.connection.template
        if template is not None:
            template["wsgi.errors"].flush()


class WSGIAdapter(ExchangeAdapter):
    """Serves a WSGI application.

    app: the application. runner: where it runs. root_path: SCRIPT_NAME.
    multiprocess: what `wsgi.multiprocess` says. hooks: what to call around each request.
    """

    def __init__(
        self,
        app: WSGIApp,
        runner: Runner,
        *,
        root_path: str,
        multiprocess: bool,
        hooks: RequestHooks | None = None,
    ) -> None:
        self.exchange_factory: ExchangeFactory
        self.runner = runner
        self._script_name = root_path.rstrip("/")
        self._multiprocess = multiprocess

        base: Any = runner.exchange_class

        class BoundExchange(base):  # type: ignore[misc]
            """What all exchanges share stands in their class, not in each of them."""

            __slots__ = ()

        BoundExchange.app = staticmethod(app)
        BoundExchange.adapter = self
        BoundExchange.runner = runner
        self.exchange_factory = BoundExchange if hooks is None else hooks.wsgi(BoundExchange)

    async def startup(self) -> None:
        """Make the place ready where it runs."""
        self.runner.start()

    async def shutdown(self) -> None:
        """Give that place up."""
        self.runner.close()

    @property
    def held_since(self) -> float:
        """Since when one request keeps all others from being worked on (monotonic seconds), else inf."""
        return self.runner.since

    @property
    def queue(self) -> RequestQueue | None:
        """The requests that wait for a place, if it has a queue."""
        return self.runner.queue

    def describe(self) -> str:
        """The interface as the log names it."""
        return f"wsgi, {self.runner.describe()}"

    def template(self, connection: Any) -> dict[str, Any]:
        """The part of the environ that all requests of a connection have in common."""
        environ = environs.template(
            connection,
            self._script_name,
            multithread=self.runner.multithread,
            multiprocess=self._multiprocess,
        )
        environ["wsgi.input"] = environ["wsgi.early_hints"] = None  # as above: of the size that it will have
        connection.template = environ
        return environ


def close_iterable(result: Any) -> None:
    """Call the `close` of what an application has returned, if there is one."""
    close = getattr(result, "close", None)
    if close is not None:
        close()


def keeping_environ(app: WSGIApp) -> WSGIApp:
    """Wrap `app` so that the exchange has the environ of the call, for access logs that show some of it."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        exchange: WSGIExchange = cast(Any, start_response).__self__  # whose method it is
        exchange.kept_environ = environ
        return app(environ, start_response)

    return call
