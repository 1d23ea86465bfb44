"""A Socket.IO server: events, answers, rooms, over long polling and over WebSockets."""

from __future__ import annotations

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
app = socketio.ASGIApp(server)


@server.event  # type: ignore[untyped-decorator, unused-ignore]
async def join(sid: str, room: str) -> str:
    await server.enter_room(sid, room)
    return f"joined {room}"


@server.event  # type: ignore[untyped-decorator, unused-ignore]
async def say(_sid: str, message: dict[str, Any]) -> None:
    await server.emit("said", message["text"], room=message["room"])


@server.event  # type: ignore[untyped-decorator, unused-ignore]
async def double(_sid: str, data: bytes) -> bytes:
    return data * 2
