"""A request between Tornado's connection and the handler: what the log, a proxy and a drain need of it."""

from __future__ import annotations

import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from tornado import httputil
from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.forwarded import Origin, resolve

if TYPE_CHECKING:
    from asyncio import Future

    from aserve.adapters.tornado_group import TornadoGroup
    from aserve.adapters.tornado_stream import Stream
    from aserve.protocols.options import ConnectionOptions

_SWITCHING_PROTOCOLS = 101


class Request(httputil.HTTPMessageDelegate):
    """Takes what Tornado reads of a request, and hands it to the application."""

    def __init__(self, group: TornadoGroup, server_connection: object, connection: HTTP1Connection) -> None:
        self._group = group
        self._server_connection = server_connection
        self._connection = connection
        self._delegate: httputil.HTTPMessageDelegate

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> Awaitable[None] | None:
        group = self._group
        exchange = TornadoExchange(
            group, self._connection, cast(httputil.RequestStartLine, start_line), headers
        )
        exchange.connection.at_work = True
        self._delegate = httputil.HTTPMessageDelegate()
        try:
            exchange.apply_origin()
            self._delegate = group.app.start_request(self._server_connection, exchange)
            return self._delegate.headers_received(start_line, headers)
        except httputil.HTTPInputError:
            exchange.note_refusal()
            raise

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()


class Context:
    """Where a request comes from, as a trusted proxy has it; in the place of Tornado's own."""

    def __init__(self, remote_ip: str, protocol: str) -> None:
        self.remote_ip = remote_ip
        self.protocol = protocol

    def __str__(self) -> str:
        return self.remote_ip


class TornadoExchange(httputil.HTTPConnection):
    """The connection that handlers see: Tornado's own, but what passes is noted for the access log.

    To the log it is what an `Exchange` of ours is.
    """

    def __init__(
        self,
        group: TornadoGroup,
        connection: HTTP1Connection,
        start_line: httputil.RequestStartLine,
        headers: httputil.HTTPHeaders,
    ) -> None:
        self._group = group
        self._inner = connection
        self._request_fields = headers
        self._response_fields = httputil.HTTPHeaders()
        self._handler: weakref.ref[RequestHandler] | None = None
        self.connection = cast("Stream", connection.stream)
        self.context: Any = connection.context
        self.origin: Origin | None = None
        self.method = start_line.method
        self.target = start_line.path.encode("latin-1")
        self.http_version = start_line.version.removeprefix("HTTP/")
        self.status = 0
        self.body_sent = 0
        self.started = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def headers(self) -> Iterator[tuple[bytes, bytes]]:
        """The request's fields, with lower-case names."""
        return _as_bytes(self._request_fields)

    @property
    def response_headers(self) -> Iterator[tuple[bytes, bytes]]:
        """The response's fields, with lower-case names."""
        return _as_bytes(self._response_fields)

    def apply_origin(self) -> None:
        """Believe a trusted proxy; raises `HTTPInputError` for what makes no sense."""
        options = self._group.options
        if not self.connection.trusted or options.forwarded_trust is None:
            return
        fields = [(name, value) for name, value in self.headers if name in options.forwarded_fields]
        if not fields:
            return
        try:
            origin = resolve(fields, self.connection.client, options.forwarded_trust)
        except RequestRefusedError as refused:
            raise httputil.HTTPInputError(refused.refusal.text) from None
        self.origin = origin
        inner: Any = self._inner.context
        remote_ip = origin.client[0] if origin.client is not None else inner.remote_ip
        self.context = Context(remote_ip, origin.scheme or inner.protocol)
        if origin.host is not None:
            self._request_fields["Host"] = origin.host.decode("latin-1")

    def note_refusal(self) -> None:
        """Tornado answers with its 400."""
        self.status = 400
        self._log()

    # What Tornado and handlers call

    def write_headers(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
        chunk: bytes | None = None,
    ) -> Future[None]:
        self.status = cast(httputil.ResponseStartLine, start_line).code
        self._response_fields = headers
        if not self._group.keeping and self.status != _SWITCHING_PROTOCOLS:
            # Not Tornado's `no_keep_alive`, which would close WebSockets as well.
            self.connection.ending = True
            self._request_fields.pop("Connection", None)  # it says "keep-alive" to HTTP/1.0 otherwise
            headers["Connection"] = "close"
        _complete(headers, self._group.options)
        self.body_sent += len(chunk or b"")
        return self._inner.write_headers(start_line, headers, chunk)

    def write(self, chunk: bytes) -> Future[None]:
        self.body_sent += len(chunk)
        return self._inner.write(chunk)

    def finish(self) -> None:
        self.connection.answered = True  # before: the connection may be closed in there
        try:
            self._inner.finish()
        finally:
            self._group.requests += 1
            self._log()

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Tornado's own; what a handler sets for itself also tells which one it is."""
        handler = getattr(callback, "__self__", None)
        if isinstance(handler, RequestHandler):
            self._handler = weakref.ref(handler)
        self._inner.set_close_callback(callback)

    def detach(self) -> IOStream:
        """Leave the connection to the handler, mostly for a WebSocket."""
        stream = self.connection
        stream.detached = True
        handler = self._handler() if self._handler is not None else None
        if isinstance(handler, WebSocketHandler):
            stream.websocket = handler
            self._group.websocket_opened(stream)
        return self._inner.detach()

    def _log(self) -> None:
        if self._group.access_log is not None:
            self._group.access_log(self)


def _as_bytes(fields: httputil.HTTPHeaders) -> Iterator[tuple[bytes, bytes]]:
    for name, value in fields.get_all():
        yield name.lower().encode("latin-1"), value.encode("latin-1")


def _complete(headers: httputil.HTTPHeaders, options: ConnectionOptions) -> None:
    """Have the settings' part in a response's fields; Server and Date are Tornado's own otherwise."""
    if options.server_header is None:
        headers.pop("Server", None)
    if not options.date_header:
        headers.pop("Date", None)
    for name, value in options.headers:
        if name.lower() in (b"server", b"date"):
            headers[name.decode()] = value.decode()
        else:
            headers.add(name.decode(), value.decode())
