"""Two chat rooms that do the same: `fastapi` by FastAPI's routes, `starlette` by an endpoint class."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, WebSocket, WebSocketDisconnect, WebSocketException
from fastapi.responses import HTMLResponse
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute

PAGE = """<!DOCTYPE html><script>
const said = [];
const socket = new WebSocket(`ws://${location.host}/echo`, ["other", "chat"]);
socket.binaryType = "arraybuffer";
socket.onopen = () => {
  said.push(socket.protocol, socket.extensions);
  socket.send("gr\\u00fc\\u00df dich");
};
socket.onmessage = event => {
  if (typeof event.data === "string") {
    said.push(event.data);
    socket.send(new Uint8Array(100000).fill(7));
  } else {
    said.push(event.data.byteLength, new Uint8Array(event.data).every(byte => byte === 7));
    socket.close(4000, "enough");
  }
};
socket.onclose = event => {
  said.push(event.code, event.reason, event.wasClean);
  fetch("/report", {method: "POST", body: JSON.stringify(said)});
};
</script>"""

reports: list[str] = []


fastapi = FastAPI()


def user(token: str = "") -> str:
    """A dependency that denies."""
    if token != "secret":
        raise WebSocketException(1008, "who are you?")
    return "somebody"


@fastapi.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@fastapi.post("/report")
async def report(request: Request) -> None:
    reports.append((await request.body()).decode())


@fastapi.get("/report")
async def reported() -> list[str]:
    """What pages have reported since this was asked last."""
    found = reports.copy()
    reports.clear()
    return found


@fastapi.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept("chat" if "chat" in socket.scope["subprotocols"] else None)
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"], message["reason"])
            if (text := message.get("text")) is not None:
                await socket.send_text(text)
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        pass


@fastapi.websocket("/careless")
async def careless(socket: WebSocket) -> None:
    """As in many tutorials: the disconnect is an exception that nobody catches."""
    await socket.accept()
    while True:
        await socket.send_json(await socket.receive_json())


@fastapi.websocket("/guarded")
async def guarded(socket: WebSocket, name: Annotated[str, Depends(user)]) -> None:
    await socket.accept()
    await socket.send_text(f"hello {name}")
    await socket.close(4001, "bye")


@fastapi.websocket("/denied")
async def denied(socket: WebSocket) -> None:
    await socket.send_denial_response(PlainTextResponse("not today", 418, {"x-why": "tea"}))


class Echo(WebSocketEndpoint):
    """The same by a class."""

    encoding = None

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept("chat" if "chat" in websocket.scope["subprotocols"] else None)

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        if isinstance(data, str):
            await websocket.send_text(data)
        else:
            await websocket.send_bytes(data)


starlette = Starlette(routes=[WebSocketRoute("/echo", Echo)])
