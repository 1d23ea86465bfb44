"""Server in a thread, with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest

import aserve
from tests.embedding.apps import Steps, asgi, ask, is_refused, wsgi

ANY = "127.0.0.1:0"


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        body: bytes = response.read()
        return body


def test_serves_between_start_and_stop() -> None:
    before = threading.enumerate()
    thread = aserve.Server(wsgi, bind=ANY, threads=2).in_thread()
    for _ in range(2):
        assert thread.start() is thread
        with pytest.raises(RuntimeError, match="started already"):
            thread.start()
        port = thread.port
        assert thread.addresses == (thread.url,)
        assert get(thread.url).startswith(b"aserve-")
        thread.stop()
        thread.stop()
        assert is_refused(port)
    assert threading.enumerate() == before


def test_each_as_a_context_manager() -> None:
    with (
        aserve.Server(asgi, bind=ANY).in_thread() as one,
        aserve.Server("tests.embedding.apps:wsgi", bind=ANY).in_thread() as two,
    ):
        assert get(one.url + "/one") == b"/one"
        assert get(two.url).startswith(b"aserve-")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_loop_is_chosen(loop: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        module = type(asyncio.get_running_loop()).__module__
        await asgi({**scope, "path": module}, receive, send)

    with aserve.Server(app, bind=ANY, loop=loop).in_thread() as thread:
        assert get(thread.url).startswith(loop.encode())


def test_what_goes_wrong_at_the_start_comes_out_here() -> None:
    before = threading.enumerate()
    with aserve.Server(asgi, bind=ANY).in_thread() as first:
        second = aserve.Server(asgi, bind=f"127.0.0.1:{first.port}").in_thread()
        with pytest.raises(aserve.BootError, match="the address is in use"):
            second.start()
        first.stop()
        with second:
            assert get(second.url) == b"/"
    with pytest.raises(aserve.ApplicationLoadError):
        aserve.Server("tests.embedding.nowhere:app", bind=ANY).in_thread().start()
    assert threading.enumerate() == before


@pytest.mark.parametrize("at_once", [False, True])
def test_stopped_by_another_thread_in_the_start_up(at_once: bool) -> None:
    before = threading.enumerate()
    begun = threading.Event()
    ends: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ends.append("application")

    thread = aserve.Server(app, bind=ANY).in_thread()

    def stop() -> None:
        begun.wait(10)
        thread.stop(at_once=at_once)
        ends.append("stop")

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(aserve.BootError, match="stopped before it was ready"):
        thread.start()
    stopping.join(10)
    assert ends == ["application", "stop"]
    assert not thread.server.running
    assert threading.enumerate() == before


def test_stopped_by_another_thread_before_there_is_a_loop() -> None:
    for _ in range(20):
        thread = aserve.Server(asgi, bind=ANY, graceful_timeout=0).in_thread()
        ended = threading.Event()
        errors: list[Exception] = []

        def stop_again_and_again(thread: Any = thread, ended: Any = ended, errors: Any = errors) -> None:
            try:
                while not ended.is_set():
                    thread.stop()
            except Exception as error:
                errors.append(error)

        stopping = threading.Thread(target=stop_again_and_again)
        stopping.start()
        with contextlib.suppress(aserve.BootError):
            thread.start()
        ended.set()
        stopping.join(30)
        thread.stop()
        assert errors == []
        assert not thread.server.running


def test_running_requests_are_finished_at_a_stop() -> None:
    started, may_end = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        started.set()
        may_end.wait(10)
        return wsgi(environ, start_response)

    answers: list[bytes] = []
    with aserve.Server(app, bind=ANY).in_thread() as thread:
        asking = threading.Thread(target=lambda: answers.append(get(thread.url)))
        asking.start()
        started.wait(10)
        threading.Timer(0.1, may_end.set).start()
    asking.join(10)
    assert answers and answers[0].startswith(b"aserve-")


def test_a_stop_at_once() -> None:
    app = Steps("request")

    def ask_in_vain(port: int) -> None:
        with pytest.raises(AssertionError):
            asyncio.run(ask(port))

    thread = aserve.Server(app, bind=ANY, graceful_timeout=3600).in_thread().start()
    asking = threading.Thread(target=ask_in_vain, args=(thread.port,))
    asking.start()
    while "request" not in app.journal:
        asking.join(0.01)
    thread.stop(at_once=True)
    asking.join(10)
    assert app.journal == ["startup", "request", "request cancelled", "cleaned up", "shutdown"]


def test_a_thread_of_the_application_that_outlives_the_server(caplog: pytest.LogCaptureFixture) -> None:
    started, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        started.set()
        may_end.wait(10)
        try:
            return wsgi(environ, start_response)
        finally:
            ended.set()

    with aserve.Server(app, bind=ANY, graceful_timeout=0.1, threads=1).in_thread() as thread:
        asking = asyncio.new_event_loop()
        client = threading.Thread(target=lambda: asking.run_until_complete(in_vain(thread.port)))
        client.start()
        started.wait(10)
    client.join(10)
    asking.close()
    assert "threads of the application are still at work" in caplog.text
    may_end.set()  # its loop is closed: that is nobody's failure
    ended.wait(10)
    for each in threading.enumerate():
        if each.name == "aserve-0":
            each.join(10)


async def in_vain(port: int) -> None:
    with pytest.raises(AssertionError):
        await ask(port)


def test_errors_of_the_application_are_answered(caplog: pytest.LogCaptureFixture) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise RuntimeError("deliberate")

    with aserve.Server(app, bind=ANY).in_thread() as thread:
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(thread.url)
        assert caught.value.code == 500
        caught.value.close()
    assert "RuntimeError: deliberate" in caplog.text
