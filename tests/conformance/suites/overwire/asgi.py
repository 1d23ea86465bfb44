"""Starlette's TestClient, which is FastAPI's too, over the wire."""

from __future__ import annotations

import contextlib
import weakref
from typing import Any

import h11
from starlette import testclient

import aserve

from .body import Body
from .client import Connection
from .passage import Passage
from .running import Running
from .server import WireServer
from .websocket import WebSocketSession

httpx: Any = testclient.httpx  # type: ignore[attr-defined]  # whichever of its two names it has here

PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def patch(running: Running) -> None:
    """Have all test clients speak to servers of `running`."""
    clients: weakref.WeakKeyDictionary[Any, WireServer] = weakref.WeakKeyDictionary()

    def server_of(transport: Any) -> WireServer:
        """The one that runs the lifespan, inside of `with`; otherwise one for this test."""
        entered = clients.get(transport)
        return entered or running.server(transport, transport.app, "asgi", root_path=transport.root_path)

    def handle_request(transport: Any, request: Any) -> Any:
        passage = Passage(_amend(transport, request))
        server = server_of(transport)
        if request.url.scheme in ("ws", "wss"):
            headers = list(request.headers.raw)
            connection = server.connect(passage, fresh=True)
            session = WebSocketSession(connection, passage, request.url.raw_path, headers)
            raise testclient._Upgrade(session)
        connection = server.connect(passage)
        headers = [*request.headers.raw, (b"TE", b"trailers")]
        connection.send(request.method, request.url.raw_path, headers, request.read())
        return _response(transport, request, server, connection, passage)

    def enter(client: Any) -> Any:
        transport = client._transport
        server = WireServer(
            running.thread, transport.app, "asgi", lifespan="on", root_path=transport.root_path
        )
        try:
            server.start()
        except aserve.BootError as error:
            raise error.__cause__ or error from None
        clients[transport] = server
        client.app_state.update(server.state)
        return client

    def leave(client: Any, *args: object) -> None:
        client._transport.close()
        clients.pop(client._transport).stop()

    transport_class: Any = testclient._TestClientTransport
    client_class: Any = testclient.TestClient
    transport_class.handle_request = handle_request
    client_class.__enter__ = enter
    client_class.__exit__ = leave


def _amend(transport: Any, request: Any) -> Any:
    """Changes the scope: whom the test wants the application to see, which is nobody of this machine."""
    url = request.url
    port = PORTS[url.scheme] if url.port is None else url.port
    server = [url.raw_host.decode("ascii"), port]

    def amend(scope: dict[str, Any]) -> None:
        scope["client"] = transport.client
        scope["server"] = server
        scope["scheme"] = url.scheme  # there is no TLS between the two
        if scope["type"] == "http":
            scope["headers"] = [pair for pair in scope["headers"] if pair != (b"te", b"trailers")]
        scope["extensions"] = {**scope.get("extensions", {}), "http.response.debug": {}}

    return amend


class _Stream(Body, httpx.SyncByteStream):  # type: ignore[misc]
    """Such a body, as httpx wants it."""


def _response(
    transport: Any, request: Any, server: WireServer, connection: Connection, passage: Passage
) -> Any:
    try:
        head = connection.head()
    except h11.RemoteProtocolError as error:
        connection.close()
        raise passage.wait() or httpx.RemoteProtocolError(str(error)) from None
    extensions: dict[str, Any] = {"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason}
    stream = _Stream(
        server,
        connection,
        passage,
        raises=transport.raise_server_exceptions,
        on_end=lambda body: transport._open_requests.discard(body.close),
    )
    transport._open_requests.add(stream.close)
    body: Any = stream
    if passage.entered and not passage.started:
        with contextlib.closing(body):
            content = b"".join(body)  # raises what the application has raised
        assert not transport.raise_server_exceptions, "TestClient did not receive any response."
        body = httpx.ByteStream(content)
    response = httpx.Response(
        head.status_code,
        headers=head.headers.raw_items(),
        stream=body,
        extensions=extensions,
        request=request,
    )
    if passage.trailers:
        response.extensions["http.response.trailers"] = connection.trailers  # filled at the body's end
    _debug(response, passage)
    return response


def _debug(response: Any, passage: Passage) -> None:
    if passage.debug is not None:
        response.extensions["http.response.debug"] = passage.debug
        for name in ("template", "context"):
            if name in passage.debug:
                setattr(response, name, passage.debug[name])
