"""Applications in greenlets: what waits lets others go on, and the loop is left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.client import RawClient, request
from tests.support.pool import GREENLETS, TESTS, Flavour, ServerPool
from tests.support.process import ServerProcess
from tests.support.site import Site
from tests.support.wire import IncompleteResponseError

APP = "apps.greenlet_app:application"

WAYS = (
    *("sleep", "lock", "event", "condition", "queue", "simple-queue", "socket", "socket-timeout", "select"),
    *("poll", "selector", "subprocess", "thread", "executor", "client", "client-below"),
    *("import-lock", "import-socket", "import-thread"),
)
"""How a request of that application may wait."""


@pytest.fixture(params=GREENLETS, ids=str)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    chosen: Flavour = request.param
    return chosen


@pytest.fixture
async def site(pool: ServerPool, flavour: Flavour) -> AsyncIterator[Site]:
    async with Site(pool.get("greenlet_app:application", flavour)) as opened:
        yield opened


@pytest.fixture
async def impatient(pool: ServerPool, flavour: Flavour) -> AsyncIterator[Site]:
    """One with a limit for requests."""
    server = pool.get("greenlet_app:application", flavour, "--request-timeout", "0.3")
    async with Site(server) as opened:
        yield opened


class Meeting:
    """A server that answers its clients when all of them are there.

    first, last: the first client is there, all are.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._here = 0
        self.first = asyncio.Event()
        self.last = asyncio.Event()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        self.first.set()
        self._here += 1
        if self._here == self._number:
            self.last.set()
        await self.last.wait()
        writer.write(b"all are here")
        writer.close()
        await writer.wait_closed()


async def test_five_hundred_requests_at_once(site: Site) -> None:
    """Each sleeps and talks to a server, which lets none go before the last one has come."""
    number = 500
    meeting = await asyncio.start_server(Meeting(number).meet, "127.0.0.1", 0, backlog=number)
    port = meeting.sockets[0].getsockname()[1]
    async with meeting:
        asked = (site.ask(request(target=f"/meet/{port}")) for _ in range(number))
        answers = await asyncio.gather(*asked)
    assert {answer.body for answer in answers} == {b"all are here"}


@pytest.mark.parametrize("way", WAYS)
async def test_others_go_on_while_one_waits(site: Site, way: str) -> None:
    if way == "poll" and "eventlet" in site.server.command:
        pytest.skip("eventlet takes select.poll away")
    waiting = asyncio.create_task(site.ask(request(target=f"/wait/{site.key}?way={way}")))
    await site.wait("entered")
    assert (await site.http.get("/")).text == "hello"
    assert not waiting.done()
    assert (await site.http.get(f"/go/{site.key}")).text == "went"
    assert (await waiting).body == b"waited"


async def test_a_streaming_body_is_waited_for(site: Site) -> None:
    async with site.raw() as client:
        head = b"POST /read/all HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"
        await client.send(head + b"x" * 100_000)
        assert (await site.http.get("/")).text == "hello"
        await client.send(b"x" * 100_000)
        assert (await client.read()).json()["size"] == 200_000


async def test_both_threads_log(site: Site) -> None:
    """The application logs in the one, the server in the other: each line is there, and whole."""

    async def ask(number: int) -> None:
        async with site.raw() as client:
            assert (await client.ask(request(target=f"/log/{number:04}"))).text == "logged"
            assert (await client.ask(request(target=f"/short/{number:04}"))).status == 500

    await asyncio.gather(*(ask(number) for number in range(100)))
    for number in range(100):
        site.server.wait_line(rf"^noted in wsgi\.errors: {number:04}$", since=site.since)
        site.server.wait_line(rf"\] \[ERROR\] .*: GET /short/{number:04}$", since=site.since)


async def test_a_request_that_takes_too_long_is_killed(impatient: Site) -> None:
    """What it would do at its end is done, and the log says where it was."""
    response = await impatient.ask(request(target=f"/wait/{impatient.key}?way=socket"))
    assert response.status == 503
    await impatient.wait("left")
    impatient.server.wait_line("request timeout: 0.3 s are over: GET /wait", since=impatient.since)
    impatient.server.wait_line(r"greenlet_app\.py.* in wait$", since=impatient.since)
    assert (await impatient.http.get("/")).text == "hello"
    assert impatient.tracebacks() == []


async def test_what_is_killed_may_not_answer_any_more(impatient: Site) -> None:
    async with impatient.raw() as client:
        response = await client.ask(request(target=f"/stubborn/{impatient.key}"))
        assert (response.status, response.header("connection")) == (503, "close")
        assert await client.read_until_closed() == b""
    assert await impatient.wait("killed") == ["GreenletExit"]


async def test_a_stream_that_takes_too_long_is_closed(impatient: Site) -> None:
    """It hears of it where it waits for its client, as if that had gone."""
    async with impatient.raw(receive_buffer=4096) as client:
        await client.send(request(target=f"/endless/{impatient.key}"))
        await asyncio.to_thread(impatient.server.wait_line, "over: GET /endless", since=impatient.since)
        assert await impatient.wait("closed") == [""]
        with pytest.raises((IncompleteResponseError, AssertionError)):
            await client.read()


async def test_the_limit_of_greenlets(flavour: Flavour) -> None:
    """Of ten requests three are at work at any time, and all in the end."""
    script = LIMIT_SCRIPT.format(worker_class=flavour.worker_class)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, out.decode().split()) == (0, ["3", "10"])


LIMIT_SCRIPT = """
import asyncio
from aserve.adapters import make_runner
from aserve.adapters.runner import RunnerOptions

active = most = done = 0

class Work:
    def handle(self, place):
        global active, most
        active += 1
        most = max(most, active)
        import time
        time.sleep(0.01)
        active -= 1
        runner.post(finish)

def finish():
    global done
    done += 1
    if done == 10:
        over.set()

loop = asyncio.new_event_loop()
runner = make_runner("{worker_class}", loop, RunnerOptions(connections=3))

async def main():
    global over
    over = asyncio.Event()
    runner.start()
    for _ in range(10):
        runner.submit(Work())
    await over.wait()
    print(most, done, flush=True)
    runner.close()

loop.run_until_complete(main())
loop.run_until_complete(runner.unload(lambda: None))
loop.close()
"""


async def test_exit_of_a_greenlet_ends_nothing_else(site: Site) -> None:
    assert (await site.http.get("/exit-thread")).text == "still here"
    site.server.wait_line(r"has ended itself alone: SystemExit\(3\)$", since=site.since)
    assert (await site.http.get("/")).text == "hello"


async def test_no_loop_is_running(site: Site) -> None:
    """Or frameworks would refuse to run synchronous code."""
    assert (await site.http.get("/running-loop")).text == "none"


async def test_forks(site: Site) -> None:
    assert (await site.http.get("/fork")).json() == {"status": 7}
    assert (await site.http.get("/")).text == "hello"


async def test_stop_finishes_what_runs_and_has_the_exit_functions_called(
    serve: Serve, flavour: Flavour, tmp_path: Path
) -> None:
    """And nothing is said of what was replaced, or replaced too late; the access log is complete."""
    meeting = Meeting(2)
    async with await asyncio.start_server(meeting.meet, "127.0.0.1", 0) as meets:
        port = meets.sockets[0].getsockname()[1]
        log = tmp_path / "access.log"
        server = serve(*flavour.options, "--access-logfile", str(log), APP, cwd=TESTS)
        async with Site(server) as site:
            running = asyncio.create_task(site.ask(request(target=f"/meet/{port}")))
            await meeting.first.wait()
            assert (await site.http.get(f"/linger/{site.key}")).text == "lingers"
            await site.note("go")
            server.signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait_line, "draining")
            assert not running.done()
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"the second\n")
            assert (await running).body == b"all are here"
            writer.close()
    await asyncio.to_thread(server.wait)
    assert server.lines("stdout") == ["the thread has ended", "the end was called: True"]
    assert [line for line in server.lines("stderr") if not line.startswith("[")] == []
    paths = [line.split()[6].split("/")[1] for line in log.read_text().splitlines()]
    assert paths == ["linger", "journal", "meet"]


async def test_a_stop_that_lasts_too_long_kills(serve: Serve, flavour: Flavour) -> None:
    """What a request does at its end is done even then."""
    server = serve(*flavour.options, "--graceful-timeout", "0.2", APP, cwd=TESTS)
    async with Site(server) as site:
        waiting = asyncio.create_task(site.ask(request(target=f"/last/{site.key}")))
        await site.wait("entered")
        server.signal(signal.SIGTERM)
        with pytest.raises((IncompleteResponseError, ConnectionResetError, AssertionError)):
            await waiting
    await asyncio.to_thread(server.wait)
    server.wait_line("the last words", stream="stdout")


@pytest.mark.parametrize("flavour", GREENLETS[:1], ids=str, indirect=True)
async def test_an_application_that_holds_everything_up(impatient: Site, tmp_path: Path) -> None:
    """The loop goes on: it answers what needs no application, and tells where that is."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with impatient.raw() as client:
        await client.send(request(target=f"/hold-up?path={fifo}"))
        writer = await asyncio.to_thread(os.open, fifo, os.O_WRONLY)  # returns when the other end is open
        try:
            assert (await impatient.ask(b"nonsense\r\n\r\n")).status == 400
            assert (await client.read()).status == 503
            assert (await impatient.ask(request(target="/"))).status == 503
            impatient.server.wait_line("No greenlet gets its turn", since=impatient.since)
            impatient.server.wait_line(r"greenlet_app\.py.* in hold_up$", since=impatient.since)
        finally:
            os.write(writer, b"x")
            os.close(writer)
    assert (await impatient.http.get("/")).text == "hello"


def check(*args: str, folder: Path) -> tuple[int, str]:
    server = ServerProcess(*args, cwd=folder).start(ready=False)
    status = server.wait()
    return status, server.lines()[-1]


def test_not_with_preload(flavour: Flavour, app_dir: Path) -> None:
    status, line = check(*flavour.options, "--preload", "main:app", folder=app_dir)
    assert status == 2
    assert line.startswith(f"aserve: error: --preload: not with -k {flavour.worker_class}:")


def test_what_to_install(flavour: Flavour, app_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, one line says so."""
    from aserve import config
    from aserve.errors import UsageError

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    given = {"app": "main:app", "worker_class": flavour.worker_class}
    with pytest.raises(UsageError) as caught:
        config.resolve(given, {})
    assert str(caught.value).endswith(f"pip install 'aserve-server[{flavour.worker_class}]'")


def test_check_config(flavour: Flavour) -> None:
    status, _ = check(*flavour.options, "--check-config", APP, folder=TESTS)
    assert status == 0


DEEP = """
import socket
import threading
import time

def deep(levels, call):
    if levels == 0:
        return call()
    return sorted([levels - 1], key=lambda left: deep(left, call) or 0)

def talk():
    ours, theirs = socket.socketpair()

    def say():
        for _ in range(3):
            time.sleep(0.001)
            theirs.send(b"x")

    threading.Thread(target=say).start()
    for _ in range(3):
        ours.recv(1)
    ours.close()
    theirs.close()

def app(environ, start_response):
    for levels in range(80):
        deep(levels, talk)
    start_response("200 OK", [])
    return [b"done"]
"""


def test_waiting_at_any_depth_of_the_stack(serve: Serve, app_dir: Path, flavour: Flavour) -> None:
    """What the loop keeps on its stack while it tells of descriptors is not where the greenlet's own is."""
    (app_dir / "main.py").write_text(DEEP)
    server = serve(*flavour.options, "main:app")
    workers = server.worker_pids()
    with RawClient(server.target) as client:
        assert client.ask(request()).text == "done"
    assert server.worker_pids() == workers


SHORT = """
import os

# The parent goes on when the child has ended.
os.register_at_fork(after_in_parent=lambda: os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT))

def app(environ, start_response):
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    start_response("200 OK", [])
    return [b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])]
"""


def test_a_first_child_that_has_ended_already(serve: Serve, app_dir: Path, flavour: Flavour) -> None:
    """Its end is not missed, though nobody waited for one before."""
    (app_dir / "main.py").write_text(SHORT)
    with RawClient(serve(*flavour.options, "main:app").target) as client:
        assert client.ask(request()).text == "7"
