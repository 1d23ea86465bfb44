"""Applications in each form that the command takes, and addresses other than IPv4's, over real sockets."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve
from tests.support.client import RawClient, request
from tests.support.network import needs_ipv6

FORMS = """
class Application:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        if self.scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                print(phase, flush=True)
                await send({"type": f"lifespan.{phase}.complete"})
            return
        text = f"{self.scope['asgi']['version']} {(await receive())['body'].decode()}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text.encode()})

def application(scope):
    return Application(scope).__call__

async def asgi3(scope, receive, send):
    await application(scope)(receive, send)

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi ", environ["wsgi.input"].read()]

def make_asgi():
    return asgi3

def make_wsgi(config=None):
    return wsgi
"""


@pytest.mark.parametrize(
    ("arguments", "interface", "answer"),
    [
        (["forms:Application"], "asgi2", "2.0 sent"),
        (["forms:application"], "asgi2", "2.0 sent"),
        (["forms"], "asgi2", "2.0 sent"),
        (["-k", "asgi", "forms:Application"], "asgi2", "2.0 sent"),
        (["forms:make_asgi()"], "asgi3", "3.0 sent"),
        (["--factory", "forms:make_wsgi"], "wsgi, 3 threads", "wsgi sent"),
    ],
)
def test_forms_of_applications(
    serve: Serve, app_dir: Path, arguments: list[str], interface: str, answer: str
) -> None:
    """ASGI 2 as asgiref has it, factories, a module alone: what is told of them, and what they answer."""
    (app_dir / "forms.py").write_text(FORMS)
    server = serve("--threads", "3", *arguments)
    assert f"ready: interface={interface} loop=" in "\n".join(server.lines())
    with RawClient(server.target) as client:
        assert client.ask(request("POST", body=b"sent")).text == answer
    server.stop()
    lifespan = [] if interface.startswith("wsgi") else ["startup", "shutdown"]
    assert server.lines("stdout") == lifespan


@needs_ipv6
@pytest.mark.parametrize("app", ["forms:asgi3", "forms:wsgi"])
async def test_ipv6(serve: Serve, app_dir: Path, app: str) -> None:
    (app_dir / "forms.py").write_text(FORMS)
    server = serve("--access-logfile", "-", app, bind="[::1]:0")
    url = server.wait_line(r"listening on (http://\[::1\]:\d+)$")[1]
    async with httpx.AsyncClient() as client:
        assert (await client.post(url, content=b"sent")).text.endswith(" sent")
    server.wait_line(r'^::1 - - .*"POST / HTTP/1.1" 200', stream="stdout")
