"""The lifespan protocol, without a server around it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest

from aserve.adapters.lifespan import Lifespan, LifespanError


def application(log: list[str], *, at: str = "", kind: str = "") -> Any:
    """A lifespan application; at phase `at` it does `kind`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for phase in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{phase}"
            log.append(phase)
            if at == phase and kind == "raise":
                raise ValueError(f"deliberate at {phase}")
            if at == phase and kind == "return":
                return
            failed = at == phase and kind == "fail"
            scope["state"]["seen"] = phase
            outcome = "failed" if failed else "complete"
            await send({"type": f"lifespan.{phase}.{outcome}", "message": "no luck"})
            if failed:
                return

    return app


async def test_complete() -> None:
    log: list[str] = []
    lifespan = Lifespan(application(log), "on")
    await lifespan.startup()
    assert lifespan.state == {"seen": "startup"}
    await lifespan.shutdown()
    assert log == ["startup", "shutdown"]


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_startup_failed(mode: str) -> None:
    with pytest.raises(LifespanError, match="start-up failed: no luck"):
        await Lifespan(application([], at="startup", kind="fail"), mode).startup()


@pytest.mark.parametrize("kind", ["raise", "return"])
async def test_unsupported(kind: str) -> None:
    lifespan = Lifespan(application([], at="startup", kind=kind), "auto")
    await lifespan.startup()
    await lifespan.shutdown()
    with pytest.raises(LifespanError, match="instead of answering") as caught:
        await Lifespan(application([], at="startup", kind=kind), "on").startup()
    assert isinstance(caught.value.cause, ValueError) is (kind == "raise")


async def test_what_the_application_raised_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """It may be that its start-up has failed, not that it knows no lifespan."""
    caplog.set_level(logging.INFO, "aserve")
    await Lifespan(application([], at="startup", kind="raise"), "auto").startup()
    assert caplog.messages == [
        "served without lifespan events: the application raised ValueError: deliberate at startup"
    ]


@pytest.mark.parametrize(("message", "told"), [("", "ValueError"), ("one\ntwo", "ValueError: one")])
async def test_what_was_raised_is_one_line(message: str, told: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError(message)

    caplog.set_level(logging.INFO, "aserve")
    await Lifespan(app, "auto").startup()
    assert caplog.messages == [f"served without lifespan events: the application raised {told}"]
    with pytest.raises(LifespanError, match=f"^the application raised {told} instead of answering"):
        await Lifespan(app, "on").startup()


async def test_off() -> None:
    log: list[str] = []
    lifespan = Lifespan(application(log), "off")
    await lifespan.startup()
    await lifespan.shutdown()
    assert not log


@pytest.mark.parametrize(("kind", "logged"), [("fail", "shutdown failed: no luck"), ("raise", "deliberate")])
async def test_shutdown_failure_is_logged(kind: str, logged: str, caplog: pytest.LogCaptureFixture) -> None:
    lifespan = Lifespan(application([], at="shutdown", kind=kind), "on")
    await lifespan.startup()
    with caplog.at_level(logging.ERROR, "aserve"):
        await lifespan.shutdown()
    assert logged in caplog.text


@pytest.mark.parametrize("kind", ["http.response.start", "lifespan.shutdown.complete"])
async def test_another_message_is_no_answer(kind: str) -> None:
    """An application that takes the lifespan scope for a request does not support it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": kind, "status": 200})

    lifespan = Lifespan(app, "auto")
    await lifespan.startup()
    assert not lifespan.supported
    await lifespan.shutdown()
    with pytest.raises(LifespanError, match="instead of answering"):
        await Lifespan(app, "on").startup()


@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize("last", ["startup.failed", "shutdown.complete", "shutdown.failed"])
async def test_an_application_that_waits_for_another_event(last: str, pause: bool) -> None:
    """It would wait for ever, and its worker with it."""
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            while True:
                kind = (await receive())["type"]
                failed = last == f"{kind.removeprefix('lifespan.')}.failed"
                await send({"type": f"{kind}.{'failed' if failed else 'complete'}"})
                if pause:
                    await asyncio.sleep(0.01)
                    ended.append("paused")
        finally:
            ended.append("ended")

    lifespan = Lifespan(app, "on")
    async with asyncio.timeout(10):
        if last.startswith("startup"):
            with pytest.raises(LifespanError, match="start-up failed"):
                await lifespan.startup()
        else:
            await lifespan.startup()
            await lifespan.shutdown()
    assert ended[-1] == "ended"
    assert ended.count("paused") == (pause + (pause and last.startswith("shutdown")))


async def test_what_comes_behind_the_answer_is_waited_for() -> None:
    log: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        await asyncio.sleep(0.05)
        log.append("closed")

    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    await asyncio.sleep(0.05)
    await lifespan.shutdown()
    assert log == ["closed"]


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_an_exit_in_the_start_up_fails_it(mode: str, error: BaseException) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    with pytest.raises(LifespanError, match=f"start-up failed: {type(error).__name__}") as caught:
        await Lifespan(app, mode).startup()
    assert caught.value.cause is error


async def test_an_exit_in_the_shutdown_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise SystemExit(3)

    lifespan = Lifespan(app, "on")
    await lifespan.startup()
    await lifespan.shutdown()
    assert "application shutdown failed" in caplog.text
    assert "SystemExit: 3" in caplog.text


@pytest.mark.parametrize("phase", ["startup", "shutdown"])
async def test_cancelled_the_application_cleans_up(phase: str) -> None:
    entered, log = asyncio.Event(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for each in ("startup", "shutdown"):
            await receive()
            if each == phase:
                entered.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(0.01)
                    log.append("clean")
            await send({"type": f"lifespan.{each}.complete"})

    lifespan = Lifespan(app, "on")
    if phase == "shutdown":
        await lifespan.startup()
    waiting = asyncio.create_task(getattr(lifespan, phase)())
    await entered.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert log == ["clean"]
