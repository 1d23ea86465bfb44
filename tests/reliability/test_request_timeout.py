"""A request that takes too long and cannot be ended: its client is answered, its worker replaced."""

from __future__ import annotations

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, ask
from tests.support.client import RawClient, request

_WSGI = """
import time

def app(environ, start_response):
    while environ["PATH_INFO"] == "/stuck":
        time.sleep(1)
    start_response("200 OK", [])
    return [b"one"]
"""

# It takes no notice of being cancelled.
_ASGI = """
import asyncio

async def app(scope, receive, send):
    while scope["path"] == "/stuck":
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one"})
"""


@pytest.mark.parametrize(
    ("source", "last_words"),
    [
        pytest.param(_WSGI, r"1 s are over, connections cut off: 0$", id="wsgi"),
        # More than five seconds
        pytest.param(_ASGI, r"ends, 5 s are over; still running", id="asgi", marks=pytest.mark.slow),
    ],
)
def test_a_stuck_request_costs_its_worker(serve: Serve, code: Code, source: str, last_words: str) -> None:
    code.broken(source)
    options = ("--request-timeout", "0.3", "--graceful-timeout", "1", "--lifespan", "off")
    server = serve(*options, "main:app")
    (pid,) = server.worker_pids()
    with RawClient(server.target) as client:
        assert client.ask(request(target="/stuck")).status == 503
    server.wait_line(r"\[WARNING\] request timeout: 0\.3 s are over: GET /stuck$")
    server.wait_line(r"main\.py\", line \d+, in app$")  # where it is stuck
    why = "still at work long after the request timeout: GET /stuck"
    server.wait_line(rf"worker=0 gen=1 pid={pid} recycling: {why}$")
    server.wait_line(rf"worker=0 gen=1 pid={pid} draining$")
    assert ask(server) == "one"
    server.wait_line(rf"pid={pid}.* {last_words}")
    server.wait_line(rf"worker=0 gen=1 pid={pid} exited$")
