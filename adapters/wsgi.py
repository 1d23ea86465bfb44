"""The WSGI adapter: what PEP 3333 says. Where the applications run is the matter of runner.py."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import IO, Any, Final

from aserve.adapters import environ as environs
from aserve.adapters.requestqueue import RequestQueue
from aserve.adapters.runner import Runner
from aserve.protocols.clock import REASONS
from aserve.protocols.errors import ClientDisconnectedError, ResponseError
from aserve.protocols.exchange import Exchange
from aserve.protocols.group import ExchangeFactory
from aserve.protocols.headers import CACHE_SIZE
from aserve.protocols.states import Response

logger: Final = logging.getLogger("aserve")

_WAITING = Response.WAITING

ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Response header, as the application gives it -> bytes.
_FIELDS: Final[dict[object, tuple[bytes, bytes]]] = {}
# Characters of a value that is worth to be remembered.
_LONGEST: Final = 256

# "200 OK" -> the code, and the reason phrase if it is not the standard one.
_STATUSES: Final[dict[str, tuple[int, bytes]]] = {}


class WSGIExchange(Exchange):
    """A call of a WSGI application; the classes that say how it is made derive from this.

    What is not marked "on the loop" may be called where the application runs.
    app, adapter, runner: the same for all. input: `wsgi.input`, to be set before the call.
    """

    __slots__ = ("input",)

    app: WSGIApp
    adapter: WSGIAdapter
    runner: Runner
    input: IO[bytes] | io.BufferedReader

    @property
    def head_gone(self) -> bool:
        """Whether body bytes have been sent, so that another head would come too late."""
        raise NotImplementedError

    def environ(self) -> dict[str, Any]:
        """The environ of this request."""
        connection = self.connection
        environ: dict[str, Any] = (connection.template or self.adapter.template(connection)).copy()
        environs.fill(environ, self)
        environ["wsgi.input"] = self.input
        return environ

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """The WSGI `start_response`.

        status: "200 OK". headers: names and values as latin-1 strings. exc_info: replaces a head
        that was not sent yet, or raises that exception when it is too late for it.
        Returns `write`. Raises `ResponseError` for what PEP 3333 or HTTP does not allow.
        """
        if exc_info is not None:
            try:
                if self.head_gone:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # the frame must not keep the traceback alive
        elif self.state is not Response.WAITING:
            if self.state is Response.BROKEN:
                raise ClientDisconnectedError("the client has disconnected")
            raise ResponseError("start_response was already called")
        code, reason = _STATUSES.get(status) or _status(status)
        known = _FIELDS.get
        try:
            fields = [known(field) or _field(field) for field in headers]
        except TypeError:
            fields = _unusual_fields(headers)
        self.start(code, fields, reason)
        return self.send

    def send(self, data: bytes) -> None:
        """Send body bytes, also as `write` of `start_response`; raises `ClientDisconnectedError`."""
        raise NotImplementedError

    def whole(self, result: list[bytes] | tuple[bytes, ...]) -> bytes:
        """The body, if the application has returned it in one go; closes `result`."""
        try:
            if self.state is _WAITING:
                self.check_started()
            body = result[0] if len(result) == 1 else b"".join(result)
            return body if body.__class__ is bytes else checked(body)
        finally:
            if result.__class__ is not list:  # which has no `close`
                close_iterable(result)

    def check_started(self) -> None:
        """Raise `ResponseError` unless there has been a head; to be asked before the first body bytes."""
        if self.state is Response.WAITING:
            raise ResponseError("the application returned without calling start_response")

    # On the loop

    def deliver(self, data: bytes, more: bool) -> None:
        """Write what the application has sent; it may send what HTTP does not allow."""
        try:
            self.write(data, more)
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
        self.connection.group.left(self)


class WSGIAdapter:
    """Serves a WSGI application.

    app: the application. runner: where it runs. root_path: SCRIPT_NAME.
    multiprocess: what `wsgi.multiprocess` says.
    """

    def __init__(self, app: WSGIApp, runner: Runner, *, root_path: str, multiprocess: bool) -> None:
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
        self.exchange_factory = BoundExchange

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
        environ = environs.template(connection, self._script_name, self._multiprocess)
        environ["wsgi.multithread"] = self.runner.multithread
        self.runner.welcome(connection)
        connection.template = environ
        return environ


def close_iterable(result: Any) -> None:
    """Call the `close` of what an application has returned, if there is one."""
    close = getattr(result, "close", None)
    if close is not None:
        close()


def checked(data: object) -> bytes:
    """`data`, if it can be a part of a body; raises `ResponseError`."""
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


def _unusual_fields(headers: Any) -> list[tuple[bytes, bytes]]:
    """What is no list of tuples may be one of other pairs; raises `ResponseError` otherwise."""
    try:
        return [_field(field) for field in headers]
    except TypeError:
        raise ResponseError(f"response headers are a list of pairs, not {headers!r}") from None


def _field(field: Any) -> tuple[bytes, bytes]:
    """A header as bytes (see `_FIELDS`); raises `ResponseError` if it is no pair of latin-1 strings."""
    try:
        name, value = field
        encoded = name.encode("latin-1"), value.encode("latin-1")
    except (AttributeError, TypeError, ValueError):
        raise ResponseError(f"response headers are pairs of latin-1 strings, not {field!r}") from None
    if len(value) <= _LONGEST and field.__class__ is tuple:
        if len(_FIELDS) >= CACHE_SIZE:
            _FIELDS.clear()
        _FIELDS[field] = encoded
    return encoded
