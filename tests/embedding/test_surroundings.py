"""What a server leaves alone of the program around it, unless that is asked for."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import aserve
from tests.embedding.apps import Steps, asgi, ask, wsgi
from tests.support.loops import every_loop

ANY = "127.0.0.1:0"


async def test_exceptions_of_the_application_are_its_own(caplog: pytest.LogCaptureFixture) -> None:
    errors = [ValueError("deliberate"), SystemExit(3), KeyboardInterrupt()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise errors[int(scope["path"][1:])]

    async with aserve.Server(app, bind=ANY, lifespan="off") as server:
        for number in range(len(errors)):
            assert (await ask(server.port, f"/{number}")).status == 500
    assert "ValueError: deliberate" in caplog.text
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


@every_loop
async def test_one_signal_stops_all_servers_that_ask_for_it() -> None:
    heard: list[int] = []

    def own(number: int, _frame: object) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGTERM, own)
    try:
        servers = [aserve.Server(asgi, bind=ANY) for _ in range(4)]
        *asking, silent = servers
        serving = [asyncio.create_task(each.serve(handle_signals=each is not silent)) for each in servers]
        while not all(each.addresses for each in servers):
            await asyncio.sleep(0)
        await asking[0].stop()  # the first that has come, and its handlers, are not the others'
        await serving[0]
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await asyncio.gather(*serving[1:3])
        assert signal.getsignal(signal.SIGTERM) is own
        assert heard == []
        assert silent.running
    finally:
        signal.signal(signal.SIGTERM, before)
    await silent.stop()


def test_signals_in_another_thread_than_the_main_one() -> None:
    async def program() -> None:
        with pytest.raises(RuntimeError, match="main thread"):
            await aserve.Server(asgi, bind=ANY).serve(handle_signals=True)

    async def main() -> None:
        await asyncio.to_thread(asyncio.run, program())

    asyncio.run(main())
