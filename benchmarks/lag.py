"""The loop beside threads that compute: ``python -m benchmarks.lag [OPTIONS]``.

A pool of threads is kept busy with work in pure Python, as aserve's WSGI pool would be, while the same loop
answers an ASGI application's requests from another process. The interpreter hands its lock over to
who waits for it after the switch interval (`sys.setswitchinterval`). For each interval, in interleaved
rounds: how long an answer takes, how late the loop is, and how much work a second of CPU time does.

Needs an interpreter that has aserve.
"""

import argparse
import asyncio
import importlib
import json
import platform
import socket
import subprocess
import sys
import time
from statistics import median, quantiles
from typing import Any

from benchmarks.apps import asgi_apps
from benchmarks.environment import CHECKOUT

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
INTERVALS = (5.0, 2.0, 1.0, 0.5, 0.1)
WORK = 100_000
"""Turns of an empty loop in a piece of work: some milliseconds."""


def compute() -> None:
    """Do a piece of work."""
    for _ in range(WORK):
        pass


class Piece:
    """A piece of work that asks for the next one, in the place of an exchange."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.done = 0
        self.ended: asyncio.Future[None] | None = None

    def handle(self) -> None:
        """Work (thread)."""
        compute()
        self.pool.post(self.again)

    def again(self) -> None:
        """Go on (loop)."""
        self.done += 1
        if self.ended is None:
            self.pool.submit(self)
        else:
            self.ended.set_result(None)


def ask(port: int, seconds: float) -> None:
    """Ask again and again for so long; print the times in microseconds."""
    times = []
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.monotonic() + seconds
        while (begun := time.monotonic()) < end:
            sock.sendall(REQUEST)
            sock.recv(4096)
            times.append(1e6 * (time.monotonic() - begun))
            time.sleep(0.002)
    print(json.dumps(times))


async def lateness(end: float) -> list[float]:
    """How late the loop's timers are until `end`, in microseconds."""
    loop = asyncio.get_running_loop()
    late = []
    while (begun := time.monotonic()) < end:
        woken = loop.create_future()
        loop.call_later(0.002, woken.set_result, None)
        await woken
        late.append(max(0.0, 1e6 * (time.monotonic() - begun - 0.002)))
    return late


async def measure(threads: int, seconds: float) -> tuple[list[float], list[float], float]:
    """Return the times of answers, the lateness of the loop, and the pieces of work per CPU second."""
    loop = asyncio.get_running_loop()
    adapters = importlib.import_module("aserve.adapters")
    group_module = importlib.import_module("aserve.protocols.group")
    options = importlib.import_module("aserve.adapters.runner").RunnerOptions(threads=max(threads, 1))
    pool = adapters.make_runner("wsgi", loop, options)
    interval = sys.getswitchinterval()
    pool.start()
    sys.setswitchinterval(interval)
    adapter = adapters.make_adapter(asgi_apps.hello, "asgi3", loop=loop, lifespan="off")
    group = group_module.ConnectionGroup(adapter.exchange_factory, loop=loop)
    group.start()
    server = await loop.create_server(group.connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pieces = [Piece(pool) for _ in range(threads)]
    for piece in pieces:
        pool.submit(piece)
    await asyncio.sleep(0.2)
    done = sum(piece.done for piece in pieces)
    used, begun = time.process_time(), time.monotonic()
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.lag", "--ask", str(port), "--seconds", str(seconds)),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
    )
    late = await lateness(begun + seconds)
    work = (sum(piece.done for piece in pieces) - done) / (time.process_time() - used)
    output, _ = await asking.communicate()
    for piece in pieces:
        piece.ended = loop.create_future()
        await piece.ended
    server.close()
    group.abort()
    await group.wait_closed()
    group.stop()
    pool.close()
    return json.loads(output), late, work


def row(label: str, rounds: list[tuple[list[float], list[float], float]]) -> str:
    """One line of the table: the medians of what the rounds have brought."""
    cells = [label]
    answers, late, _ = zip(*rounds, strict=True)
    for values in (answers, late):
        cuts = [quantiles(each, n=100) for each in values]
        cells += [f"{median(each[at] for each in cuts) / 1000:.2f}" for at in (49, 94)]
    return f"| {' | '.join((*cells, f'{median(figures[2] for figures in rounds):.0f}'))} |"


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lag", description="The loop beside threads.")
    add = parser.add_argument
    add("--threads", type=int, default=4, help="threads that compute [%(default)s]")
    add("--seconds", type=float, default=1.0, help="of each round [%(default)s]")
    add("--rounds", type=int, default=7, help="rounds of each interval [%(default)s]")
    add("--intervals", type=float, nargs="+", default=list(INTERVALS), help="in milliseconds")
    add("--ask", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        ask(options.ask, options.seconds)
        return
    loop_factory = importlib.import_module("uvloop").new_event_loop
    cases = [(5.0, 0), *((each, options.threads) for each in options.intervals)]
    found: dict[tuple[float, int], list[tuple[list[float], list[float], float]]] = {}
    for case in options.rounds * cases:
        sys.setswitchinterval(case[0] / 1000)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            found.setdefault(case, []).append(runner.run(measure(case[1], options.seconds)))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{python}, {options.threads} threads that compute, {options.rounds} rounds; times in ms\n")
    print("| switch interval | answer, median | 95 % | loop late, median | 95 % | work/CPU s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for (interval, threads), rounds in found.items():
        print(row(f"{interval:g} ms" if threads else "no threads", rounds))


if __name__ == "__main__":
    main()
