"""Workers that have served enough: replaced one at a time, and nobody notices."""

from __future__ import annotations

import asyncio
import re
import signal
import sys

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, wait_until, worker_log
from tests.reliability.load import Load
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def recycled(server: ServerProcess) -> int:
    """Return how many workers have been said to be due."""
    return sum(" recycling: " in text for text in server.lines("stderr"))


def check_one_at_a_time(server: ServerProcess, workers: int) -> None:
    """Check in the log that no worker drained before its successor was ready, and that they took turns."""
    ready: set[str] = set()
    leaving: set[str] = set()
    booting = 0
    serving_at_least = workers
    begun = False
    for text in server.lines("stderr"):
        match = re.search(r"worker=\d+ gen=\d+ pid=(\d+)(?::)? (booting|ready|draining|exited)", text)
        if "stopping" in text:
            return
        if not match:
            continue
        pid, event = match[1], match[2]
        if event == "booting":
            booting += 1
            if begun:
                assert booting == 1 and not leaving, f"two at the same time: {text}\n{server.output()}"
        elif event == "ready":
            booting -= 1
            ready.add(pid)
            begun = begun or len(ready) == workers
        elif event == "draining":
            ready.discard(pid)
            leaving.add(pid)
            assert len(ready) >= serving_at_least, f"nobody was ready for {text}\n{server.output()}"
        else:
            leaving.discard(pid)


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
async def test_after_so_many_requests_and_nothing_is_lost(serve: Serve, code: Code, interface: str) -> None:
    code.write(interface)
    server = serve(
        *("-w", "2", "--max-requests", "100", "--max-requests-jitter", "100", "--timeout", "1", "main:app")
    )
    load = Load(server.target)
    over = asyncio.Event()
    running = asyncio.create_task(load.run(over))
    # Those that are due soon after their start are replaced after growing delays.
    await asyncio.to_thread(wait_until, lambda: recycled(server) >= 5, "five have been replaced")
    over.set()
    await running
    assert load.failures == [], f"{len(load.failures)} of {load.answers.total()}\n{server.output()}"
    server.wait_line(r"worker=\d gen=1 pid=\d+ recycling: \d+ requests \(--max-requests\)")
    server.stop()
    check_one_at_a_time(server, 2)


def test_after_so_much_time(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "3", "--max-lifetime", "1", "--max-lifetime-jitter", "0.5", "main:app")
    wait_until(lambda: recycled(server) >= 4, "four have been replaced")
    assert ask(server) == "one"
    server.stop()
    server.wait_line(r"worker=\d gen=1 pid=\d+ recycling: [12] s in service \(--max-lifetime\)")
    check_one_at_a_time(server, 3)


@linux
def test_above_so_much_memory(serve: Serve, code: Code) -> None:
    code.asgi(on_import="grown = []")
    # /wait grows the worker: it keeps the file's text, as often as there are zeros
    source = (code.folder / "main.py").read_text()
    grow = 'if path == "/grow":\n        grown.append(b"x" * 300_000_000)\n    if path == "/wait"'
    (code.folder / "main.py").write_text(source.replace('if path == "/wait"', grow, 1))
    server = serve("-w", "2", "--max-rss", "200M", "main:app")
    before = server.worker_pids()
    with RawClient(server.target) as client:
        assert client.ask(request(target="/grow")).status == 200
        server.wait_line(r"worker=\d gen=1 pid=\d+ recycling: \d{3} MiB resident \(--max-rss\)$")
        wait_until(lambda: len(set(server.worker_pids()) - set(before)) == 1, "there is a new one")
    wait_until(lambda: len(server.worker_pids()) == 2, "the large one has ended")
    assert recycled(server) == 1, "the others are small"
    server.stop()
    check_one_at_a_time(server, 2)


@linux
def test_a_limit_below_what_a_worker_needs_does_not_busy_the_machine(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("--max-rss", "1M", "main:app")
    server.wait_line(r"recycling: \d+ MiB resident \(--max-rss\)$")
    server.wait_line(r"recycling: \d+ MiB resident \(--max-rss\); in 1 s$")
    server.wait_line(r"recycling: \d+ MiB resident \(--max-rss\); in 2 s$")
    assert ask(server) == "one"


def test_the_old_one_goes_on_if_its_successor_does_not_come_up(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("--max-lifetime", "0.5", "main:app")
    code.broken("raise RuntimeError('deliberate')\n")
    server.wait_line(r"worker=0 gen=1 pid=\d+ failed: importing 'main' failed: .*; next try in 1 s$")
    server.wait_line(r"worker=0 gen=1 pid=\d+ failed: importing 'main' failed: .*; next try in 2 s$")
    assert ask(server) == "one"
    code.asgi("two")
    server.wait_line(r"worker=0 gen=1 pid=\d+ draining$")
    assert ask(server) == "two"


def test_a_reload_takes_over(serve: Serve, code: Code) -> None:
    """Who is tired when a reload comes is replaced by that, once; and not while it lasts."""
    code.asgi()
    server = serve("-w", "2", "--max-lifetime", "1", "main:app")
    code.asgi("two", on_import="while not (FOLDER / 'go').exists(): time.sleep(0.01)")
    server.signal(signal.SIGHUP)
    server.wait_line(r"worker=0 gen=2 pid=\d+ booting$")
    for number in (0, 1):
        server.wait_line(rf"worker={number} gen=1 pid=\d+ recycling: 1 s in service")
    code.go()
    server.wait_line("reload complete: gen=2")
    events = worker_log(server)
    complete = next(index for index, event in enumerate(events) if event.startswith("reload complete"))
    for number in (0, 1):
        assert sum(event == f"worker={number} gen=2 booting" for event in events[:complete]) == 1
    wait_until(lambda: recycled(server) >= 4, "the new ones are due as well")


def test_a_recycled_worker_finishes_what_it_has(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("--max-lifetime", "0.5", "main:app")
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        server.wait_line(r"worker=0 gen=1 pid=\d+ draining$")
        # and as long as it does, the next one stays, whose time is over as well
        wait_until(lambda: recycled(server) >= 2, "the next one is due")
        assert sum("draining" in text for text in server.lines("stderr")) == 1
        code.go()
        assert b"one" in client.read_until_closed()
    wait_until(
        lambda: sum("draining" in text for text in server.lines("stderr")) == 2, "it is the next one's turn"
    )
