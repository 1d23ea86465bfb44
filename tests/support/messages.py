"""Messages for applications to send, and files to send with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.inprocess import Application, Message, Receive, Scope, Send


def start(*fields: tuple[bytes, bytes], status: int = 200, **more: Any) -> Message:
    """The start of a response."""
    return {"type": "http.response.start", "status": status, "headers": list(fields), **more}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    """A body message."""
    return {"type": "http.response.body", "body": data, "more_body": more}


def trailers(*fields: tuple[bytes, bytes], more: bool = False) -> Message:
    """A trailers message."""
    return {"type": "http.response.trailers", "headers": list(fields), "more_trailers": more}


def hints(*links: bytes) -> Message:
    """An early hint."""
    return {"type": "http.response.early_hint", "links": list(links)}


def pathsend(path: Path | str) -> Message:
    """A pathsend message."""
    return {"type": "http.response.pathsend", "path": str(path)}


def filesend(file: Any, **keys: Any) -> Message:
    """A zerocopysend message."""
    return {"type": "http.response.zerocopysend", "file": file, **keys}


def length(size: int) -> tuple[bytes, bytes]:
    """A content-length."""
    return (b"content-length", b"%d" % size)


def sending(*messages: Message) -> Application:
    """An application that sends these."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def content(size: int) -> bytes:
    """Bytes whose place can be told from them."""
    unit = b"".join(b"%07d\n" % number for number in range(min(size, 1 << 20) // 8 + 1))
    return (unit * (size // len(unit) + 1))[:size]
