"""Connections spread over the workers, and one that does not take its part."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code
from tests.support.client import AsyncRawClient, request
from tests.support.process import ServerProcess

CONNECTIONS = 400

FLAVOURS = [("uvloop", "127.0.0.1:0"), ("asyncio", "unix:fair.sock")]


async def burst(server: ServerProcess, count: int) -> Counter[int]:
    """Open so many kept connections at once; return how many each worker has, by its pid."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened() -> int:
            client = await stack.enter_async_context(AsyncRawClient(server.target))
            return int((await client.ask(request(target="/pid"))).text)

        return Counter(await asyncio.gather(*(opened() for _ in range(count))))


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize(("loop", "bind"), FLAVOURS)
async def test_a_burst_of_kept_connections_is_shared_out(
    serve: Serve, code: Code, loop: str, bind: str, workers: int
) -> None:
    code.asgi()
    server = serve("main:app", "-w", str(workers), "--loop", loop, bind=bind)
    counts = await burst(server, CONNECTIONS)
    assert set(counts) == set(server.worker_pids())
    assert max(counts.values()) <= 1.3 * min(counts.values()), counts


async def test_nobody_waits_for_a_worker_that_is_stopped(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("main:app", "-w", "3")
    stopped = server.worker_pids()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        assert stopped not in await burst(server, 100)
    finally:
        os.kill(stopped, signal.SIGCONT)
    async with asyncio.timeout(20):
        while stopped not in await burst(server, 100):
            pass  # the others do not wait for one that the system has not woken yet
