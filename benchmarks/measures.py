"""How a round is measured, and which columns come out of it. One declaration for each way of measuring."""

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import checks, websockets, wrk
from benchmarks.idle import IdleConnections
from benchmarks.processes import Cores, RunningServer
from benchmarks.results import Sample
from benchmarks.scenarios import Exchange
from benchmarks.usage import core_time

WARM_UP_REQUESTS = 500
# Held before the first look at the memory, so that what a server allocates once is not counted per
# connection.
FIRST_CONNECTIONS = 100
BROADCAST_CLIENTS = 100
# Long enough for a server's periodic work to come round.
IDLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run can vary."""

    duration: int = 2
    """Seconds of load in each round."""
    rounds: int = 5
    connections: int = 64
    threads: int = 8
    """Size of the WSGI pools."""
    idle_connections: int = 10_000


@dataclass(frozen=True, slots=True)
class Round:
    """What a measuring function gets."""

    server: RunningServer
    exchange: Exchange
    settings: Settings
    cores: Cores
    folder: Path
    """For temporary files."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: a figure of the samples and its statistic over the rounds."""

    title: str
    key: str
    statistic: str = "median"
    digits: int = 1
    charted: bool = False
    """Drawn in the chart as well; less has to be better."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A way of measuring."""

    run: Callable[[Round], Sample]
    columns: tuple[Column, ...]
    """The first one ranks the rows, and is the one that is compared with the reference."""
    rounds: Callable[[int], int] = lambda rounds: rounds
    """How many of the rounds asked for are worth their time."""


def measure_load(current: Round) -> Sample:
    """Load a warm server for some seconds."""
    server, exchange, settings = current.server, current.exchange, current.settings
    checks.verify(server.port, exchange, requests=WARM_UP_REQUESTS)
    body = None
    if exchange.content:
        body = current.folder / "request-body"
        body.write_bytes(exchange.content)
    core = current.cores.server
    core_before = core_time(core) if core is not None else 0.0
    cpu_before, started = server.cpu_time(), time.monotonic()
    load = wrk.run(
        server.url + exchange.path,
        connections=settings.connections,
        duration=settings.duration,
        method=exchange.method,
        body=body,
        varied=exchange.varied,
    )
    used, elapsed = server.cpu_time() - cpu_before, time.monotonic() - started
    # A response that is shorter than its content: cut off, or not the answer that was checked before.
    short = 0 if exchange.json or load.received >= load.requests * len(exchange.answer) else load.requests
    sample = {
        "requests": load.requests,
        "rate": load.requests / load.duration,
        "p50": load.p50 * 1e3,
        "p99": load.p99 * 1e3,
        "memory": sum(server.memory()) / 1024,
        "errors": load.errors + short,
        "busy": 100 * used.total / elapsed,
    }
    if core is not None:
        sample["foreign"] = max(0.0, 100 * (core_time(core) - core_before - used.total) / elapsed)
    if load.requests:
        sample["cpu"] = 1e6 * used.total / load.requests
        sample["system"] = sample["cpu"] * used.system / ((used.user + used.system) or 1.0)
    return sample


def measure_idle(current: Round) -> Sample:
    """Open idle connections and look at what they take."""
    server, wanted = current.server, current.settings.idle_connections
    with IdleConnections(server.port, current.exchange.answer) as connections:
        return _measure_idle(server, wanted, connections)


def _measure_idle(
    server: RunningServer, wanted: int, connections: IdleConnections | websockets.WebSockets
) -> Sample:
    connections.open(min(FIRST_CONNECTIONS, wanted))
    before = sum(server.memory())
    opened = connections.open(wanted - len(connections.sockets))
    after = sum(server.memory())
    cpu_before = server.cpu_time()
    time.sleep(IDLE_SECONDS)
    used = server.cpu_time() - cpu_before
    alive = connections.alive()
    sample = {
        "open": float(alive),
        "cpu": 1e3 * used.total / IDLE_SECONDS,
        "memory": after / 1024,
        "errors": float(wanted - alive + connections.answering()),
    }
    if opened:
        sample["each"] = (after - before) / opened
    return sample


def _measure_messages(current: Round, load: Generator[int, None, None]) -> Sample:
    """Take the server's CPU time from when the WebSockets of `load` are open to its end."""
    server = current.server
    next(load)
    core = current.cores.server
    core_before = core_time(core) if core is not None else 0.0
    cpu_before, started = server.cpu_time(), time.monotonic()
    count = next(load)
    used, elapsed = server.cpu_time() - cpu_before, time.monotonic() - started
    sample = {
        "messages": count,
        "rate": count / elapsed,
        "cpu": 1e6 * used.total / count,
        "system": 1e6 * used.total / count * used.system / ((used.user + used.system) or 1.0),
        "memory": sum(server.memory()) / 1024,
        "busy": 100 * used.total / elapsed,
        "errors": 0,
    }
    if core is not None:
        sample["foreign"] = max(0.0, 100 * (core_time(core) - core_before - used.total) / elapsed)
    load.close()
    return sample


def measure_websocket_echo(current: Round) -> Sample:
    """Have messages echoed, after a second of warming up."""
    port, settings = current.server.port, current.settings
    for _ in websockets.echo(port, settings.connections, 1):
        pass
    return _measure_messages(current, websockets.echo(port, settings.connections, settings.duration))


def measure_websocket_broadcast(current: Round) -> Sample:
    """Have messages sent to a hundred clients, after a second of warming up."""
    port = current.server.port
    for _ in websockets.broadcast(port, BROADCAST_CLIENTS, 1):
        pass
    time.sleep(0.2)  # until the server has noticed that those clients have gone
    return _measure_messages(
        current, websockets.broadcast(port, BROADCAST_CLIENTS, current.settings.duration)
    )


def measure_websocket_idle(current: Round) -> Sample:
    """Open WebSockets that do nothing and look at what they take."""
    server, wanted = current.server, current.settings.idle_connections
    with websockets.WebSockets(server.port) as connections:
        return _measure_idle(server, wanted, connections)


def measure_start(current: Round) -> Sample:
    """Take the time to the first answer, and the memory after it."""
    sizes = current.server.memory()
    return {
        "start": current.server.first_answer,
        "memory": sum(sizes) / 1024,
        "largest": sizes[0] / 1024,
        "processes": len(sizes),
        "errors": 0,
    }


IDLE_COLUMNS = (
    Column("KiB per connection", "each", charted=True),
    Column("minimum", "each", "minimum"),
    Column("connections held", "open", "minimum", digits=0),
    Column("CPU ms per s at rest", "cpu"),
    Column("PSS MiB", "memory"),
)
MESSAGE_COLUMNS = (
    Column("CPU µs per message", "cpu", charted=True),
    Column("minimum", "cpu", "minimum"),
    Column("of it in the kernel", "system"),
    Column("messages/s", "rate", digits=0),
    Column("PSS MiB", "memory"),
    Column("core busy %", "busy", digits=0),
)

MEASURES: Mapping[str, Measure] = {
    "load": Measure(
        measure_load,
        (
            Column("CPU µs per request", "cpu", charted=True),
            Column("minimum", "cpu", "minimum"),
            Column("of it in the kernel", "system"),
            Column("requests/s", "rate", digits=0),
            Column("p50 ms", "p50", digits=2),
            Column("p99 ms", "p99", digits=2),
            Column("PSS MiB", "memory"),
            Column("core busy %", "busy", digits=0),
        ),
    ),
    "idle": Measure(measure_idle, IDLE_COLUMNS, rounds=lambda rounds: min(rounds, 3)),
    "websocket-echo": Measure(measure_websocket_echo, MESSAGE_COLUMNS),
    "websocket-broadcast": Measure(measure_websocket_broadcast, MESSAGE_COLUMNS),
    "websocket-idle": Measure(measure_websocket_idle, IDLE_COLUMNS, rounds=lambda rounds: min(rounds, 3)),
    "start": Measure(
        measure_start,
        (
            Column("s to first answer", "start", digits=2, charted=True),
            Column("minimum", "start", "minimum", digits=2),
            Column("PSS MiB, all processes", "memory", charted=True),
            Column("PSS MiB, largest process", "largest"),
            Column("processes", "processes", "maximum", digits=0),
        ),
    ),
}
