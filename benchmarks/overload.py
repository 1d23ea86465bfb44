"""aserve under more load than it can bear: ``python -m benchmarks.overload [OPTIONS]``.

A WSGI application that waits for some milliseconds in each request runs in a few threads, so what they can do
in a second is known. Requests come at random, each on a connection of its own, at multiples of that rate,
whatever the answers are; clients go when they have waited for too long. What counts is goodput: answers of
the application within that time, per second.

Needs an interpreter that has aserve.
"""

import argparse
import asyncio
import platform
import random
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from benchmarks.environment import CHECKOUT

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
WORK = 0.02
"""Seconds that the application waits in each request."""

KINDS = {
    "no limit": ("--queue-timeout", "0"),
    "a timeout": ("--queue-timeout", "{patience}", "--queue-target", "0"),
    "timeout and target": ("--queue-timeout", "{patience}"),
}
"""What is compared, with the options for it."""


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Wait, and answer."""
    time.sleep(WORK)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


@dataclass(slots=True)
class Outcome:
    """What came of the requests: seconds until a good answer, and how many were turned away or given up."""

    good: list[float] = field(default_factory=list)
    declined: int = 0
    given_up: int = 0


async def ask(port: int, patience: float, outcome: Outcome) -> None:
    """One client."""
    begun = time.monotonic()
    writer = None
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            answer = await reader.read()
    except (TimeoutError, OSError):
        outcome.given_up += 1
    else:
        if answer.startswith(b"HTTP/1.1 200 "):
            outcome.good.append(time.monotonic() - begun)
        else:
            outcome.declined += 1
    finally:
        if writer is not None:
            writer.close()


async def load(port: int, rate: float, seconds: float, patience: float) -> Outcome:
    """Send requests at `rate` per second; count those of the second half, when the load has settled."""
    outcome = Outcome()
    begun = due = time.monotonic()
    async with asyncio.TaskGroup() as clients:
        while due < begun + seconds:
            due += random.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            counted = outcome if due > begun + seconds / 2 else Outcome()
            clients.create_task(ask(port, patience, counted))
    return outcome


async def measure(words: Iterable[str], options: argparse.Namespace) -> list[Outcome]:
    """Start aserve with these options, and put the loads on it."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aserve", "-b", "127.0.0.1:0", "--threads", str(options.threads)),
        *(word.format(patience=options.patience) for word in words),
        "benchmarks.overload:application",
        cwd=CHECKOUT,
        stderr=asyncio.subprocess.PIPE,
    )
    assert server.stderr is not None
    try:
        port = 0
        async for line in server.stderr:
            if match := re.search(rb"listening on .*:(\d+)", line):
                port = int(match[1])
            if b" ready: " in line:
                break
        rates = [each * options.threads / WORK for each in options.loads]
        return [await load(port, rate, options.seconds, options.patience) for rate in rates]
    finally:
        server.terminate()
        await server.communicate()


def row(kind: str, times: float, outcome: Outcome, options: argparse.Namespace) -> str:
    """One line of the table."""
    seconds = options.seconds / 2
    cuts = quantiles(outcome.good, n=100) if len(outcome.good) > 1 else [float("nan")] * 99
    cells = [kind, f"{times:g} x", f"{len(outcome.good) / seconds:.0f}"]
    cells += [f"{100 * len(outcome.good) / seconds / (options.threads / WORK):.0f} %"]
    cells += [f"{1000 * cuts[49]:.0f}", f"{1000 * cuts[98]:.0f}"]
    cells += [f"{outcome.declined / seconds:.0f}", f"{outcome.given_up / seconds:.0f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description="More load than fits.")
    add = parser.add_argument
    add("--threads", type=int, default=4, help="size of the pool [%(default)s]")
    add("--seconds", type=float, default=10.0, help="of each load; the second half counts [%(default)s]")
    add("--patience", type=float, default=1.0, help="seconds that clients wait [%(default)s]")
    add("--loads", type=float, nargs="+", default=[0.8, 1.0, 1.5, 3.0], help="multiples of what fits")
    options = parser.parse_args()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{python}, {options.threads} threads, {1000 * WORK:g} ms of waiting in each request:")
    print(f"{options.threads / WORK:g} requests per second fit; clients wait for {options.patience:g} s\n")
    print("| queue | load | answers/s | of what fits | median, ms | 99 %, ms | 503/s | given up/s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind, words in KINDS.items():
        outcomes = asyncio.run(measure(words, options))
        for times, outcome in zip(options.loads, outcomes, strict=True):
            print(row(kind, times, outcome, options), flush=True)


if __name__ == "__main__":
    main()
