"""Starting, checking, measuring and stopping servers, with small ones that are written here."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pytest

from benchmarks import usage
from benchmarks.checks import CheckError, verify
from benchmarks.idle import IdleConnections
from benchmarks.processes import RunningServer, StartError, free_port, running
from benchmarks.scenarios import HELLO_EXCHANGE, Exchange

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

# A server of one thread for each connection. {answer} and {extra} make it a bad one.
SERVER = """
import os, socket, sys, threading, time
def serve(connection):
    while True:
        data = b""
        while not data.endswith(b"\\r\\n\\r\\n"):
            more = connection.recv(65536)
            if not more:
                return
            data += more
        {answer}
{extra}
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
held = []
while True:
    connection, _ = listener.accept()
    held.append(connection)
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
"""
GOOD = 'connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 13\\r\\n\\r\\nHello, World!")'


class Start(Protocol):
    """Runs a server of the given behaviour."""

    def __call__(
        self, answer: str = GOOD, extra: str = "", core: int | None = None
    ) -> AbstractContextManager[RunningServer]: ...


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def run(
        answer: str = GOOD, extra: str = "", core: int | None = None
    ) -> AbstractContextManager[RunningServer]:
        program = tmp_path / "server.py"
        program.write_text(textwrap.dedent(SERVER).format(answer=answer, extra=extra))
        port = free_port()
        return running(
            [sys.executable, str(program), str(port)],
            port,
            HELLO_EXCHANGE,
            folder=tmp_path,
            environment={"PATH": os.defpath},
            core=core,
            output=tmp_path / "output",
        )

    return run


def test_a_server_runs_and_is_stopped(start: Start) -> None:
    with start() as server:
        assert server.first_answer > 0
        assert [stat.pid for stat in usage.session_processes(server.process.pid)] == [server.process.pid]
        (memory,) = server.memory()
        assert 1024 < memory < 100 * 1024
    assert server.process.returncode == -15


def test_children_are_counted_and_do_not_survive(start: Start) -> None:
    spin = "\n".join(
        [
            "import signal",
            "if os.fork() == 0:",
            "    signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "    end = time.process_time() + 0.3",
            "    while time.process_time() < end: pass",
            "    signal.pause()",
        ]
    )
    with start(extra=spin) as server:
        deadline = time.monotonic() + 20
        while server.cpu_time().total < 0.3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert len(server.memory()) == 2
    assert all(stat.ended for stat in usage.session_processes(server.process.pid))


def test_ended_children_are_counted(start: Start) -> None:
    spin = "\n".join(
        [
            "if os.fork() == 0:",
            "    while time.process_time() < 0.5: pass",
            "    os._exit(0)",
            "os.wait()",
        ]
    )
    with start(extra=spin) as server:
        assert server.cpu_time().total > 0.4
        assert len(server.memory()) == 1


def test_a_server_is_pinned_and_we_are_not(start: Start) -> None:
    before = os.sched_getaffinity(0)
    with start(core=min(before)) as server:
        assert os.sched_getaffinity(server.process.pid) == {min(before)}
        assert os.sched_getaffinity(0) == before


def test_a_server_that_ends_says_its_last_words(start: Start) -> None:
    ends = start(extra="print('no port for me'); sys.exit(3)")
    with pytest.raises(StartError, match="ended with status 3: no port for me"), ends:
        pass


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (GOOD.replace("200 OK", "500 Internal Server Error"), "status 500 instead of 200"),
        (GOOD.replace("Hello, World!", "Hello, Wurld!"), "wrong body: 13 bytes"),
        ("return connection.close()", "no answer"),
    ],
)
def test_a_wrong_answer_at_start_is_told(start: Start, answer: str, error: str) -> None:
    with pytest.raises(StartError, match=error), start(answer):
        pass


def test_a_server_that_closes_connections_is_told(start: Start) -> None:
    closes = start(GOOD + "; return connection.shutdown(2)")
    with closes as server, pytest.raises(CheckError, match="no answer|closed after 1 requests"):
        verify(server.port, HELLO_EXCHANGE)


def test_an_answer_that_differs_later_is_told(start: Start) -> None:
    with start() as server, pytest.raises(CheckError, match="wrong body"):
        verify(server.port, Exchange(b"something else"))


def test_idle_connections_are_opened_and_counted(start: Start) -> None:
    with start() as server, IdleConnections(server.port, HELLO_EXCHANGE.answer) as connections:
        assert connections.open(60) == 60
        assert connections.open(7) == 7
        assert connections.alive() == 67
        assert connections.answering() == 0


def test_idle_connections_that_the_server_closes_are_noticed(start: Start) -> None:
    # Closes every connection whose number is odd after its answer.
    odd = GOOD + "\n        if connection.fileno() % 2: return connection.close()"
    with start(odd) as server, IdleConnections(server.port, HELLO_EXCHANGE.answer) as connections:
        assert connections.open(20) == 20
        assert connections.answering() > 0
        assert connections.alive() < 20


def test_a_server_that_takes_no_more_ends_the_opening(start: Start) -> None:
    few = "if len(held) > 30: return connection.close()\n        " + GOOD
    with start(few) as server, IdleConnections(server.port, HELLO_EXCHANGE.answer) as connections:
        assert connections.open(200) < 31


def test_the_name_of_a_process_can_be_anything() -> None:
    line = "42 (a) b (c) Z 1 42 41 0 -1 4194560 1 0 0 0 150 50 25 75 20 0 4 0 100 1 1\n"
    stat = usage.ProcessStat.parse(line)
    ticks = usage.TICKS_PER_SECOND
    assert (stat.pid, stat.session, stat.ended) == (42, 41, True)
    assert (stat.user, stat.system, stat.children) == (150 / ticks, 50 / ticks, 100 / ticks)


def test_the_precise_clock_agrees_with_our_own() -> None:
    before = time.process_time()
    precise = usage.precise_cpu_time(os.getpid())
    assert precise is None or before <= precise <= time.process_time()
    assert usage.precise_cpu_time(2**22 + 1) is None
