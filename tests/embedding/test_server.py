"""Server on the loop of a program: what it serves, where it listens, how it fails to start."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import flask
import httpx
import pytest
import tornado.web
from fastapi import FastAPI, Request, WebSocket

import aserve
from tests.embedding.apps import Steps, asgi, ask, is_refused, wsgi
from tests.support.client import AsyncRawClient, request
from tests.support.loops import every_loop
from tests.support.websocket import WebSocketClient, closing

ANY = "127.0.0.1:0"


@every_loop
async def test_serves_between_start_and_stop() -> None:
    app = Steps()
    server = aserve.Server(app, bind=ANY)
    assert not server.running
    await server.start()
    assert server.running
    assert server.addresses == (f"http://127.0.0.1:{server.port}",)
    assert server.url == server.addresses[0]
    assert server.sockets[0].getsockname() == ("127.0.0.1", server.port)
    port = server.port
    assert (await ask(port)).body == b"hi"
    await server.stop()
    assert app.journal == ["startup", "request", "shutdown"]
    assert app.scopes[0]["state"] == {"there": "since startup"}
    assert (server.running, server.addresses, server.sockets) == (False, (), ())
    assert is_refused(port)


@every_loop
async def test_as_a_context_manager() -> None:
    async with aserve.Server(asgi, bind=ANY) as server:
        assert (await ask(server.port, "/here")).body == b"/here"
    assert not server.running


async def test_the_state_of_the_lifespan_is_shared_with_the_program() -> None:
    app = Steps()
    server = aserve.Server(app, bind=ANY)
    assert server.state == {}
    async with server:
        assert server.state == {"there": "since startup"}
        server.state["added"] = "by the program"
        await ask(server.port)
        assert app.scopes[0]["state"] == {"there": "since startup", "added": "by the program"}
        app.scopes[0]["state"]["added"] = "by the request"
        assert server.state["added"] == "by the program"
    assert server.state == {}
    async with aserve.Server(wsgi, bind=ANY) as other:
        assert other.state == {}


@pytest.mark.parametrize(("worker_class", "place"), [("wsgi", "aserve-"), ("sync", "MainThread")])
@every_loop
async def test_wsgi_in_threads_or_inline(worker_class: str, place: str) -> None:
    async with aserve.Server(wsgi, bind=ANY, worker_class=worker_class, threads=2) as server:
        assert (await ask(server.port)).text.startswith(place)


async def test_the_threads_have_ended_with_the_server() -> None:
    before = threading.enumerate()
    async with aserve.Server(wsgi, bind=ANY, threads=64):
        assert len(threading.enumerate()) == len(before) + 64
    assert threading.enumerate() == before


async def test_stop_can_be_called_at_any_time_and_again() -> None:
    server = aserve.Server(asgi, bind=ANY)
    await server.stop()
    server.request_stop()
    await server.start()
    await asyncio.gather(server.stop(), server.stop())
    await server.stop()
    assert not server.running


async def test_a_server_can_be_started_again() -> None:
    app = Steps()
    server = aserve.Server(app, bind=ANY)
    for _ in range(2):
        await server.start()
        with pytest.raises(RuntimeError, match="started already"):
            await server.start()
        assert (await ask(server.port)).status == 200
        await server.stop()
    assert app.journal == ["startup", "request", "shutdown"] * 2


def test_a_loop_that_runs_now_and_then() -> None:  # as in a notebook
    server = aserve.Server(asgi, bind=ANY)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        assert runner.run(ask(server.port)).status == 200
        runner.run(server.stop())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # tasks that did not end
@pytest.mark.parametrize("stopped", [False, True])
def test_a_loop_that_is_closed_before_the_stop(stopped: bool) -> None:
    with socket.socket() as passing:
        passing.bind(("127.0.0.1", 0))
        port = passing.getsockname()[1]
    server = aserve.Server(asgi, bind=f"127.0.0.1:{port}")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    loop.close()
    assert not server.running

    async def again() -> None:
        if stopped:
            await server.wait_stopped()
            await server.stop()
        async with server:
            assert (await ask(server.port)).status == 200

    asyncio.run(again())
    del loop
    gc.collect()  # here, and not in another test


async def test_two_servers_on_one_loop() -> None:
    async with aserve.Server(Steps(), bind=ANY) as one, aserve.Server(wsgi, bind=ANY) as two:
        assert one.port != two.port
        answers = await asyncio.gather(*(ask(server.port) for server in (one, two) * 10))
        assert {answer.status for answer in answers} == {200}


@every_loop
async def test_beside_another_server_of_asyncios() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    other = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with other, aserve.Server(asgi, bind=ANY) as server:
        assert (await ask(server.port)).status == 200
        await server.stop()
        reader, writer = await asyncio.open_connection(*other.sockets[0].getsockname())
        writer.write(b"still there\n")
        assert await reader.readline() == b"still there\n"
        writer.close()
        await writer.wait_closed()


async def test_the_application_by_name() -> None:
    async with aserve.Server("tests.embedding.apps:asgi", bind=ANY) as server:
        assert (await ask(server.port)).status == 200


async def test_an_application_that_is_made_at_the_start() -> None:
    async with aserve.Server(Steps, factory=True, bind=ANY) as server:
        assert (await ask(server.port)).body == b"hi"


async def test_a_loop_that_starts_tasks_eagerly() -> None:  # uvloop cannot, on 3.13
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("of Python 3.12 and newer")
    asyncio.get_running_loop().set_task_factory(factory)
    for app in (Steps(), wsgi):
        async with aserve.Server(app, bind=ANY) as server:
            assert (await ask(server.port)).status == 200


# -- where it listens ---------------------------------------------------------------------------


async def test_sockets_of_the_program_stay_open() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # not listening yet
        server = aserve.Server(asgi, sockets=[sock])
        for _ in range(2):
            async with server:
                assert server.port == sock.getsockname()[1]
                assert (await ask(server.port)).status == 200
            assert sock.fileno() >= 0


async def test_a_unix_socket_is_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    async with aserve.Server(asgi, bind=f"unix:{path}") as server:
        assert server.addresses == (f"unix:{path}",)
        async with AsyncRawClient(str(path)) as client:
            assert (await client.ask(request())).status == 200
        with pytest.raises(RuntimeError, match="Unix sockets only"):
            _ = server.url
    assert not path.exists()


async def test_several_addresses_and_the_one_for_clients_here(tmp_path: Path) -> None:
    binds = [f"unix:{tmp_path / 's'}", "0.0.0.0:0"]
    async with aserve.Server(asgi, bind=binds) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert server.addresses[1] == f"http://0.0.0.0:{server.port}"


# -- what goes wrong at the start -----------------------------------------------------------------


async def test_an_address_in_use_is_raised() -> None:
    async with aserve.Server(asgi, bind=ANY) as first:
        second = aserve.Server(asgi, bind=f"127.0.0.1:{first.port}")
        with pytest.raises(aserve.BootError, match="the address is in use"):
            await second.start()
        assert not second.running
        await first.stop()
        await second.start()
        await second.stop()


async def test_a_socket_that_is_closed_is_raised() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
    with pytest.raises(aserve.BootError, match="on a socket that was passed: Bad file descriptor"):
        await aserve.Server(asgi, sockets=[sock]).start()


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("error", [BrokenError("no database"), SystemExit(3), KeyboardInterrupt()])
@every_loop
async def test_a_failed_start_up_is_raised_with_its_cause(error: BaseException) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise error

    server = aserve.Server(app, bind=ANY, lifespan="on")
    with pytest.raises(aserve.BootError) as caught:
        await server.start()
    assert type(error).__name__ in str(caught.value)
    assert caught.value.__cause__ is error
    assert not server.running


async def test_a_reported_failure_is_raised() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(aserve.BootError, match="no database"):
        await aserve.Server(app, bind=ANY).start()


@pytest.mark.parametrize("app", ["tests.embedding.nowhere:app", "tests.embedding.apps:nobody", 3])
async def test_what_is_no_application_is_raised(app: Any) -> None:
    server = aserve.Server(app, bind=ANY)
    with pytest.raises(aserve.ApplicationLoadError):
        await server.start()
    assert not server.running


async def test_another_loop_than_asked_for() -> None:
    with pytest.raises(aserve.UsageError, match="loop: uvloop is asked for, and this is asyncio"):
        await aserve.Server(asgi, bind=ANY, loop="uvloop").start()


def test_without_an_asyncio_loop() -> None:
    coroutine = aserve.Server(asgi, bind=ANY).start()
    with pytest.raises(RuntimeError, match="no asyncio event loop runs here"):
        coroutine.send(None)


async def test_stop_on_another_loop() -> None:
    async with aserve.Server(asgi, bind=ANY) as server:

        def stop() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                asyncio.run(server.stop())

        await asyncio.to_thread(stop)
        assert server.running


# -- frameworks -----------------------------------------------------------------------------------


def fastapi() -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"name": "state"}

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def read(request: Request) -> str:
        return str(request.state.name)

    @app.get("/threaded")
    def read_in_thread() -> str:
        return threading.current_thread().name

    @app.websocket("/ws")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await socket.send_text(await socket.receive_text())

    return app


async def test_fastapi_with_a_websocket_that_is_closed_at_the_stop() -> None:
    server = aserve.Server(fastapi(), bind=ANY, graceful_timeout=1)
    await server.start()
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.get("/")).json() == "state"
        assert (await client.get("/threaded")).status_code == 200
        async with WebSocketClient(("127.0.0.1", server.port)) as socket:
            await socket.open("/ws")
            assert await socket.ask_text("hello") == "hello"
            stopping = asyncio.create_task(server.stop())
            assert (await socket.read_close())[0] == 1012
            await socket.send(closing(1012))
            await stopping


async def test_flask() -> None:
    app = flask.Flask("test")

    @app.get("/")
    def read() -> str:
        return "Flask"

    async with aserve.Server(app, bind=ANY) as server, httpx.AsyncClient() as client:
        assert (await client.get(server.url)).text == "Flask"


async def test_tornado() -> None:
    class Handler(tornado.web.RequestHandler):
        def get(self) -> None:
            self.write("Tornado")

    server = aserve.Server(tornado.web.Application([("/", Handler)]), bind=ANY)
    for _ in range(2):
        async with server:
            assert (await ask(server.port)).text == "Tornado"
