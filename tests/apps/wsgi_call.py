"""What the raw WSGI application's routes work with."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.types import StartResponse, WSGIEnvironment

from .shared import DeliberateError, journal

Handler = Callable[["Call"], Iterable[bytes]]

routes: dict[str, Handler] = {}


class Call:
    """A request on its way through a handler."""

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse, key: str) -> None:
        self.environ, self.start_response, self.key = environ, start_response, key
        self.query = dict(parse_qsl(environ["QUERY_STRING"]))
        self.input: io.BufferedIOBase = environ["wsgi.input"]

    def start(
        self, status: str = "200 OK", *headers: tuple[str, str], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Call start_response."""
        return self.start_response(status, list(headers), exc_info)

    def answer(self, data: Any, status: str = "200 OK") -> list[bytes]:
        """Return a whole response: bytes as they are, anything else as JSON."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        kind = "text/plain" if isinstance(data, bytes) else "application/json"
        self.start(status, ("Content-Type", kind), ("Content-Length", str(len(body))))
        return [body]

    def text(self, status: str = "200 OK") -> Callable[[bytes], object]:
        """Start a text whose length is not told."""
        return self.start(status, ("Content-Type", "text/plain"))


class Noted:
    """A response iterable that notes when it is closed."""

    def __init__(self, parts: Iterable[bytes], key: str, *, fails: bool = False) -> None:
        self._parts, self._key, self._fails = iter(parts), key, fails

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        journal.note(f"closed-{self._key}")
        if self._fails:
            raise DeliberateError("in close")


def route(prefix: str) -> Callable[[Handler], Handler]:
    """Register a handler for a path's first segment; the second one is its key."""

    def register(handler: Handler) -> Handler:
        routes[prefix] = handler
        return handler

    return register
