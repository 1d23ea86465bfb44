"""ASGI extensions: what an application may send besides the start and the body of a response."""

from __future__ import annotations

import os
import stat
from typing import Any, Final

from aserve.protocols.errors import ResponseError
from aserve.protocols.extended import ExtendedExchange

# What is announced to every request of HTTP/1.1.
COMMON: Final[dict[str, dict[str, Any]]] = {
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
    "http.response.early_hint": {},
}


def announced(exchange: ExtendedExchange, common: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The `extensions` of the scope: those that work for this very request.

    common: what all requests of its connection have, which is `COMMON` and more.
    """
    found = common.copy()
    if exchange.plain:
        return found
    if exchange.http_version != "1.1":
        del found["http.response.early_hint"]
    elif exchange.takes_trailers and exchange.method != "HEAD":  # else nothing comes behind the head
        found["http.response.trailers"] = {}
    return found


async def send(exchange: ExtendedExchange, kind: str, message: dict[str, Any]) -> None:
    """Send an extension's message of type `kind`.

    Raises `ResponseError` for what is not allowed, or not a message; `ClientDisconnectedError`.
    """
    if kind == "http.response.pathsend":
        await exchange.send_path(message["path"])
    elif kind == "http.response.zerocopysend":
        await _send_descriptor(exchange, message)
    elif kind == "http.response.early_hint":
        links = [(b"link", link) for link in message.get("links", ())]
        if links:
            exchange.inform(103, links)
    elif kind == "http.response.trailers":
        exchange.write_trailers(message.get("headers", ()), message.get("more_trailers", False))
    else:
        raise ResponseError(f"unknown ASGI message {kind!r} in an http scope")
    if not exchange.connection.writable:
        await exchange.drained()


async def _send_descriptor(exchange: ExtendedExchange, message: dict[str, Any]) -> None:
    file, offset, count = message["file"], message.get("offset"), message.get("count")
    try:
        descriptor = file if isinstance(file, int) else file.fileno()
        start = _position(file) if offset is None else offset
        size = _size(exchange, descriptor, start) if count is None else count
    except (OSError, AttributeError, TypeError) as error:
        raise ResponseError(f"cannot send {file!r}: {error}") from error
    if not isinstance(start, int) or not isinstance(size, int) or start < 0 or size < 0:
        raise ResponseError(f"a part of a file has no offset {offset!r} or count {count!r}")
    await exchange.send_file(descriptor, start, size, message.get("more_body", False))
    if offset is None:
        _move(file, start + size)


def _position(file: Any) -> int:
    """Where `file`, an object or a descriptor, is read from next."""
    position: int = os.lseek(file, 0, os.SEEK_CUR) if isinstance(file, int) else file.tell()
    return position


def _move(file: Any, position: int) -> None:
    if isinstance(file, int):
        os.lseek(file, position, os.SEEK_SET)
    else:
        file.seek(position)


def _size(exchange: ExtendedExchange, descriptor: int, offset: int) -> int:
    """Bytes from `offset` to the end of the file, as far as the content-length has room for them."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError("its size is not known: give a count")
    return exchange.room_for(max(0, found.st_size - offset))
