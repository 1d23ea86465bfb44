"""Memory: what a client sends, or does not read, costs the worker little, however much it is.

Measured as the resident memory of the worker, from the outside, after a smaller round of the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.conftest import Serve
from tests.support.badclients import Interface
from tests.support.client import TIMEOUT, RawClient, chunked, request
from tests.support.footprint import needs_proc, peak, reset_peak, resident, wait_for_rest
from tests.support.pool import FLAVOURS, TESTS, Flavour
from tests.support.process import ServerProcess

pytestmark = needs_proc

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30

QUIET = 0.3
"""Seconds without a byte after which a connection is taken to stand still."""

APPS: dict[Interface, str] = {"asgi": "asgi_heavy:app", "wsgi": "wsgi_heavy:application"}
BLOCK = memoryview(bytes(MEGABYTE))
CHUNKED = ("Transfer-Encoding", "chunked")

slow = pytest.mark.slow


def each_stack(*quick: str) -> pytest.MarkDecorator:
    """Each interface on each parser and loop; those that are not named are for slow runs only."""
    params = []
    for interface in APPS:
        for flavour in FLAVOURS:
            name = f"{interface}-{flavour.loop}"
            params.append(pytest.param(interface, flavour, id=name, marks=() if name in quick else slow))
    return pytest.mark.parametrize(("interface", "flavour"), params)


stacks = each_stack("asgi-uvloop", "wsgi-asyncio")
# Many small requests to a WSGI application take their time on the slower loop.
stacks_for_requests = each_stack("asgi-asyncio", "wsgi-uvloop")

framings = pytest.mark.parametrize("framing", ["length", pytest.param("chunked", marks=slow)])


class Worker:
    """The one worker of a server, and what it holds."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        (self.pid,) = server.worker_pids()
        self._before = 0

    def client(self) -> RawClient:
        """A new client, to be entered."""
        return RawClient(self.server.target)

    def note(self, name: str) -> None:
        """Write to the application's journal."""
        with self.client() as client:
            client.ask(request("POST", f"/journal/{name}", [("Connection", "close")], b""))

    def wait(self, name: str) -> None:
        """Return when the application has written to its journal."""
        with self.client() as client:
            found = client.ask(request(target=f"/journal/{name}", headers=[("Connection", "close")]))
        assert found.json(), name

    @contextmanager
    def grows_by_less_than(self, size: int) -> Iterator[None]:
        """Check that at no time the worker holds `size` bytes more than now."""
        before = resident(self.pid)
        reset_peak(self.pid)
        yield
        grown = peak(self.pid) - before
        print(f"the worker grew by {grown / MEGABYTE:.2f} MB")
        assert grown < size


def start(serve: Serve, interface: Interface, flavour: Flavour, *options: str) -> Worker:
    """A worker that has served a few requests."""
    server = serve(*flavour.options, *options, f"apps.{APPS[interface]}", cwd=TESTS)
    worker = Worker(server)
    for _ in range(3):
        with worker.client() as client:
            for _ in range(20):
                client.ask(request("POST", "/swallow/warm", body=bytes(200_000)))
                client.ask(request(target="/stream?count=20&size=65536"))
                client.ask(request())
    return worker


def upload(path: str, size: int, framing: str) -> bytes:
    """The head of an upload, or all that stands in front of its data."""
    if framing == "length":
        return request("POST", path, [("Content-Length", str(size))])
    return request("POST", path, [CHUNKED]) + b"%x\r\n" % size


def push(client: RawClient, size: int) -> int:
    """Send `size` zeros, as many of them as are taken without a pause; returns how many were."""
    sent = 0
    client.socket.settimeout(QUIET)
    try:
        while sent < size:
            sent += client.socket.send(BLOCK[: size - sent])
    except TimeoutError:
        pass
    finally:
        client.socket.settimeout(TIMEOUT)
    return sent


# -- uploads --------------------------------------------------------------------------------------


@stacks
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_that_nobody_reads(
    serve: Serve, interface: Interface, flavour: Flavour, framing: str
) -> None:
    """It stays with the client."""
    worker = start(serve, interface, flavour)
    with worker.grows_by_less_than(MEGABYTE), worker.client() as client:
        client.send(upload("/hold/upload", GIGABYTE, framing))
        assert push(client, GIGABYTE) < 100 * MEGABYTE
        worker.wait("entered-upload")
        worker.note("go-upload")
        assert client.read().text == "held"


@stacks
@framings
def test_an_upload_that_is_read_as_it_comes(
    serve: Serve, interface: Interface, flavour: Flavour, framing: str
) -> None:
    """It passes through, in a few reads of 256 KiB with asyncio."""
    worker = start(serve, interface, flavour)
    with worker.grows_by_less_than(8 * MEGABYTE), worker.client() as client:
        client.send(upload("/swallow/upload", GIGABYTE, framing))
        for _ in range(GIGABYTE // MEGABYTE):
            client.socket.sendall(BLOCK)
        if framing == "chunked":
            client.send(b"\r\n0\r\n\r\n")
        assert client.read().json() == {"size": GIGABYTE}


@pytest.mark.parametrize("flavour", [FLAVOURS[0], pytest.param(FLAVOURS[1], marks=slow)], ids=str)
def test_an_upload_that_is_read_slowly(serve: Serve, flavour: Flavour) -> None:
    """A WSGI application takes a kilobyte in a millisecond."""
    worker = start(serve, "wsgi", flavour)
    with worker.grows_by_less_than(MEGABYTE), worker.client() as client:
        client.send(upload("/trickle/upload", GIGABYTE, "length"))
        sent = push(client, MEGABYTE)
        worker.wait("entered-upload")
        for _ in range(5):
            sent += push(client, MEGABYTE)
        assert sent < 100 * MEGABYTE
        worker.note("go-upload")
        assert client.read().text == "trickled"


@stacks
@framings
def test_an_upload_in_tiny_pieces(serve: Serve, interface: Interface, flavour: Flavour, framing: str) -> None:
    """Less than may be held, in tens of thousands of reads: there is no object for each of them."""
    worker = start(serve, interface, flavour)
    piece = b"ab" if framing == "length" else b"2\r\nab\r\n"
    extra = ("Content-Length", "60000") if framing == "length" else CHUNKED
    with worker.grows_by_less_than(MEGABYTE), worker.client() as client:
        client.send(request("POST", "/hold/pieces", [extra]))
        following = time.perf_counter()
        for _ in range(29_000):
            while time.perf_counter() < following:
                pass  # the worker is to read each of them by itself
            following = time.perf_counter() + 0.000_04
            client.socket.send(piece)
        worker.note("go-pieces")
        client.send(bytes(2000) if framing == "length" else b"0\r\n\r\n")
        assert client.read().text == "held"


# -- downloads ------------------------------------------------------------------------------------


@stacks
def test_a_response_that_nobody_reads(serve: Serve, interface: Interface, flavour: Flavour) -> None:
    """The application is made to wait; when the client reads on, everything comes."""
    worker = start(serve, interface, flavour)
    buffer = bytearray(MEGABYTE)
    with worker.grows_by_less_than(MEGABYTE), worker.client() as client:
        client.send(request(target=f"/stream?count={GIGABYTE >> 16}&size=65536", version="1.0"))
        head = client.read_head()
        assert head.status == 200
        wait_for_rest(worker.pid)
        size = len(client.incoming.take(len(client.incoming.data)))
        while count := client.socket.recv_into(buffer):
            size += count
        assert size == GIGABYTE


# -- many requests --------------------------------------------------------------------------------


def count_responses(client: RawClient) -> int:
    """Read until the connection ends; return the number of responses with status 200."""
    count, rest = 0, bytes(client.incoming.take(len(client.incoming.data)))
    while data := client.socket.recv(MEGABYTE):
        data = rest + data
        count += data.count(b"HTTP/1.1 200 ")
        # What may be the beginning of one, and cannot be a whole one
        rest = data[-12:]
    return count


@stacks_for_requests
@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=slow)])
def test_pipelined_requests_for_a_slow_application(
    serve: Serve, interface: Interface, flavour: Flavour, count: int
) -> None:
    """Those that wait stay with the client; they are all answered in the end."""
    worker = start(serve, interface, flavour)
    stream = request(target="/hold/pipeline") + request() * (count - 2)
    stream += request(headers=[("Connection", "close")])
    with worker.grows_by_less_than(MEGABYTE), worker.client() as client:
        sending = threading.Thread(target=client.socket.sendall, args=(stream,))
        sending.start()
        worker.wait("entered-pipeline")
        wait_for_rest(worker.pid)
        worker.note("go-pipeline")
        assert count_responses(client) == count
        sending.join()


@stacks_for_requests
def test_pipelined_requests_whose_answers_nobody_reads(
    serve: Serve, interface: Interface, flavour: Flavour
) -> None:
    """The next one begins when there is room for what it brings."""
    count = 5_000
    worker = start(serve, interface, flavour)
    stream = request(target="/whole?size=100000") * (count - 1)
    stream += request(headers=[("Connection", "close")])
    with worker.grows_by_less_than(MEGABYTE), worker.client() as client:
        sending = threading.Thread(target=client.socket.sendall, args=(stream,))
        sending.start()
        wait_for_rest(worker.pid)
        assert count_responses(client) == count
        sending.join()


@stacks
def test_heads_full_of_tiny_fields(serve: Serve, interface: Interface, flavour: Flavour) -> None:
    """A head that is not complete costs its bytes, however many fields it has."""
    count = 30
    worker = start(serve, interface, flavour)
    with worker.grows_by_less_than(count * 100_000), ExitStack() as stack:
        clients = [stack.enter_context(worker.client()) for _ in range(count)]
        for client in clients:
            client.send(request()[:-2] + b"a:\r\n" * 15_000)
        wait_for_rest(worker.pid)
        for client in clients:
            client.send(b"\r\n")
            assert client.read().status == 431


@stacks
def test_connections_that_wait(serve: Serve, interface: Interface, flavour: Flavour) -> None:
    """An idle connection costs a few kilobytes."""
    count = 300
    worker = start(serve, interface, flavour)
    with worker.grows_by_less_than(count * 20_000), ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(worker.client())
            assert client.ask(request()).status == 200


@stacks_for_requests
def test_requests_leave_nothing_behind(serve: Serve, interface: Interface, flavour: Flavour) -> None:
    """Ten thousand requests of all kinds, good and bad, on a hundred connections."""
    worker = start(serve, interface, flavour)
    different = [
        request(),
        request("HEAD"),
        request("POST", "/swallow/a", body=bytes(3000)),
        request("POST", "/unread", [CHUNKED]) + chunked(b"abc", b"def", trailers=[("X-Trailer", "x")]),
        request(target="/stream?count=2&size=100"),
        request(target=f"/no-such-route/{'x' * 200}", headers=[(f"X-{n}", "y" * n) for n in range(20)]),
    ]
    last = b"GET / HTTP/1.1\r\nbad header\r\n\r\n"

    def bring(connections: int) -> None:
        for number in range(connections):
            with worker.client() as client:
                client.send(b"".join(different[(number + n) % len(different)] for n in range(99)) + last)
                assert client.read_until_closed().count(b"HTTP/1.1 ") == 100

    bring(20)
    with worker.grows_by_less_than(MEGABYTE // 2):
        bring(80)


@stacks
def test_what_is_remembered_of_requests(serve: Serve, interface: Interface, flavour: Flavour) -> None:
    """Names and hosts that come once, and are as long as they may be."""
    worker = start(serve, interface, flavour)

    def bring(first: int, count: int) -> None:
        with worker.client() as client:
            for number in range(first, first + count):
                long = f"{number:x}".ljust(8_000, "x")
                fields = "".join(f"X-{n}-{long}: {n}\r\n" for n in range(6))
                client.send(f"GET / HTTP/1.1\r\nHost: {long}\r\n{fields}\r\n".encode())
                assert client.read().text == "hello"

    bring(0, 5)
    with worker.grows_by_less_than(MEGABYTE):
        bring(5, 300)
