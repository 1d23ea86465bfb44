"""Applications that send files: by the extensions of ASGI, and by WSGI's file wrapper."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

PATH = os.environ.get("TLS_FILE", "")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
        return
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if scope["path"] == "/pathsend":
        await send({"type": "http.response.pathsend", "path": PATH})
    elif scope["path"] == "/zerocopysend":
        with open(PATH, "rb") as file:
            await send({"type": "http.response.zerocopysend", "file": file, "more_body": True})
            await send({"type": "http.response.zerocopysend", "file": file, "offset": 5, "count": 100_000})
    elif scope["path"] == "/broken":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        raise RuntimeError("deliberate")
    else:
        await send({"type": "http.response.body", "body": scope["scheme"].encode()})


async def websocket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": f"{scope['scheme']} {sorted(scope['extensions'])}"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message.get("bytes") or message["text"].encode()})


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open(PATH, "rb"), 65536)  # type: ignore[no-any-return]
