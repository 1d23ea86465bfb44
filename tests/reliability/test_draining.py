"""What an application still has to do when its worker is to end."""

from __future__ import annotations

import signal

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, pid_of
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

_WAIT = """
import asyncio, os, pathlib, time

FOLDER = pathlib.Path(__file__).parent
"""

# After its response, within the same call
_ASGI = f"""{_WAIT}
async def app(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"accepted"}})
    while not (FOLDER / "go").exists():
        await asyncio.sleep(0.01)
    os.write(1, b"done\\n")
"""

_WSGI = f"""{_WAIT}
class Response(list):
    def close(self):
        while not (FOLDER / "go").exists():
            time.sleep(0.01)
        os.write(1, b"done\\n")

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "8")])
    return Response([b"accepted"])
"""

# A task of its own, for which the lifespan shutdown waits
_TASKS = f"""{_WAIT}
tasks = []

async def work():
    while not (FOLDER / "go").exists():
        await asyncio.sleep(0.01)
    os.write(1, b"done\\n")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                os.write(1, b"waiting\\n")
                await asyncio.gather(*tasks)
            await send({{"type": kind + ".complete"}})
    tasks.append(asyncio.create_task(work()))
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"accepted"}})
"""


def leave_work(server: ServerProcess) -> None:
    """Have the application begin something, and go."""
    with RawClient(server.target) as client:
        assert client.ask(request(headers=[("Connection", "close")])).text == "accepted"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("source", [_ASGI, _WSGI], ids=["asgi", "wsgi"])
def test_work_after_the_response_is_waited_for(
    serve: Serve, code: Code, source: str, number: signal.Signals
) -> None:
    code.broken(source)
    server = serve("--lifespan", "off", "main:app")
    leave_work(server)
    server.signal(number)
    server.wait_line(r"worker=0 gen=1 pid=\d+ draining$")
    if number is signal.SIGHUP:
        server.wait_line("reload complete: gen=2 ")
    assert "done" not in server.lines("stdout")
    code.go()
    server.wait_line("^done$")
    server.wait_line(rf"worker=0 gen=1 pid={pid_of(server, 0)} exited$")


def test_the_lifespan_shutdown_can_wait_for_tasks(serve: Serve, code: Code) -> None:
    code.broken(_TASKS)
    server = serve("main:app")
    leave_work(server)
    server.signal(signal.SIGTERM)
    server.wait_line("^waiting$")
    code.go()
    server.wait_line("^done$")
    server.stop(0)


@pytest.mark.slow  # more than five seconds
def test_a_long_lifespan_shutdown_has_the_graceful_time(serve: Serve, code: Code) -> None:
    code.asgi(on_shutdown="await asyncio.sleep(6)")
    server = serve("--graceful-timeout", "10", "main:app")
    server.stop()
    assert any(text.startswith("shutdown") for text in server.lines("stdout"))


@pytest.mark.slow
def test_int_ends_a_long_lifespan_shutdown(serve: Serve, code: Code) -> None:
    code.asgi(on_shutdown="say('shutting down'); await asyncio.sleep(3600)")
    server = serve("--graceful-timeout", "3600", "main:app")
    server.signal(signal.SIGTERM)
    server.wait_line("shutting down")
    server.stop(signal.SIGINT)
    server.wait_line(r"pid=\d+ ends, 5 s are over; still running: the shutdown$")
