"""A request's origin, as trusted proxies have told it, in what applications are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from aserve.protocols.forwarded import Origin
from aserve.protocols.target import split_target

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange


def fill_scope(scope: dict[str, Any], exchange: Exchange, origin: Origin) -> None:
    """Put the origin of `exchange` into its ASGI scope, which is complete but for that.

    A forwarded prefix replaces the configured root_path: it says the same, for this very request.
    """
    scope["client"] = origin.client
    if origin.scheme is not None:
        scope["scheme"] = origin.scheme
    server = scope["server"]
    if origin.name is not None:
        scope["server"] = (origin.name, origin.port)
    elif origin.port is not None and server is not None and server[1] is not None:
        scope["server"] = (server[0], origin.port)
    if origin.host is not None:
        others = [field for field in exchange.headers if field[0] != b"host"]
        scope["headers"] = [(b"host", origin.host), *others]
    if origin.prefix:
        path = split_target(exchange.target)[0]
        if path.startswith(b"/") and not is_below(path, origin.prefix):
            path = origin.prefix + path
        scope["root_path"] = unquote_to_bytes(origin.prefix).decode(errors="replace")
        scope["raw_path"] = path
        scope["path"] = unquote_to_bytes(path).decode(errors="replace")


def fill_environ(environ: dict[str, Any], origin: Origin) -> None:
    """Put the origin into a WSGI environ that is complete but for that, and has its SCRIPT_NAME already."""
    address, port = origin.client or ("", 0)
    environ["REMOTE_ADDR"] = address
    if port:
        environ["REMOTE_PORT"] = str(port)
    else:
        environ.pop("REMOTE_PORT", None)
    if origin.scheme is not None:
        environ["wsgi.url_scheme"] = origin.scheme
        if origin.scheme == "https":
            environ["HTTPS"] = "on"
        else:
            environ.pop("HTTPS", None)  # the proxy's own connection may have it
    if origin.name is not None:
        environ["SERVER_NAME"] = server_name(origin.name)
    if origin.port is not None:
        environ["SERVER_PORT"] = str(origin.port)
    if origin.host is not None:
        environ["HTTP_HOST"] = origin.host.decode("latin-1")


def server_name(name: str) -> str:
    """The WSGI SERVER_NAME of an address or a name: IPv6 in brackets, ready for a URL (RFC 3875 §4.1.14)."""
    return f"[{name}]" if ":" in name else name


def script_name(origin: Origin | None, configured: str) -> str:
    """The WSGI SCRIPT_NAME: the forwarded prefix, or else the configured root path."""
    if origin is None or not origin.prefix:
        return configured
    return unquote_to_bytes(origin.prefix).decode("latin-1")


def is_below(path: bytes, prefix: bytes) -> bool:
    """Whether the proxy has left its prefix in the path."""
    return path == prefix or path.startswith(prefix + b"/")
