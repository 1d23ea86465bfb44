"""WebSockets through nginx, configured as the documentation has it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Serve
from tests.proxies.conftest import StartNginx, documented
from tests.support.client import request
from tests.support.websocket import WebSocketClient, closing

_APP = """
import json

async def app(scope, receive, send):
    shown = {name: scope[name] for name in ("type", "scheme", "client", "path")}
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": json.dumps(shown).encode()})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(shown)})
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})
"""


async def test_documented_configuration(
    serve: Serve, start_nginx: StartNginx, app_dir: Path, tmp_path: Path
) -> None:
    (app_dir / "main.py").write_text(_APP)
    server = serve("--lifespan", "off", "main:app", bind=f"unix:{tmp_path}/app.sock")
    http = documented("nginx in front of aserve").replace("unix:/run/app/app.sock", f"unix:{server.target}")
    nginx = start_nginx(http.replace("listen 80;", "listen LISTEN;"))
    async with WebSocketClient(nginx.target) as client:
        await client.open("/chat")
        shown = json.loads((await client.read_frame()).text)
        assert shown == {"type": "websocket", "scheme": "ws", "client": ["127.0.0.1", 0], "path": "/chat"}
        assert await client.ask_text("gr\u00fc\u00df dich" * 1000) == "gr\u00fc\u00df dich" * 1000
        await client.send(closing(1000))
        assert await client.read_end() == (1000, "")
    async with WebSocketClient(nginx.target) as client:
        # Another protocol is not offered on: the connection to aserve is kept.
        response = await client.ask(request("GET", "/", [("Upgrade", "h2c"), ("Connection", "Upgrade")]))
        assert json.loads(response.body)["type"] == "http"
