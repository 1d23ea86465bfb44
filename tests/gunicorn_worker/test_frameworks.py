"""Real frameworks in workers under gunicorn."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from tests.gunicorn_worker.conftest import Gunicorn, with_both
from tests.gunicorn_worker.process import GunicornProcess
from tests.reliability.conftest import PATIENCE, Code, ask
from tests.support.client import RawClient, request
from tests.support.pool import TESTS
from tests.support.site import Site

FRAMEWORKS = {
    "asgi": ("fastapi_app:app", "django_app:asgi"),
    "wsgi": ("flask_app:app", "django_app:application"),
}


@with_both
async def test_frameworks(gunicorn: Gunicorn, interface: str) -> None:
    for app in FRAMEWORKS[interface]:
        server = gunicorn("--threads", "2", f"apps.{app}", interface=interface, cwd=TESTS)
        async with Site(server) as site:
            assert (await site.http.get("/json")).json() == {"hello": "world"}
            body = {"name": "a thing", "price": 1.5}
            assert (await site.http.post("/json", json=body)).json() == body
            assert (await site.http.get("/no-such-place")).status_code == 404
        server.stop()


async def test_the_egg_and_a_lifespan(gunicorn: Gunicorn) -> None:
    server = gunicorn("-k", "egg:aserve-server#asgi", "apps.fastapi_app:app", cwd=TESTS)
    server.wait_line("^lifespan: up$", stream="stdout")
    async with Site(server) as site:
        assert (await site.http.get("/threaded")).json() == {"hello": "thread"}
    server.stop()
    assert "lifespan: down" in server.lines("stdout")


def test_the_other_egg(gunicorn: Gunicorn, code: Code) -> None:
    code.wsgi()
    server = gunicorn("-k", "egg:aserve-server#wsgi", "main:app")
    assert ask(server) == "one"


async def test_websockets(gunicorn: Gunicorn) -> None:
    websockets = pytest.importorskip("websockets")
    server = gunicorn("--graceful-timeout", "3", "apps.websocket_app:fastapi", interface="asgi", cwd=TESTS)
    url = server.url.replace("http:", "ws:") + "/echo"
    async with asyncio.timeout(15), websockets.connect(url, proxy=None) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
        server.signal(15)  # a stop tells the client, and waits until it has heard
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd.code == 1012
    await asyncio.to_thread(server.stop, 0)


PRELOADED = """
import atexit, os, socket, threading

OPENED = open(__file__)
PAIR = socket.socketpair()
threading.Thread(target=threading.Event().wait, daemon=True).start()
os.write(1, b"imported\\n")

@atexit.register
def tidy():
    OPENED.close()
    for end in PAIR:
        end.close()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    OPENED.seek(0)
    body = f"{os.getpid()} {len(OPENED.read())} {PAIR[0].fileno() > 0}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
"""


def test_preload(gunicorn: Gunicorn, code: Code) -> None:
    """The application is imported once, in the arbiter, and what it has opened is there in the workers."""
    code.broken(PRELOADED)
    server = gunicorn("--preload", "-w", "2", "main:app", interface="asgi")
    pid, size, opened = ask(server).split()
    assert int(pid) in server.worker_pids()
    assert (int(size), opened) == (len(PRELOADED), "True")
    assert server.lines("stdout") == ["imported"]


@pytest.mark.slow  # it looks once a second
def test_reload(gunicorn: Gunicorn, code: Code) -> None:
    """gunicorn looks at the files; who has just saved one is never answered by the code before it."""
    code.asgi("one")
    reload = ("--reload", "--reload-engine", "poll", "--graceful-timeout", "300")
    server = gunicorn(*reload, "main:app", interface="asgi")
    server.allowed_tracebacks.append("SyntaxError")
    with RawClient(server.target) as stream:
        stream.send(request("GET", "/wait"))
        assert stream.read_head().status == 200
        assert stream.read_bytes(11) == b"6\r\nbegun \r\n"
        code.asgi("two, and longer")
        wait_reload(server, code)  # in time, although that request has no end
    assert ask(server) == "two, and longer"
    code.broken("def app(:")
    wait_reload(server, code)
    with RawClient(server.target) as client:  # gunicorn shows what is wrong
        assert client.ask(request(headers=[("Connection", "close")])).status == 500
    code.asgi("three, and once more longer")
    wait_reload(server, code)
    assert ask(server) == "three, and once more longer"


def wait_reload(server: GunicornProcess, code: Code) -> None:
    """Return when a worker has heeded a change: one before gunicorn's first look at the files is none."""
    since, deadline = server.mark(), time.monotonic() + PATIENCE
    while not any("Worker reloading" in line for line in server.lines("stderr", since)):
        assert time.monotonic() < deadline, server.output()
        os.utime(code.folder / "main.py")
        time.sleep(0.2)
    server.wait_line("Worker ready", since=since)
