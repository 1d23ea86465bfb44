"""Deadlines hit only those who miss them: not who was in time, not who is slow and steady, not who waits.

Every time limit of the servers here is a second or less, and what is tested takes longer than that.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from tests.conftest import Serve
from tests.support.badclients import Interface
from tests.support.client import AsyncRawClient, RawClient, chunked, request
from tests.support.footprint import needs_proc, wait_for_rest
from tests.support.pool import FLAVOURS, TESTS, Flavour
from tests.support.process import ServerProcess

TIMES = ("--header-timeout", "1", "--body-timeout", "1", "--write-timeout", "1", "--keep-alive", "1")
LONGER = 2.5
"""Seconds: longer than each of the limits together with the sweep that finds out."""

APPS: dict[Interface, str] = {"asgi": "asgi_heavy:app", "wsgi": "wsgi_heavy:application"}

Way = Callable[[ServerProcess], Coroutine[Any, Any, None]]

every_flavour = pytest.mark.parametrize("flavour", FLAVOURS, ids=str)


def start(serve: Serve, interface: Interface, flavour: Flavour) -> ServerProcess:
    """A server with short limits."""
    return serve(*TIMES, *flavour.options, f"apps.{APPS[interface]}", cwd=TESTS)


# -- in time --------------------------------------------------------------------------------------


def block(server: ServerProcess, client: RawClient) -> None:
    """Have the application keep the server's loop from everything else; return when it does."""
    client.send(request(target=f"/block/now?seconds={LONGER}"))
    server.wait_line("^blocking now$", stream="stdout")


@needs_proc
@every_flavour
def test_a_pause_of_the_loop_is_nobody_elses_fault(serve: Serve, flavour: Flavour) -> None:
    """After it the server looks at what came meanwhile before it looks at the clock."""
    server = start(serve, "asgi", flavour)
    size = 20_000_000
    # What came before the pause, and what comes during it
    requests = {
        "silent": (b"", request()),
        "in the head": (request()[:-1], b"\n"),
        "in the body": (request("POST", "/swallow/a", [("Content-Length", "4")]) + b"ab", b"cd"),
        "in a chunk": (
            request("POST", "/swallow/a", [("Transfer-Encoding", "chunked")]) + b"4\r\nab",
            b"cd\r\n0\r\n\r\n",
        ),
    }
    with ExitStack() as stack:

        def connect(receive_buffer: int | None = None) -> RawClient:
            return stack.enter_context(RawClient(server.target, receive_buffer=receive_buffer))

        blocking, idle, still_idle, halfway = connect(), connect(), connect(), connect()
        reader = connect(receive_buffer=65_536)
        reader.send(request(target=f"/whole?size={size}"))
        wait_for_rest(server.worker_pids()[0], quiet=0.1)
        clients = {name: connect() for name in requests}
        for name, client in clients.items():
            client.send(requests[name][0])
        halfway.send(b"GET /")
        assert still_idle.ask(request()).text == "hello"
        assert idle.ask(request()).text == "hello"

        blocking.send(request(target=f"/block/now?seconds={LONGER}"))
        server.wait_line("^blocking now$", stream="stdout")
        for name, client in clients.items():
            client.send(requests[name][1])
        idle.send(request())
        late = connect()
        late.send(request())
        # It takes what the kernel has for it, which the server cannot see.
        assert len(reader.read().body) == size
        assert blocking.read().text == "blocked"

        for name, client in {**clients, "idle": idle, "late": late}.items():
            assert client.read().status == 200, name
        # Who did nothing meanwhile is ended none the less.
        assert halfway.read().status == 408
        assert still_idle.read_until_closed() == b""


# -- slow and steady ------------------------------------------------------------------------------


async def upload_slowly(server: ServerProcess, framing: str) -> None:
    """Half a kilobyte each half second is more than is asked for."""
    pieces = [bytes(500)] * round(LONGER * 2)
    async with AsyncRawClient(server.target) as client:
        if framing == "length":
            await client.send(request("POST", "/swallow/a", [("Content-Length", str(500 * len(pieces)))]))
        else:
            await client.send(request("POST", "/swallow/a", [("Transfer-Encoding", "chunked")]))
        for piece in pieces:
            await asyncio.sleep(0.5)
            await client.send(piece if framing == "length" else chunked(piece)[:-5])
        if framing == "chunked":
            await client.send(b"0\r\n\r\n")
        assert (await client.read()).json() == {"size": 500 * len(pieces)}


async def upload_to_a_slow_application(server: ServerProcess) -> None:
    """The client would send, and is not let."""
    size = 10_000_000
    async with AsyncRawClient(server.target) as client:
        path = f"/late-swallow/a?seconds={LONGER}"
        await client.send(request("POST", path, body=bytes(size)))
        assert (await client.read()).json() == {"size": size}


async def upload_when_asked(server: ServerProcess, *, behind: bytes = b"", answers: int = 0) -> None:
    """A client that waits for 100 (Continue) is not late, as long as it has not come."""
    async with AsyncRawClient(server.target) as client:
        path = f"/late-swallow/a?seconds={LONGER}"
        head = request("POST", path, [("Expect", "100-continue"), ("Content-Length", "2")])
        await client.send(behind + head)
        for _ in range(answers):
            await client.read()
        assert (await client.read_head()).status == 100
        await client.send(b"ab")
        assert (await client.read()).json() == {"size": 2}


async def upload_when_asked_in_turn(server: ServerProcess) -> None:
    """The same behind a request that takes its time."""
    path = f"/late-swallow/a?seconds={LONGER}"
    await upload_when_asked(server, behind=request("POST", path, body=b"x"), answers=1)


async def wait_for_a_slow_application(server: ServerProcess) -> None:
    """Nothing is asked of the client; requests behind the first one wait with it."""
    async with AsyncRawClient(server.target) as client:
        path = f"/late-swallow/a?seconds={LONGER}"
        await client.send(request("POST", path, body=b"x") + request() + request())
        assert (await client.read()).json() == {"size": 1}
        assert (await client.read()).text == "hello"
        assert (await client.read()).text == "hello"


async def wait_for_a_slow_stream(server: ServerProcess) -> None:
    """The client has read everything that there is."""
    async with AsyncRawClient(server.target) as client:
        await client.send(request(target="/steps/stream"))
        await client.read_head()
        await asyncio.sleep(LONGER)
        async with AsyncRawClient(server.target) as other:
            await other.ask(request("POST", "/journal/go-stream", [("Connection", "close")], b""))
        await client.read_bytes(len(b"6\r\nfirst\n\r\n7\r\nsecond\n\r\n0\r\n\r\n"))


async def read_slowly(server: ServerProcess) -> None:
    """A few hundred kilobytes a second, of a response that is larger than what the kernel holds."""
    loop = asyncio.get_running_loop()
    size = 12_000_000
    async with AsyncRawClient(server.target, receive_buffer=65_536) as client:
        await client.send(request(target=f"/whole?size={size}"))
        until = loop.time() + 2 * LONGER
        while loop.time() < until:
            client.incoming.data += await loop.sock_recv(client.socket, 20_000)
            await asyncio.sleep(0.05)
        assert len((await client.read()).body) == size


async def test_who_is_slow_and_steady_is_served(serve: Serve) -> None:
    """So is who has to wait for the application."""
    servers = [start(serve, interface, flavour) for interface in APPS for flavour in FLAVOURS]
    ways: list[Way] = [
        partial(upload_slowly, framing="length"),
        partial(upload_slowly, framing="chunked"),
        upload_to_a_slow_application,
        wait_for_a_slow_application,
        wait_for_a_slow_stream,
        read_slowly,
    ]
    await do_all(servers, ways)


async def test_who_waits_to_be_asked_for_the_body_is_served(serve: Serve) -> None:
    servers = [start(serve, interface, flavour) for interface in APPS for flavour in FLAVOURS]
    await do_all(servers, [upload_when_asked, upload_when_asked_in_turn])


async def do_all(servers: list[ServerProcess], ways: list[Way]) -> None:
    """Each way at each server, all at the same time."""
    async with asyncio.TaskGroup() as tasks:
        for server in servers:
            for way in ways:
                tasks.create_task(way(server))


# -- a stop ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("interface", APPS)
@every_flavour
@pytest.mark.parametrize(
    ("whom", "begun"), [("worker", ""), ("server", "GET / HTTP/1.1\r\nHo")], ids=["silent", "head-begun"]
)
def test_a_new_connection_gets_its_answer_during_a_stop(
    serve: Serve, interface: Interface, flavour: Flavour, whom: str, begun: str
) -> None:
    """It was accepted, so its first request is owed an answer, even if it comes a little later."""
    server = serve(*flavour.options, f"apps.{APPS[interface]}", cwd=TESTS)
    (pid,) = server.worker_pids()
    with RawClient(server.target) as client:
        client.send(begun.encode())
        with RawClient(server.target) as other:  # accepted behind it
            assert other.ask(request(headers=[("Connection", "close")])).text == "hello"
        os.kill(pid if whom == "worker" else server.pid, signal.SIGTERM)
        server.wait_line(rf"worker=0 gen=1 pid={pid} draining$")
        # It stays open, although it says nothing
        assert select.select([client.socket], [], [], 0.3)[0] == []
        response = client.ask(request()[len(begun) :])
        assert response.text == "hello"
        assert response.connection == {"close"}
        assert client.read_until_closed() == b""
    server.wait_line(rf"worker=0 gen=1 pid={pid} exited$")


@pytest.mark.parametrize("flavour", [FLAVOURS[0], pytest.param(FLAVOURS[1], marks=pytest.mark.slow)], ids=str)
def test_a_new_connection_that_says_nothing_does_not_hold_up_a_stop(serve: Serve, flavour: Flavour) -> None:
    server = serve(*flavour.options, "--graceful-timeout", "60", "apps.asgi_heavy:app", cwd=TESTS)
    with RawClient(server.target) as client:
        with RawClient(server.target) as other:
            other.ask(request(headers=[("Connection", "close")]))
        server.stop(timeout=15)
        assert client.read_until_closed() == b""
