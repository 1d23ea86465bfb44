"""The request as gunicorn's hooks see it, and what becomes of what they change in it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from aserve.adapters.environ import path_info
from aserve.adapters.origins import is_below
from aserve.protocols.exchange import Exchange
from aserve.protocols.target import split_target

_VERSIONS: Final = {"1.0": (1, 0), "1.1": (1, 1)}
_WEBSOCKETS: Final = {"http": "ws", "https": "wss"}


class _Changeable(NamedTuple):
    """What a hook may change for the application; gunicorn makes the environ of it afterwards."""

    method: str
    uri: str
    path: str
    query: str
    scheme: str
    headers: tuple[tuple[str, str], ...]


class HookRequest:
    """The `req` of hooks, with the names of gunicorn's. It is the same object before and after.

    method, uri (the target as it came), path and query (still percent-encoded), fragment, version
    ((1, 1)), headers (names in capitals, and values), scheme; peer_addr: who has connected,
    remote_addr: whom a trusted proxy has named, else the same.
    """

    def __init__(self, exchange: Exchange) -> None:
        path, query = split_target(exchange.target)
        origin = exchange.origin
        self.method = exchange.method
        self.uri = exchange.target.decode("latin-1")
        self.path = path.decode("latin-1")
        self.query = query.decode("latin-1")
        self.fragment = ""
        self.version = _VERSIONS.get(exchange.http_version, (1, 1))
        self.headers = [
            (name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in exchange.headers
        ]
        self.scheme = (origin.scheme if origin is not None else None) or exchange.connection.scheme
        self.peer_addr = exchange.connection.client or ""
        self.remote_addr = (origin.client or "") if origin is not None else self.peer_addr
        self._given = self._now()

    def change_environ(self, environ: dict[str, Any]) -> None:
        """Have a WSGI application see what the first hook has changed."""
        now = self._now()
        if now == self._given:
            return
        given = self._given
        environ["REQUEST_METHOD"] = now.method
        environ["QUERY_STRING"] = now.query
        environ["RAW_URI"] = environ["REQUEST_URI"] = now.uri
        if now.path != given.path:
            path = unquote_to_bytes(now.path.encode("latin-1")).decode("latin-1")
            environ["PATH_INFO"] = path_info(path, environ["SCRIPT_NAME"])
        if now.scheme != given.scheme:
            environ["wsgi.url_scheme"] = now.scheme
            environ.pop("HTTPS", None)
            if now.scheme == "https":
                environ["HTTPS"] = "on"
        for name, values in _changes(given.headers, now.headers).items():
            key = name.replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            environ.pop(key, None)
            if values:
                environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)

    def change_scope(self, scope: dict[str, Any]) -> None:
        """The same for an ASGI application."""
        now = self._now()
        if now == self._given:
            return
        given = self._given
        if "method" in scope:  # WebSockets have none
            scope["method"] = now.method
        scope["query_string"] = now.query.encode("latin-1")
        if now.path != given.path:
            path, root = now.path.encode("latin-1"), scope["root_path"].encode()
            if root and not is_below(path, root):
                path = root + path
            scope["raw_path"] = path
            scope["path"] = unquote_to_bytes(path).decode(errors="replace")
        if now.scheme != given.scheme:
            websocket = scope["type"] == "websocket"
            scope["scheme"] = _WEBSOCKETS.get(now.scheme, now.scheme) if websocket else now.scheme
        if changes := _changes(given.headers, now.headers):
            names = {name.lower().encode("latin-1"): values for name, values in changes.items()}
            scope["headers"] = [
                *(field for field in scope["headers"] if field[0] not in names),
                *((name, value.encode("latin-1")) for name, values in names.items() for value in values),
            ]

    def _now(self) -> _Changeable:
        headers = tuple((str(name).upper(), str(value)) for name, value in self.headers)
        return _Changeable(self.method, self.uri, self.path, self.query, self.scheme, headers)


def _changes(before: tuple[tuple[str, str], ...], after: tuple[tuple[str, str], ...]) -> dict[str, list[str]]:
    """Return the new values of each name whose values are others; none if it is gone."""
    if before == after:
        return {}
    old, new = _by_name(before), _by_name(after)
    return {name: new.get(name, []) for name in {**old, **new} if old.get(name) != new.get(name)}


def _by_name(fields: tuple[tuple[str, str], ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return found
