"""Werkzeug's test client, which is Flask's too, over the wire."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import h11
from werkzeug import test
from werkzeug.datastructures import Headers

from .client import Connection, Fields
from .passage import Passage
from .running import Running
from .server import WireServer

# What an environ has of HTTP, besides HTTP_*: the server makes these from the bytes.
ON_THE_WIRE = frozenset(
    "REQUEST_METHOD PATH_INFO QUERY_STRING REQUEST_URI RAW_URI CONTENT_TYPE CONTENT_LENGTH SERVER_PROTOCOL "
    "wsgi.input wsgi.version wsgi.multithread wsgi.multiprocess wsgi.run_once wsgi.input_terminated".split()
)


def patch(running: Running) -> None:
    """Have all test clients speak to servers of `running`."""

    def run_wsgi_app(app: Any, environ: Any, buffered: bool = False) -> tuple[Iterable[bytes], str, Headers]:
        environ = test._get_environ(environ)
        passage = Passage(_amend(environ))
        server = running.server(app, app, "wsgi")
        connection = server.connect(passage)
        connection.send(environ["REQUEST_METHOD"], _target(environ), _headers(environ), _body(environ))
        try:
            head = connection.head()
        except h11.RemoteProtocolError:
            connection.close()
            raise passage.wait() or AssertionError("no response") from None
        body = _Body(server, connection, passage)
        reason = bytes(head.reason).decode("latin-1")
        headers = Headers([(n.decode("latin-1"), v.decode("latin-1")) for n, v in head.headers.raw_items()])
        if head.status_code == 500:
            passage.wait()
        if buffered or passage.error is not None:
            return list(body), f"{head.status_code} {reason}", headers
        return body, f"{head.status_code} {reason}", headers

    test.run_wsgi_app = run_wsgi_app


class _Body:
    """The response's body, as it comes, and then what the application has raised."""

    def __init__(self, server: WireServer, connection: Connection, passage: Passage) -> None:
        self._server = server
        self._connection = connection
        self._passage = passage
        self._open = True
        self._parts = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def __next__(self) -> bytes:
        return next(self._parts)

    def _read(self) -> Iterator[bytes]:
        broken: Exception | None = None
        try:
            yield from self._connection.body()
        except h11.RemoteProtocolError as error:
            broken = error
        self._end(broken)

    def close(self) -> None:
        """The client wants no more of it."""
        if self._open:
            self._connection.close()
            self._end(None)

    def _end(self, broken: Exception | None) -> None:
        self._open = False
        error = self._passage.wait()
        if broken is None and self._connection.socket.fileno() >= 0:
            self._server.give_back(self._connection)
        else:
            self._connection.close()
        if error is not None:
            raise error
        if broken is not None:
            raise broken


def _amend(environ: dict[str, Any]) -> Any:
    """Adds to the server's environ what the test has put into its own, and no request can say."""
    beside = {
        key: value
        for key, value in environ.items()
        if key not in ON_THE_WIRE
        and not key.startswith("HTTP_")
        and not (key == "wsgi.errors" and value is sys.stderr)
    }
    root: str = environ.get("SCRIPT_NAME", "")

    def amend(served: dict[str, Any]) -> None:
        served["PATH_INFO"] = served["PATH_INFO"].removeprefix(root)
        served.update(beside)

    return amend


def _target(environ: dict[str, Any]) -> bytes:
    path = quote(
        (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), "/:@!$&'()*+,;="
    )
    query = quote(environ.get("QUERY_STRING", "").encode("latin-1"), "/:@!$&'()*+,;=?%[]{}|^`\"<>\\")
    return (path + ("?" + query if query else "")).encode("ascii")


def _headers(environ: dict[str, Any]) -> Fields:
    pairs = [
        (key.removeprefix("HTTP_"), environ[key])
        for key in environ
        if key.startswith("HTTP_") or (key in ("CONTENT_TYPE", "CONTENT_LENGTH") and environ[key])
    ]
    return [
        (key.replace("_", "-").title().encode("latin-1"), str(value).encode("latin-1"))
        for key, value in pairs
    ]


def _body(environ: dict[str, Any]) -> bytes:
    stream = environ["wsgi.input"]
    if "HTTP_TRANSFER_ENCODING" in environ:
        return bytes(stream.read())
    return bytes(stream.read(int(environ.get("CONTENT_LENGTH") or 0)))
