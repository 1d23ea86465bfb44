"""Server on the loop of a program: started, serving, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
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


# -- the end --------------------------------------------------------------------------------------


@every_loop
async def test_running_requests_are_finished_at_a_stop() -> None:
    app = Steps("request")
    server = aserve.Server(app, bind=ANY)
    await server.start()
    asking = asyncio.create_task(ask(server.port))
    await app.entered.wait()
    port, stopping = server.port, asyncio.create_task(server.stop())
    while not is_refused(port):
        await asyncio.sleep(0)
    assert not stopping.done()
    app.release.set()
    assert (await asking).body == b"hi"
    await stopping
    assert app.journal == ["startup", "request", "request done", "shutdown"]


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_request_that_does_not_end_is_cancelled(at_once: bool) -> None:
    app = Steps("request")
    server = aserve.Server(app, bind=ANY, graceful_timeout=3600 if at_once else 0.1)
    await server.start()
    asking = asyncio.create_task(ask(server.port))
    await app.entered.wait()
    await server.stop(at_once=at_once)
    with pytest.raises(AssertionError):
        await asking
    assert app.journal == ["startup", "request", "request cancelled", "cleaned up", "shutdown"]


async def test_a_request_can_have_the_server_stopped() -> None:
    server: aserve.Server

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asgi(scope, receive, send)
        server.request_stop()

    server = aserve.Server(app, bind=ANY)
    serving = asyncio.create_task(server.serve())
    while not server.addresses:
        await asyncio.sleep(0)
    assert (await ask(server.port)).status == 200
    await serving
    assert not server.running


@every_loop
async def test_cancelled_in_the_start_up() -> None:
    app = Steps("startup")
    server = aserve.Server(app, bind=ANY)
    starting = asyncio.create_task(server.start())
    await app.entered.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert app.journal == ["startup", "startup cancelled", "cleaned up"]
    assert not server.running


def test_timed_out_by_anyio_in_the_start_up() -> None:
    app = Steps("startup")
    server = aserve.Server(app, bind=ANY)

    async def program() -> None:
        with anyio.move_on_after(0.1) as scope:
            await server.start()
        assert scope.cancelled_caught
        assert not server.running

    anyio.run(program)
    assert app.journal == ["startup", "startup cancelled", "cleaned up"]


async def test_a_loop_that_starts_tasks_eagerly() -> None:  # uvloop cannot, on 3.13
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("of Python 3.12 and newer")
    asyncio.get_running_loop().set_task_factory(factory)
    for app in (Steps(), wsgi):
        async with aserve.Server(app, bind=ANY) as server:
            assert (await ask(server.port)).status == 200


async def test_serve_that_is_stopped_in_the_start_up() -> None:
    app = Steps("startup")
    server = aserve.Server(app, bind=ANY)
    serving = asyncio.create_task(server.serve())
    await app.entered.wait()
    server.request_stop()
    await serving
    assert app.journal == ["startup", "startup cancelled", "cleaned up"]


async def test_stopped_in_the_start_up() -> None:
    app = Steps("startup")
    server = aserve.Server(app, bind=ANY)
    starting = asyncio.create_task(server.start())
    await app.entered.wait()
    await server.stop()
    with pytest.raises(aserve.BootError, match="stopped before it was ready"):
        await starting
    assert not server.running


@every_loop
async def test_serve_cancelled_ends_gracefully() -> None:
    app = Steps("request")
    server = aserve.Server(app, bind=ANY)
    serving = asyncio.create_task(server.serve())
    while not server.addresses:
        await asyncio.sleep(0)
    asking = asyncio.create_task(ask(server.port))
    await app.entered.wait()
    serving.cancel()
    await asyncio.sleep(0.05)
    app.release.set()
    assert (await asking).status == 200
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert app.journal[-1] == "shutdown"
    assert not server.running


@every_loop
async def test_serve_cancelled_twice_ends_at_once() -> None:
    app = Steps("request")
    server = aserve.Server(app, bind=ANY, graceful_timeout=3600)
    serving = asyncio.create_task(server.serve())
    while not server.addresses:
        await asyncio.sleep(0)
    asking = asyncio.create_task(ask(server.port))
    await app.entered.wait()
    for _ in range(2):
        serving.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(AssertionError):
        await asking
    assert app.journal == ["startup", "request", "request cancelled", "cleaned up", "shutdown"]


async def test_a_stop_that_is_cancelled_goes_on_at_once() -> None:
    app = Steps("request")
    server = aserve.Server(app, bind=ANY, graceful_timeout=3600)
    await server.start()
    asking = asyncio.create_task(ask(server.port))
    await app.entered.wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(server.stop(), 0.1)
    assert app.journal == ["startup", "request", "request cancelled", "cleaned up", "shutdown"]
    assert not server.running
    with pytest.raises(AssertionError):
        await asking


async def test_a_shutdown_that_hangs_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("aserve.service.LEAVING_TIME", 0.1)
    app = Steps("shutdown")
    server = aserve.Server(app, bind=ANY, graceful_timeout=0)
    await server.start()
    await server.stop()
    assert app.journal == ["startup", "shutdown", "shutdown cancelled", "cleaned up"]
    assert "the application's shutdown is cancelled: 0.1 s are over" in caplog.text


def test_a_program_that_forgets_it_ends_in_order() -> None:
    app = Steps()
    server = aserve.Server(app, bind=ANY)

    async def program() -> None:
        await server.start()
        async with AsyncRawClient(("127.0.0.1", server.port)) as idle:
            await idle.ask(request())
            held.append(idle.socket.dup())
        app.holds = ("request",)
        held.append(asyncio.create_task(ask(server.port)))
        await app.entered.wait()

    held: list[Any] = []
    asyncio.run(program())
    held[0].close()
    gc.collect()  # what is not closed says so now
    assert "request cancelled" in app.journal
    assert not server.running

    async def another_program() -> None:
        async with server:
            app.holds = ()
            assert (await ask(server.port)).status == 200

    asyncio.run(another_program())


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


# -- anyio ----------------------------------------------------------------------------------------


def test_in_a_task_group_of_anyios() -> None:
    app = Steps("request")

    async def program() -> None:
        server = aserve.Server(app, bind=ANY)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            while not server.addresses:
                await anyio.sleep(0)
            asking = asyncio.create_task(ask(server.port))
            await app.entered.wait()
            tasks.cancel_scope.cancel()
            asyncio.get_running_loop().call_later(0.1, app.release.set)
        assert (await asking).status == 200

    anyio.run(program)
    assert app.journal == ["startup", "request", "request done", "shutdown"]


def test_in_a_cancel_scope_of_anyios() -> None:
    app = Steps("request")

    async def program() -> None:
        with anyio.CancelScope() as scope:
            async with aserve.Server(app, bind=ANY) as server:
                asking = asyncio.create_task(ask(server.port))
                await app.entered.wait()
                scope.cancel()
                asyncio.get_running_loop().call_later(0.1, app.release.set)
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert (await asking).status == 200

    anyio.run(program)
    assert app.journal == ["startup", "request", "request done", "shutdown"]


# -- the program around it ------------------------------------------------------------------------


async def test_exceptions_of_the_application_are_its_own(caplog: pytest.LogCaptureFixture) -> None:
    errors = [BrokenError("deliberate"), SystemExit(3), KeyboardInterrupt()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise errors[int(scope["path"][1:])]

    async with aserve.Server(app, bind=ANY, lifespan="off") as server:
        for number in range(len(errors)):
            assert (await ask(server.port, f"/{number}")).status == 500
    assert "BrokenError: deliberate" in caplog.text
    assert "SystemExit: 3" in caplog.text


async def test_system_exit_in_a_thread_of_wsgi(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise SystemExit(3)

    async with aserve.Server(app, bind=ANY, threads=1) as server:
        for _ in range(2):
            assert (await ask(server.port)).status == 500
    assert "SystemExit: 3" in caplog.text


async def test_variables_of_the_program_do_not_reach_requests() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        await asgi(scope, receive, send)

    def in_thread(environ: Any, start_response: Any) -> Any:
        seen.append(variable.get())
        return wsgi(environ, start_response)

    variable.set("of the program")
    async with aserve.Server(app, bind=ANY) as one, aserve.Server(in_thread, bind=ANY) as two:
        await ask(one.port)
        await ask(two.port)
    assert seen == ["unset"] * 3  # the first is the lifespan


async def test_the_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASERVE_WORKERS", "nonsense")
    monkeypatch.setenv("PORT", "1")

    def process() -> list[object]:
        umask = os.umask(0o22)
        os.umask(umask)
        log = logging.getLogger("aserve")
        return [
            *(signal.getsignal(number) for number in signal.valid_signals() if number < 32),
            *(os.getcwd(), umask, dict(os.environ), sys.getswitchinterval(), list(sys.path)),
            *(log.level, list(log.handlers), log.propagate, type(log), logging.root.level),
        ]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.005)  # Python's own, which a server with a process to itself changes
    before = process()
    async with aserve.Server(wsgi, bind=ANY) as server:
        assert process() == before
        await ask(server.port)
    assert process() == before
    sys.setswitchinterval(interval)


async def test_the_log_is_set_up_if_that_is_asked_for(tmp_path: Path) -> None:
    log = logging.getLogger("aserve")
    level, kind, propagate, handlers = log.level, type(log), log.propagate, list(log.handlers)
    path = tmp_path / "log"
    try:
        async with aserve.Server(asgi, bind=ANY, error_logfile=str(path), log_level="info") as server:
            url = server.url
    finally:
        for handler in log.handlers:
            handler.close()
        log.handlers[:], log.propagate, log.__class__ = handlers, propagate, kind
        log.setLevel(level)
    assert f"listening on {url}" in path.read_text()


async def test_an_access_log_if_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "access"
    async with aserve.Server(asgi, bind=ANY, access_logfile=str(path)) as server:
        await ask(server.port, "/x")
    assert '"GET /x HTTP/1.1" 200 2' in path.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@every_loop
async def test_signals_if_that_is_asked_for(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    app = Steps("request")
    server = aserve.Server(app, bind=ANY, graceful_timeout=3600)
    serving = asyncio.create_task(server.serve(handle_signals=True))
    while not server.addresses:
        await asyncio.sleep(0)
    asking = asyncio.create_task(ask(server.port))
    await app.entered.wait()
    os.kill(os.getpid(), number)
    await asyncio.sleep(0.05)
    assert not serving.done()
    os.kill(os.getpid(), number)
    await serving
    assert signal.getsignal(number) is before
    assert "request cancelled" in app.journal
    with pytest.raises(AssertionError):
        await asking


def test_signals_in_another_thread_than_the_main_one() -> None:
    async def program() -> None:
        with pytest.raises(RuntimeError, match="main thread"):
            await aserve.Server(asgi, bind=ANY).serve(handle_signals=True)

    async def main() -> None:
        await asyncio.to_thread(asyncio.run, program())

    asyncio.run(main())
