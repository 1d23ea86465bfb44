"""The WSGI environ (PEP 3333, environ Variables), from a request."""

from __future__ import annotations

import io
import sys
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from aserve.adapters import origins
from aserve.adapters.errorlog import ErrorStream
from aserve.adapters.wsgi_file import FileWrapper
from aserve.protocols.headers import CACHE_SIZE, LONGEST_CACHED
from aserve.protocols.target import split_target

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange
    from aserve.protocols.http1 import Http1Connection

# Header name, lower-case -> environ key.
_KEYS: Final[dict[bytes, str]] = {}

_WITHOUT_HTTP: Final = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}


def template(
    connection: Http1Connection, script_name: str, *, multithread: bool, multiprocess: bool
) -> dict[str, Any]:
    """The part of the environ that all requests of a connection have in common."""
    environ: dict[str, Any] = {
        "SCRIPT_NAME": script_name.encode(errors="surrogateescape").decode("latin-1"),
        # Each request's own, which only gives the copies their final size.
        **dict.fromkeys(("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REQUEST_URI"), ""),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "aserve",
        "REMOTE_ADDR": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": ErrorStream(),
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }
    name, port = connection.server or ("", None)
    if port is not None:  # a Unix socket has neither, see `_name_server`
        environ["SERVER_NAME"], environ["SERVER_PORT"] = origins.server_name(name), str(port)
    info = connection.tls_info()
    if info is not None:
        environ["wsgi.url_scheme"] = "https"
        environ |= info.variables()
    if connection.client is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = (
            connection.client[0],
            str(connection.client[1]),
        )
    return environ


def fill(environ: dict[str, Any], exchange: Exchange) -> None:
    """Add what belongs to one request. Strings are latin-1, as PEP 3333 has it."""
    environ["REQUEST_METHOD"] = exchange.method
    origin = exchange.origin
    if origin is not None:
        environ["SCRIPT_NAME"] = origins.script_name(origin, environ["SCRIPT_NAME"])
    fill_target(environ, exchange.target)
    if exchange.http_version != "1.1":
        environ["SERVER_PROTOCOL"] = f"HTTP/{exchange.http_version}"
    for name, value in exchange.headers:
        key = _KEYS.get(name)
        if key is None:
            key = _key(name)
        if key in environ:
            # One value, as RFC 9110 §5.3 joins them; cookies as RFC 9113 §8.2.3 does.
            environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + value.decode("latin-1")
        else:
            environ[key] = value.decode("latin-1")
    if origin is not None:
        origins.fill_environ(environ, origin)
    if "SERVER_NAME" not in environ:
        _name_server(environ)


def fill_target(environ: dict[str, Any], target: bytes) -> None:
    """Put what belongs to a request's target into an environ that has its SCRIPT_NAME already."""
    raw = target.decode("latin-1")
    if raw[:1] == "/":
        path, _, query = raw.partition("?")
    else:
        path, query = (part.decode("latin-1") for part in split_target(target))
        if path[:1] != "/":
            path = ""  # `*` or an authority is no path (RFC 3875 §4.1.5)
    environ["QUERY_STRING"] = query
    environ["RAW_URI"] = environ["REQUEST_URI"] = raw
    if "%" in path:
        path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    script_name = environ["SCRIPT_NAME"]
    environ["PATH_INFO"] = path_info(path, script_name) if script_name else path


def tell_length(environ: dict[str, Any], body: IO[bytes], below: int | None) -> None:
    """Say how long a chunked body is that has come as a whole (RFC 9112 §7.1.3, RFC 3875 §4.1.2).

    Most frameworks read as much as CONTENT_LENGTH says, and nothing without it. below: from this size on,
    in bytes, it is chance whether all of a body has come, and nothing is said; None for no such size.
    """
    size = body.seek(0, io.SEEK_END)
    body.seek(0)
    if below is None or size < below:
        environ["CONTENT_LENGTH"] = str(size)
        environ.pop("HTTP_TRANSFER_ENCODING", None)


def path_info(path: str, script_name: str) -> str:
    """The path below the mount point; a proxy may or may not have taken the prefix off."""
    if path == script_name or path.startswith(script_name + "/"):
        return path[len(script_name) :]
    return path


def _name_server(environ: dict[str, Any]) -> None:
    """Give the server the name and the port that the client knows it by: neither may be empty."""
    host = environ.get("HTTP_HOST", "")
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, ""
    environ["SERVER_NAME"] = name or "localhost"
    environ.setdefault("SERVER_PORT", port or ("443" if environ["wsgi.url_scheme"] == "https" else "80"))


def _key(name: bytes) -> str:
    key = _WITHOUT_HTTP.get(name) or _variable(name)
    if len(name) <= LONGEST_CACHED:
        if len(_KEYS) >= CACHE_SIZE:
            _KEYS.clear()
        _KEYS[name] = sys.intern(key)
    return key


def _variable(name: bytes) -> str:
    return "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
