"""aserve's connection class without sockets: ``python -m benchmarks.micro [OPTIONS] [CASE ...]``.

Requests are given to `data_received`, and the transport throws away what is written. What is left is the
Python that a request costs: parsing, scope or environ, the application, the response, the task or the
hand-over to a thread. Some dozens of connections take a turn in each iteration of the loop, as they do in a
server under load.

Runs on an interpreter that has aserve, such as that of a development environment (so that a change shows at
once); on any other it goes over to the environment of the benchmarks, which gets aserve as it is in this
checkout.
"""

import argparse
import asyncio
import cProfile
import importlib
import importlib.util
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from benchmarks.apps import asgi_apps, wsgi_apps
from benchmarks.environment import CHECKOUT, DEFAULT_FOLDER, Environment, find_python
from benchmarks.launchers.limit_probe import ConstantAnswer
from benchmarks.scenarios import UPLOAD

Kind = Literal["limit", "asgi", "wsgi", "sync"]

SMALL = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"
BROWSER = (
    b"GET /items/7?q=abc HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Referer: https://www.example.com/items\r\n"
    b"Connection: keep-alive\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"Cache-Control: max-age=0\r\n\r\n"
)
POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Length: %d\r\n\r\n%b" % (len(UPLOAD), UPLOAD)
REQUESTS = {"small": SMALL, "browser": BROWSER, "post": POST}


@dataclass(frozen=True, slots=True)
class Case:
    """What is driven: an application of a kind behind a parser, and the request."""

    kind: Kind
    http: str
    request: str

    @property
    def name(self) -> str:
        """As it is selected and printed."""
        return f"{self.kind}-{self.http}-{self.request}"


CASES: tuple[Case, ...] = (
    Case("limit", "httptools", "small"),
    Case("limit", "httptools", "browser"),
    *(
        Case(kind, http, request)
        for kind in ("asgi", "wsgi", "sync")
        for http in ("httptools", "h11")
        for request in REQUESTS
    ),
)


class Meter:
    """Counts what is written and tells when all answers of a batch are there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.missing = 0
        self.done = loop.create_future()

    def begin(self, size: int) -> None:
        """Wait for so many bytes from now on."""
        self.missing = size
        self.done = self.loop.create_future()

    def count(self, size: int) -> None:
        """Take note of written bytes."""
        self.missing -= size
        if self.missing <= 0 and not self.done.done():
            self.done.set_result(None)


class DiscardingTransport(asyncio.Transport):
    """Throws away what is written; never full, never closed by the other side."""

    def __init__(self, meter: Meter) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 8000)})
        self.count = meter.count
        self.kept: bytearray | None = None
        self.closed = False

    def write(self, data: Any) -> None:
        """Count."""
        if self.kept is not None:
            self.kept += data
        self.count(len(data))

    def writelines(self, list_of_data: Any) -> None:
        """Count without joining, as a gathered write does."""
        for data in list_of_data:
            self.write(data)

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits."""

    def is_closing(self) -> bool:
        """Whether the connection class has closed it, which is an error here."""
        return self.closed

    def close(self) -> None:
        """Remember."""
        self.closed = True

    def abort(self) -> None:
        """Remember."""
        self.closed = True

    def is_reading(self) -> bool:
        """Bytes come when the driver gives them."""
        return True

    def pause_reading(self) -> None:
        """Nothing to pause: a request is given in one piece."""

    def resume_reading(self) -> None:
        """Nothing to resume."""


@dataclass(frozen=True, slots=True)
class Served:
    """What makes the connections of a case, and what ends it."""

    connection: Callable[[], asyncio.Protocol]
    close: Callable[[], Awaitable[None]]


async def serve(case: Case, *, access_log: str, threads: int) -> Served:
    """Put aserve's adapter and connection group together, as a worker does."""
    loop = asyncio.get_running_loop()
    if case.kind == "limit":

        async def nothing() -> None:
            pass

        return Served(ConstantAnswer, nothing)
    # Imported here, not on top: this module first has to find out whether aserve is there at all.
    adapters, group_module = (
        importlib.import_module("aserve.adapters"),
        importlib.import_module("aserve.protocols.group"),
    )
    apps: Any = asgi_apps if case.kind == "asgi" else wsgi_apps
    interface = "asgi3" if case.kind == "asgi" else "wsgi"
    app = apps.echo if case.request == "post" else apps.hello
    runner = None
    if interface == "wsgi":
        runner_options = importlib.import_module("aserve.adapters.runner").RunnerOptions(threads=threads)
        runner = adapters.make_runner(case.kind, loop, runner_options)
    adapter = adapters.make_adapter(app, interface, loop=loop, lifespan="off", runner=runner)
    await adapter.startup()
    log = file = None
    if access_log:
        # A real file: other kinds are written in small pieces.
        file = tempfile.NamedTemporaryFile(prefix="benchmarks-", suffix=".log")  # noqa: SIM115 - closed below
        log = importlib.import_module("aserve.accesslog").AccessLog(file.name, access_log)
    options = group_module.ConnectionOptions(http=case.http)
    group = group_module.ConnectionGroup(
        adapter.exchange_factory, options=options, loop=loop, access_log=log.log if log else None
    )
    group.start()

    async def close() -> None:
        group.stop()
        await adapter.shutdown()
        if log is not None and file is not None:
            log.close()
            file.close()

    return Served(group.connection, close)


async def first_answer(
    protocol: asyncio.Protocol, transport: DiscardingTransport, meter: Meter, case: Case
) -> int:
    """Send one request, check the answer, and return its length."""
    request = REQUESTS[case.request]
    wanted = UPLOAD if case.request == "post" and case.kind != "limit" else asgi_apps.HELLO
    transport.kept = bytearray()
    meter.begin(1 << 62)
    protocol.data_received(request)
    deadline = time.monotonic() + 5.0
    while not transport.kept.endswith(wanted):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{case.name}: no right answer: {bytes(transport.kept[:200])!r}")
        await asyncio.sleep(0.001)
    if not transport.kept.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{case.name}: not a 200: {bytes(transport.kept[:200])!r}")
    size = len(transport.kept)
    transport.kept = None
    return size


async def drive(
    protocols: list[asyncio.Protocol], meter: Meter, request: bytes, size: int, batches: int
) -> None:
    """Give every connection one request in each of so many turns, and wait for the answers."""
    expected = size * len(protocols)
    for _ in range(batches):
        meter.begin(expected)
        for protocol in protocols:
            protocol.data_received(request)
        await meter.done
        # A turn of the loop even if everything was answered at once: what was left to it belongs to the
        # price.
        await asyncio.sleep(0)


async def measure(case: Case, options: argparse.Namespace) -> list[float]:
    """Measure a case; return the CPU µs per request of each round."""
    loop = asyncio.get_running_loop()
    meter = Meter(loop)
    served = await serve(case, access_log=options.access_log, threads=options.threads)
    protocols = [served.connection() for _ in range(options.connections)]
    transports = [DiscardingTransport(meter) for _ in protocols]
    for protocol, transport in zip(protocols, transports, strict=True):
        protocol.connection_made(transport)
    sizes = [await first_answer(*pair, meter, case) for pair in zip(protocols, transports, strict=True)]
    if len(set(sizes)) != 1:
        raise RuntimeError(f"{case.name}: answers of different lengths: {sorted(set(sizes))}")
    request = REQUESTS[case.request]
    # Warms up, and says how many turns a round is.
    batches, used = 4, 0.0
    while used < 0.05:
        batches *= 2
        used = -time.process_time()
        await drive(protocols, meter, request, sizes[0], batches)
        used += time.process_time()
    batches = max(1, round(batches * options.seconds / used))
    figures = []
    for _ in range(options.rounds):
        started = time.process_time()
        await drive(protocols, meter, request, sizes[0], batches)
        figures.append(1e6 * (time.process_time() - started) / (batches * len(protocols)))
    if any(transport.closed for transport in transports):
        raise RuntimeError(f"{case.name}: a connection was closed")
    for protocol in protocols:
        protocol.connection_lost(None)
    await served.close()
    return figures


def options_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro", description="CPU µs per request without sockets."
    )
    add = parser.add_argument
    add(
        "cases",
        nargs="*",
        metavar="CASE",
        help="parts of names, such as asgi-httptools or browser; all cases unless given",
    )
    add(
        "--connections",
        type=int,
        default=64,
        help="connections that take a turn in each iteration [%(default)s]",
    )
    add("--seconds", type=float, default=0.3, help="CPU seconds of a round [%(default)s]")
    add("--rounds", type=int, default=7, help="rounds of each case [%(default)s]")
    add("--threads", type=int, default=8, help="size of the WSGI pool [%(default)s]")
    add("--loop", choices=["uvloop", "asyncio"], default="uvloop", help="[%(default)s]")
    add("--switch-interval", type=float, default=0.0, help="the interpreter's, in milliseconds [its own]")
    add(
        "--access-log",
        nargs="?",
        const="combined",
        default="",
        metavar="FORMAT",
        help="with an access log in that format [combined], written to a temporary file",
    )
    add(
        "--profile",
        metavar="FILE",
        help="also save a profile of the loop's thread, for pstats; slows it down",
    )
    return parser


def ensure_aserve(arguments: Sequence[str]) -> None:
    """Go on in the benchmarks' environment if this interpreter has no aserve."""
    if importlib.util.find_spec("aserve") is not None and importlib.util.find_spec("uvloop") is not None:
        return
    environment = Environment(DEFAULT_FOLDER, say=lambda text: print(text, file=sys.stderr, flush=True))
    environment.prepare(find_python(None))
    environment.install_aserve()
    if reason := environment.missing.get("aserve-server"):
        raise SystemExit(f"error: aserve {reason}")
    os.chdir(CHECKOUT)
    os.execv(environment.python, [environment.python, "-m", "benchmarks.micro", *arguments])


def main() -> None:
    """Measure and print a Markdown table."""
    options = options_parser().parse_args()
    ensure_aserve(sys.argv[1:])
    cases = [case for case in CASES if not options.cases or any(part in case.name for part in options.cases)]
    if not cases:
        raise SystemExit(f"error: no such case; there are: {', '.join(case.name for case in CASES)}")
    factory = (
        asyncio.new_event_loop
        if options.loop == "asyncio"
        else importlib.import_module("uvloop").new_event_loop
    )
    if options.switch_interval:
        sys.setswitchinterval(options.switch_interval / 1000)
    profile = cProfile.Profile() if options.profile else None
    python = f"{platform.python_implementation()} {platform.python_version()}"
    log = f"access log: {options.access_log or 'none'}"
    print(f"CPU µs per request, {python}, {options.loop}, {options.connections} connections,")
    print(f"{options.rounds} rounds, {log}\n")
    print("| case | minimum | median |\n| --- | ---: | ---: |")
    for case in cases:
        with asyncio.Runner(loop_factory=factory) as runner:
            if profile is not None:
                profile.enable()
            figures = runner.run(measure(case, options))
            if profile is not None:
                profile.disable()
        print(f"| {case.name} | {min(figures):.2f} | {median(figures):.2f} |", flush=True)
    if profile is not None:
        profile.dump_stats(options.profile)


if __name__ == "__main__":
    main()
