"""Bad clients of every kind, alone and by the thousand: each is ended in bounded time, nobody else suffers.

What the kinds do, and what each is told, stands in tests/support/badkinds.py.
"""

from __future__ import annotations

import asyncio
import random
import resource
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.conftest import Serve
from tests.support import report
from tests.support.badclients import PATIENCE, Interface, Kind, Outcome, run
from tests.support.badkinds import KINDS
from tests.support.client import AsyncRawClient, RawClient, Target, request
from tests.support.footprint import needs_proc, sockets
from tests.support.pool import FLAVOURS, TESTS, Flavour, ServerPool
from tests.support.process import ServerProcess
from tests.support.wire import Incoming, Response, read_response

pytestmark = needs_proc

KEEP_ALIVE = 1.0
TIMES = ("--header-timeout", "2", "--body-timeout", "2", "--write-timeout", "2", "--keep-alive", "1")
LIMITS = ("--limit-request-body", "100000000")

APPS: dict[Interface, str] = {"asgi": "asgi_heavy:app", "wsgi": "wsgi_heavy:application"}
THREADS = ("--threads", "40")
"""Enough for those bad clients who have got one for as long as they last."""

CROWD = 2000
GOOD = 8


@dataclass(frozen=True, slots=True)
class Stage:
    """A running application of ours, with short timeouts."""

    interface: Interface
    flavour: Flavour

    def __str__(self) -> str:
        return f"{self.interface}-{self.flavour}"

    def server(self, pool: ServerPool) -> ServerProcess:
        """The server; the same one for all tests."""
        return pool.get(APPS[self.interface], self.flavour, *TIMES, *LIMITS, *THREADS)


STAGES = [Stage(interface, flavour) for interface in APPS for flavour in FLAVOURS]


@dataclass(frozen=True, slots=True)
class Performance:
    """What became of the bad clients at a stage, by kind, and whether all were ended by the server."""

    outcomes: dict[str, Outcome]
    all_ended: bool


Performances = dict[Stage, Performance]


async def ask(target: Target, path: str = "/") -> Response:
    """Ask on a connection of its own."""
    async with AsyncRawClient(target) as client:
        return await client.ask(request("GET", path, [("Connection", "close")]))


async def perform(
    server: ServerProcess, kinds: list[Kind], pace: float, good: int = 0
) -> tuple[list[Outcome], bool]:
    """Let a crowd loose on `server`, until it has no connection left but the `good` ones (see `run`)."""
    (pid,) = server.worker_pids()
    await ask(server.target)
    left = sockets(pid) + good
    return await run(
        server.target,
        kinds,
        pace=pace,
        # The queue of connections is first in, first out.
        arrived=lambda: ask(server.target),
        ended=lambda: sockets(pid) <= left,
    )


@pytest.fixture(scope="module")
def performances(pool: ServerPool) -> Performances:
    """One bad client of each kind at each stage, all of them at the same time."""
    servers = [stage.server(pool) for stage in STAGES]

    async def perform_all() -> list[tuple[list[Outcome], bool]]:
        return await asyncio.gather(*(perform(server, KINDS, 0.2) for server in servers))

    found = asyncio.run(perform_all())
    return {
        stage: Performance({outcome.kind: outcome for outcome in outcomes}, all_ended)
        for stage, (outcomes, all_ended) in zip(STAGES, found, strict=True)
    }


@pytest.fixture
def stage(request: pytest.FixtureRequest, pool: ServerPool) -> Stage:
    """The stage of the test; its server's output belongs to the report."""
    chosen: Stage = request.param
    report.watch(request, chosen.server(pool))
    return chosen


every_stage = pytest.mark.parametrize("stage", STAGES, ids=str, indirect=True)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


def responses(data: bytes) -> Iterator[Response]:
    """Read the responses, which are complete, strictly."""
    incoming = Incoming()
    incoming.data += data
    incoming.end = "closed"
    while incoming.data:
        try:
            next(read_response(incoming))
        except StopIteration as stop:
            yield stop.value


@every_stage
@every_kind
def test_every_kind_is_ended(performances: Performances, stage: Stage, kind: Kind) -> None:
    """Each is told what it did wrong, as far as HTTP has words for it, and cut off."""
    outcome = performances[stage].outcomes[kind.name]
    assert outcome.statuses in kind.statuses.split("|"), outcome
    assert outcome.end != "open", outcome
    if not kind.whole:
        return
    assert outcome.end == "closed", outcome
    read = list(responses(outcome.data))
    interim = [each for response in read for each in response.interim]
    assert " ".join(str(each.status) for each in interim + read) == outcome.statuses
    for response in read:
        if response.status in (400, 408, 413, 414, 431):
            assert "close" in response.connection, response
            assert response is read[-1]


@every_stage
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.told], ids=str)
def test_the_application_learns_of_it(
    performances: Performances, stage: Stage, kind: Kind, pool: ServerPool
) -> None:
    """It is released where it waits, with an OSError; a WSGI application's thread is free again."""
    if stage.interface not in kind.told:
        pytest.skip("the application is not called for it")
    key = performances[stage].outcomes[kind.name].key
    with RawClient(stage.server(pool).target) as client:
        notes = client.ask(
            request(target=f"/journal/closed-{key}?count=1", headers=[("Connection", "close")])
        )
    assert notes.json() in (["OSError"], [""])


@every_stage
def test_no_connection_is_left(performances: Performances, stage: Stage, pool: ServerPool) -> None:
    """Nothing is held for ever, by nobody."""
    performance = performances[stage]
    assert [each.kind for each in performance.outcomes.values() if each.end == "open"] == []
    assert performance.all_ended
    assert stage.server(pool).tracebacks() == []


async def test_a_rest_that_nobody_reads(pool: ServerPool) -> None:
    """Too little to make the server cease to write, and yet it does not leave."""
    async with asyncio.TaskGroup() as tasks:
        for stage in STAGES:
            tasks.create_task(leave_rests(stage.server(pool)))


async def leave_rests(server: ServerProcess) -> None:
    """Read nothing of some responses; return when the server has got rid of the connections.

    What the kernel takes of a response differs a little from one to the next: so there are many
    of about that size, and for some of them there will be such a rest.
    """
    (pid,) = server.worker_pids()
    await ask(server.target)
    left = sockets(pid)
    key = uuid.uuid4().hex
    with ExitStack() as stack:

        async def ask_and_not_read(target: str) -> None:
            client = AsyncRawClient(server.target, receive_buffer=16_384)
            stack.enter_context(client.socket)
            await client.__aenter__()
            await client.send(request(target=target))

        await ask_and_not_read(f"/counted/{key}?count=10000&size=16384")
        taken = seen = 0
        while seen < 5:
            await asyncio.sleep(0.05)
            notes = (await ask(server.target, f"/journal/sent-{key}?count=0")).json()
            seen = seen + 1 if len(notes) == taken else 0
            taken = len(notes)
        held = taken * 16_384
        for size in range(max(10_000, held - 500_000), held + 300_000, 20_000):
            await ask_and_not_read(f"/whole?size={size}")
        await ask(server.target)
        async with asyncio.timeout(PATIENCE):
            while sockets(pid) > left:
                await asyncio.sleep(0.1)


async def test_a_slow_client_costs_no_thread(serve: Serve) -> None:
    """With a single thread, and clients who are slow for as long as they want."""
    kinds = [kind for kind in KINDS if not kind.at_work]
    server = serve("--threads", "1", "apps.wsgi_heavy:application", cwd=TESTS)
    asked = False

    async def ask_often() -> None:
        nonlocal asked
        for _ in range(20):
            assert (await ask(server.target)).text == "hello"
            await asyncio.sleep(0.05)
        asked = True

    await run(server.target, kinds, pace=0.2, arrived=ask_often, ended=lambda: asked)


# -- by the thousand ------------------------------------------------------------------------------


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Room for that many connections, in this process and in the servers that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CROWD
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            pytest.skip(f"only {hard} descriptors are allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def quietly(server: ServerProcess) -> Iterator[None]:
    """Run `server`; should the test fail, its thousands of log lines are no help."""
    server.start()
    try:
        yield
        server.stop()
    finally:
        server.kill()


async def be_good(target: Target, over: asyncio.Event, times: list[float]) -> None:
    """Ask and ask again, small and large; every answer must be right."""
    while not over.is_set():
        async with AsyncRawClient(target) as client:
            for size in (0, 10, 100_000, 0):
                begun = time.perf_counter()
                if size:
                    response = await client.ask(request("POST", "/swallow/good", body=bytes(size)))
                    assert response.json() == {"size": size}
                else:
                    assert (await client.ask(request())).text == "hello"
                times.append(time.perf_counter() - begun)
                await asyncio.sleep(0.02)
                if time.perf_counter() - begun > KEEP_ALIVE / 2:
                    break  # perhaps this process was slow to look: the server may be about to close


@pytest.mark.parametrize(
    ("interface", "flavour"),
    [
        pytest.param("asgi", FLAVOURS[0], id="asgi"),
        pytest.param("wsgi", FLAVOURS[1], id="wsgi", marks=pytest.mark.slow),
    ],
)
async def test_a_crowd_of_them(descriptors: None, interface: Interface, flavour: Flavour) -> None:
    """Meanwhile good requests are answered as ever, and at the end every connection is gone."""
    # Every kind is there as often, but for those that have one of a few threads for seconds.
    kinds = [kind for kind in KINDS if interface == "asgi" or not kind.at_work]
    crowd = [kinds[number % len(kinds)] for number in range(CROWD)]
    random.Random(1).shuffle(crowd)
    server = ServerProcess(*TIMES, *LIMITS, *THREADS, *flavour.options, f"apps.{APPS[interface]}", cwd=TESTS)
    times: list[float] = []
    over = asyncio.Event()
    with quietly(server):
        good = [asyncio.create_task(be_good(server.target, over, times)) for _ in range(GOOD)]
        try:
            found, all_ended = await perform(server, crowd, 1.0, GOOD)
        finally:
            over.set()
            await asyncio.gather(*good)
        assert [outcome.kind for outcome in found if outcome.end == "open"] == []
        assert all_ended
        assert len(times) > GOOD
    times.sort()
    print(
        f"{len(times)} good requests among {CROWD} bad clients: "
        f"median {times[len(times) // 2] * 1000:.1f} ms, "
        f"99 % {times[len(times) * 99 // 100] * 1000:.1f} ms, worst {times[-1] * 1000:.1f} ms"
    )
