"""Programs with a server in them that are interrupted, each a process of its own."""

from __future__ import annotations

import signal
import time

import pytest

from tests.embedding.apps import is_refused
from tests.embedding.conftest import Script
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

PROGRAM = """\
import asyncio, logging, sys, warnings
import aserve

warnings.simplefilter("error")
logging.basicConfig(level=logging.INFO, format="%(message)s")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if "hang" in sys.argv:
            print("hangs", flush=True)
            await asyncio.Event().wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] == "/hang":
        print("hangs", flush=True)
        await asyncio.Event().wait()


server = aserve.Server(app, bind="127.0.0.1:0", graceful_timeout=3600)
"""


def running(program: ServerProcess) -> ServerProcess:
    """Return the program when a request hangs in it."""
    client = RawClient(("127.0.0.1", program.port))
    client.send(request(target="/hang"))
    program.wait_line("hangs")
    client.socket.detach()  # it stays open until this process ends
    return program


def test_ctrl_c_twice_under_asyncio_run(script: Script) -> None:
    program = running(script(PROGRAM + "asyncio.run(server.serve(), debug=True)\n", ready=False))
    program.allowed_tracebacks.append("KeyboardInterrupt")
    program.signal(signal.SIGINT)
    while not is_refused(program.port):
        time.sleep(0.01)
    program.signal(signal.SIGINT)
    assert program.wait() == -signal.SIGINT


def test_the_second_ctrl_c_in_the_middle_of_what_the_first_began(script: Script) -> None:
    source = """
import signal
from aserve.listeners import Listeners

async def interrupted(self, *, empty):
    signal.raise_signal(signal.SIGINT)

Listeners.close = interrupted
asyncio.run(server.serve(), debug=True)
"""
    program = running(script(PROGRAM + source, ready=False))
    program.allowed_tracebacks.append("KeyboardInterrupt")
    program.signal(signal.SIGINT)
    assert program.wait() == -signal.SIGINT


@pytest.mark.parametrize("times", [1, 2])
def test_signals_that_the_server_handles(times: int, script: Script) -> None:
    source = PROGRAM + 'asyncio.run(server.serve(handle_signals=True), debug=True)\nprint("after")\n'
    program = script(source, ready=False)
    if times == 2:
        running(program)
    else:
        assert program.port
    for _ in range(times):
        mark = program.mark()
        program.signal(signal.SIGTERM)
        program.wait_line("stopping: signal SIGTERM", since=mark)
    assert program.wait() == 0
    assert program.lines("stdout")[-1] == "after"


def test_a_signal_in_the_start_up(script: Script) -> None:
    source = (
        PROGRAM + 'sys.argv.append("hang")\nasyncio.run(server.serve(handle_signals=True))\nprint("after")\n'
    )
    program = script(source, ready=False)
    program.wait_line("hangs")
    program.signal(signal.SIGINT)
    assert program.wait() == 0
    assert program.lines("stdout") == ["hangs", "after"]


def test_ctrl_c_while_a_thread_starts(script: Script) -> None:
    program = script(PROGRAM + 'sys.argv.append("hang")\nserver.in_thread().start()\n', ready=False)
    program.allowed_tracebacks.append("KeyboardInterrupt")
    program.wait_line("hangs")
    program.signal(signal.SIGINT)
    assert program.wait() == -signal.SIGINT


def test_a_program_that_ends_without_a_stop(script: Script) -> None:
    source = PROGRAM + 'server.in_thread().start()\nprint("after", flush=True)\n'
    program = script(source, ready=False)
    assert program.wait() == 0
    assert program.lines("stdout") == ["after"]
