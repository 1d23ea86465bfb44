"""Tornado applications under our supervisor: reload, stop, slow clients, and what cannot be served."""

from __future__ import annotations

import asyncio
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TypeAlias

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, wait_until
from tests.reliability.load import reload_under_load, wait_line
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

SOURCE = """
import asyncio, os, pathlib, time
import tornado.web, tornado.websocket

FOLDER = pathlib.Path(__file__).parent
VERSION = {version!r}
{on_import}

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

async def until_go():
    try:
        while not (FOLDER / "go").exists():
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        say("cancelled")
        raise

class Root(tornado.web.RequestHandler):
    def get(self):
        self.write(VERSION)

class Length(tornado.web.RequestHandler):
    def post(self):
        self.write(f"{{VERSION}} {{len(self.request.body)}}")

class Stream(tornado.web.RequestHandler):
    async def get(self):
        for _ in range(10):
            self.write(f"{{VERSION}} ")
            await self.flush()
            await asyncio.sleep(0.02)

class Wait(tornado.web.RequestHandler):
    async def get(self):
        self.write("begun ")
        await self.flush()
        await until_go()
        self.write(VERSION)

class Late(tornado.web.RequestHandler):
    async def get(self):
        await until_go()
        self.write(VERSION)

class After(tornado.web.RequestHandler):
    async def get(self):
        self.set_header("Connection", "close")
        await self.finish("answered")
        await until_go()
        say("done")

class Endless(tornado.web.RequestHandler):
    async def get(self):
        while True:
            self.write(bytes(1 << 16))
            await self.flush()

class Socket(tornado.websocket.WebSocketHandler):
    def open(self):
        self.write_message(VERSION)

    async def on_message(self, message):
        if message == "wait":
            say("waiting")
            await until_go()
        await self.write_message(message)

    def on_close(self):
        say("websocket closed")

app = tornado.web.Application([
    ("/", Root), ("/length", Length), ("/stream", Stream), ("/wait", Wait), ("/late", Late),
    ("/after", After), ("/endless", Endless), ("/socket", Socket),
])
"""

Write: TypeAlias = Callable[..., None]


@pytest.fixture
def write(code: Code) -> Write:
    """Write a version of the application."""

    def write(version: str = "one", *, on_import: str = "") -> None:
        code.broken(SOURCE.format(version=version, on_import=on_import))

    return write


async def open_socket(server: ServerProcess) -> WebSocketClientConnection:
    connection = await websocket_connect(f"ws://127.0.0.1:{server.port}/socket")
    assert await connection.read_message() == "one"
    return connection


async def close_code(connection: WebSocketClientConnection) -> int | None:
    assert await connection.read_message() is None
    connection.close()
    return connection.close_code


# -- reload ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loop", "bind"), [("uvloop", "127.0.0.1:0"), ("asyncio", "unix:load.sock")])
async def test_no_request_fails_during_reloads(
    serve: Serve, code: Code, write: Write, loop: str, bind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(code.folder)  # where the client finds the unix socket
    write()
    server = serve("-w", "2", "-k", "tornado", "--loop", loop, "main:app", bind=bind)
    slowly = partial(write, on_import="time.sleep(0.3)")
    load = await reload_under_load(server, ["one", "two", "three"], slowly)
    assert load.answers.total() > 100


async def test_at_a_reload_requests_are_finished_and_websockets_are_sent_away(
    serve: Serve, code: Code, write: Write
) -> None:
    write()
    server = serve("--keep-alive", "60", "main:app")
    sockets = [await open_socket(server) for _ in range(3)]
    with RawClient(server.target) as idle, RawClient(server.target) as late:
        assert idle.ask(request()).text == "one"
        late.send(request(target="/late"))
        write("two")
        server.signal(signal.SIGHUP)
        await wait_line(server, r"worker=0 gen=1 pid=\d+ draining$")
        assert [await close_code(each) for each in sockets] == [1012] * 3
        last = idle.ask(request())  # it was kept open for this
        assert (last.text, last.connection) == ("one", {"close"})
        assert idle.read_until_closed() == b""
        code.go()
        response = late.read()
        assert (response.text, response.connection) == ("one", {"close"})
        assert late.read_until_closed() == b""
    await wait_line(server, r"worker=0 gen=1 pid=\d+ exited$")
    assert ask(server) == "two"
    assert server.lines("stdout").count("websocket closed") == 3


async def test_a_message_is_answered_before_its_websocket_is_sent_away(
    serve: Serve, code: Code, write: Write
) -> None:
    write()
    server = serve("main:app")
    connection = await open_socket(server)
    await connection.write_message("wait")
    await wait_line(server, "^waiting$")
    server.signal(signal.SIGHUP)
    await wait_line(server, r"worker=0 gen=1 pid=\d+ draining$")
    code.go()
    assert await connection.read_message() == "wait"
    assert await close_code(connection) == 1012


async def test_a_websocket_that_is_opened_while_draining_is_sent_away_as_well(
    serve: Serve, code: Code, write: Write
) -> None:
    write()
    server = serve("main:app")
    with RawClient(server.target) as idle, RawClient(server.target) as late:
        assert idle.ask(request()).text == "one"
        late.send(request(target="/late"))
        server.signal(signal.SIGHUP)
        await wait_line(server, r"worker=0 gen=1 pid=\d+ draining$")
        idle.send(request(target="/socket", headers=UPGRADE))
        head = idle.read_head()
        assert (head.status, head.connection) == (101, {"upgrade"})
        assert idle.read_bytes(5) == b"\x81\x03one"
        assert idle.read_bytes(4) == b"\x88\x02" + (1012).to_bytes(2, "big")
        code.go()
        assert late.read().text == "one"
        assert late.read_until_closed() == b""


UPGRADE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]

# -- stop -----------------------------------------------------------------------------------------


async def test_a_graceful_stop_finishes_what_has_begun(serve: Serve, code: Code, write: Write) -> None:
    write()
    server = serve("main:app")
    connection = await open_socket(server)
    with RawClient(server.target) as waiting, RawClient(server.target) as idle:
        assert idle.ask(request()).text == "one"
        waiting.send(request(target="/wait"))
        assert waiting.read_head().status == 200
        server.signal(signal.SIGTERM)
        await wait_line(server, r"worker=0 gen=1 pid=\d+ draining$")
        assert idle.read_until_closed() == b""
        assert await close_code(connection) == 1012
        code.go()
        assert waiting.read_until_closed().endswith(b"6\r\nbegun \r\n3\r\none\r\n0\r\n\r\n")
    server.stop()


def test_a_handler_that_outlasts_its_response_is_waited_for(serve: Serve, code: Code, write: Write) -> None:
    write()
    server = serve("main:app")
    assert ask(server, "/after") == "answered"
    server.signal(signal.SIGTERM)
    server.wait_line(r"worker=0 gen=1 pid=\d+ draining$")
    code.go()
    server.stop()
    assert server.lines("stdout") == ["done"]


def test_what_is_left_at_the_graceful_timeout_is_cut_off(serve: Serve, write: Write) -> None:
    write()
    server = serve("--graceful-timeout", "0.5", "main:app")
    with RawClient(server.target) as client, RawClient(server.target) as deaf:
        client.send(request(target="/wait"))
        assert client.read_head().status == 200
        deaf.send(request(target="/socket", headers=UPGRADE))
        assert deaf.read_head().status == 101
        assert ask(server, "/after") == "answered"
        server.signal(signal.SIGTERM)
        server.wait_line(r"worker=0 gen=1 pid=\d+: 0\.5 s are over, connections cut off: 2$")
        while not client.incoming.end:
            client._receive()
        assert client.incoming.end == "reset"
        client.incoming.data.clear()
        assert deaf.read_until_closed() == b"\x81\x03one\x88\x02" + (1012).to_bytes(2, "big")
    server.stop()
    assert sorted(server.lines("stdout")) == ["cancelled", "cancelled", "websocket closed"]


async def test_a_stop_at_once_says_goodbye_to_websockets(serve: Serve, write: Write) -> None:
    write()
    server = serve("main:app")
    sockets = [await open_socket(server) for _ in range(5)]
    server.signal(signal.SIGINT)
    assert {await close_code(each) for each in sockets} <= {1001, 1012}
    await asyncio.to_thread(server.stop, 0)


def test_workers_are_recycled(serve: Serve, write: Write) -> None:
    write()
    server = serve("--max-requests", "3", "main:app")
    for _ in range(3):
        assert ask(server) == "one"
    server.wait_line(r"worker=0 gen=1 pid=\d+ recycling: 3 requests \(--max-requests\)")
    server.wait_line(r"worker=0 gen=1 pid=\d+ exited$")
    assert ask(server) == "one"


def test_the_loop_is_there_at_the_import(serve: Serve, code: Code, write: Write) -> None:
    lines = (
        "from tornado.ioloop import IOLoop, PeriodicCallback",
        "IOLoop.current().spawn_callback(lambda: print('spawned', flush=True))",
        "PeriodicCallback(lambda: print('periodic', flush=True), 10).start()",
    )
    write(on_import="\n".join(lines))
    server = serve("main:app")
    server.wait_line("^spawned$")
    server.wait_line("^periodic$")


# -- connections ----------------------------------------------------------------------------------


def test_connections_above_the_limit_wait(serve: Serve, write: Write) -> None:
    write()
    server = serve("--worker-connections", "1", "main:app")
    with RawClient(server.target) as first, RawClient(server.target) as second:
        for client in (first, second):
            client.send(request())
        assert first.read().text == "one"
        answered, _, _ = select.select([second.socket], [], [], 0.1)
        assert not answered
        first.close()
        assert second.read().text == "one"


@pytest.fixture
def impatient(serve: Serve, write: Write) -> ServerProcess:
    """A server that gives nobody much time."""
    write()
    names = ("keep-alive", "header-timeout", "body-timeout", "write-timeout")
    options = [word for name in names for word in (f"--{name}", "0.4")]
    return serve(*options, "main:app")


@pytest.fixture
def clients(impatient: ServerProcess) -> Iterator[Callable[[], RawClient]]:
    """Connect to it."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(RawClient(impatient.target, receive_buffer=16_384))


def test_slow_clients(impatient: ServerProcess, clients: Callable[[], RawClient], code: Code) -> None:
    """All at the same time, beside a request that takes longer and is none of the client's fault."""
    late = clients()
    late.send(request(target="/late"))
    silent, idle, half, uploading, deaf = (clients() for _ in range(5))
    assert idle.ask(request()).text == "one"
    half.send(request()[:-2])
    uploading.send(request("POST", "/length", [("Content-Length", "100")]) + b"x")
    deaf.send(request(target="/endless"))
    for client in (silent, idle, half, uploading):
        assert client.read_until_closed() == b""
    for reason in ("no complete head in time", "the body comes too slowly", "the client reads nothing"):
        impatient.wait_line(rf"\[INFO\] closed: {reason} client=127\.0\.0\.1:\d+$")
    while not deaf.incoming.end:
        deaf._receive()
    assert deaf.incoming.end == "reset"
    deaf.incoming.data.clear()
    code.go()
    assert late.read().text == "one"


def test_a_client_that_goes_on_is_not_slow(clients: Callable[[], RawClient]) -> None:
    client = clients()
    for _ in range(4):
        client.send(request("POST", "/length", [("Content-Length", "2000")]))
        for _ in range(4):
            client.send(bytes(500))
            time.sleep(0.1)  # a quarter of what the server allows
        assert client.read().text == "one 2000"


def test_one_request_a_connection(serve: Serve, write: Write) -> None:
    write()
    times = ("--keep-alive", "--header-timeout", "--body-timeout", "--write-timeout")
    server = serve(*(word for name in times for word in (name, "0")), "main:app")
    with RawClient(server.target) as client:
        assert client.ask(request()).connection == {"close"}
        assert client.read_until_closed() == b""
    with RawClient(server.target) as client:  # also if it asks for more in the old way
        data = request(headers=[("Connection", "keep-alive")], version="1.0")
        assert client.ask(data, version="1.0").connection == {"close"}
        assert client.read_until_closed() == b""
    with RawClient(server.target) as client:
        client.send(request(target="/socket", headers=UPGRADE))
        assert client.read_head().status == 101
        assert client.read_bytes(5) == b"\x81\x03one"


# -- what cannot be served ------------------------------------------------------------------------

REFUSED = [
    ("import sys; sys.path[:] = []; import tornado.web", (), "aserve-server[tornado]"),
    ("def app(environ, start_response): ...", (), "serve it with -k wsgi (or -k auto)"),
    ("async def app(scope, receive, send): ...", (), "serve it with -k asgi (or -k auto)"),
    ("app = {}", (), "is a dict, not a tornado.web.Application: name one"),
    ("from tornado.web import Application as app", (), "say --factory"),
    ("from tornado.web import Application; app = Application(debug=True)", (), "autoreload=False"),
    (
        "import tornado; from tornado.web import Application; tornado.version_info = (6, 4, 2, 0)\n"
        "app = Application()",
        (),
        "this Tornado is too old, 6.5.2 or newer is needed: pip install 'aserve-server[tornado]'",
    ),
    (
        "from tornado.web import Application; app = Application()",
        ("--proxy-protocol", "v1"),
        "leave --proxy-protocol out",
    ),
]


@pytest.mark.parametrize(("source", "options", "said"), REFUSED)
def test_one_line_says_why_it_is_not_served(
    serve: Serve, code: Code, source: str, options: tuple[str, ...], said: str
) -> None:
    code.broken(source)
    server = serve("-k", "tornado", *options, "main:app", ready=False)
    assert server.wait() == 4
    server.allowed_tracebacks.append("ModuleNotFoundError")
    (line,) = [line for line in server.lines("stderr") if "not started: " in line]
    assert said in line


def test_a_tornado_application_as_another_one(serve: Serve, write: Write) -> None:
    write()
    server = serve("-k", "wsgi", "main:app", ready=False)
    assert server.wait() == 4
    server.wait_line(r"not started: this is a Tornado application: serve it with -k tornado \(or -k auto\)$")


def test_preload(serve: Serve, write: Write) -> None:
    write()
    server = serve("--preload", "-w", "2", "-k", "tornado", "main:app")
    assert ask(server) == "one"
    write("two")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=2 ")
    wait_until(lambda: ask(server) == "two", "the new code answers")
