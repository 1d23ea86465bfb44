"""Metrics of a running server, as a statsd server gets them: gunicorn's names, types and sums."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import PATIENCE, Code, ask
from tests.reliability.hooks import Conf
from tests.reliability.hooks import conf as conf
from tests.support.client import RawClient, request


class Sink:
    """A statsd server: what it was sent, counters added up."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.values: list[tuple[str, float, str]] = []

    def wait(self, name: str, value: float) -> None:
        """Return when the counter or gauge `name` has come to `value`."""
        deadline = time.monotonic() + PATIENCE
        while self.counters.get(name, self.gauges.get(name)) != value:
            assert time.monotonic() < deadline, (name, value, self.counters, self.gauges)
            try:
                self._take(self.socket.recv(65536).decode())
            except TimeoutError:
                pass

    def _take(self, datagram: str) -> None:
        for line in datagram.split("\n"):
            match = re.fullmatch(r"([\w.]+):([\d.]+)\|(c\|@1\.0|g|ms|h)", line)
            assert match, line
            name, value, kind = match[1], float(match[2]), match[3]
            if kind == "g":
                self.gauges[name] = value
            elif kind.startswith("c"):
                self.counters[name] += int(value)
            else:
                self.values.append((name, value, kind))


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.socket.close()


@pytest.mark.parametrize("interface", ["asgi", "wsgi", "sync"])
def test_requests_are_gunicorns(interface: str, serve: Serve, code: Code, sink: Sink) -> None:
    code.write("wsgi" if interface == "sync" else interface)
    server = serve("--statsd-host", sink.address, "-w", "2", "-k", interface, "main:app")
    for _ in range(20):
        ask(server)
    with RawClient(server.target) as client:
        assert client.ask(b"GET / HTTP/1.1\r\nbad header\r\n\r\n").status == 400
        client.read_until_closed()
    sink.wait("gunicorn.requests", 21)
    sink.wait("gunicorn.request.status.200", 20)
    sink.wait("gunicorn.request.status.400", 1)
    sink.wait("gunicorn.workers", 2)
    durations = [value for name, value, kind in sink.values if name == "gunicorn.request.duration"]
    assert len(durations) == 21
    assert all(0 <= value < 10_000 for value in durations)
    if interface == "wsgi":
        sink.wait("aserve.queue.begun", 20)
        sink.wait("aserve.queue.waiting", 0)


def test_the_last_requests_are_sent_at_the_end(serve: Serve, code: Code, sink: Sink) -> None:
    code.asgi()
    server = serve("--statsd-host", sink.address, "main:app")
    for _ in range(7):
        ask(server)
    server.stop()
    sink.wait("gunicorn.requests", 7)


def test_a_client_that_has_gone_is_counted_as_in_the_access_log(serve: Serve, code: Code, sink: Sink) -> None:
    code.broken("""
async def app(scope, receive, send):
    print("begun")
    while (await receive())["type"] != "http.disconnect":
        pass
""")
    server = serve("--statsd-host", sink.address, "--lifespan", "off", "--capture-output", "main:app")
    with RawClient(server.target) as client:
        client.send(request("GET", "/"))
        server.wait_line("^begun$")
    sink.wait("gunicorn.request.status.499", 1)


def test_the_server_and_hooks_measure(serve: Serve, code: Code, conf: Conf, sink: Sink) -> None:
    code.asgi(on_startup="import logging; logging.getLogger('aserve').error('counted')")
    conf(f"""
statsd_host = {sink.address!r}
statsd_prefix = "shop"
dogstatsd_tags = ""
enable_backlog_metric = True

def when_ready(server):
    server.log.warning("counted")
    server.log.debug("none", extra={{"metric": "mine.gauge", "value": 4, "mtype": "gauge"}})

def post_worker_init(worker):
    worker.log.info("", extra={{"metric": "mine.counter", "value": 5, "mtype": "counter"}})
""")
    server = serve("-c", "conf.py", "main:app")
    for name, value in {
        "shop.gunicorn.workers": 1,
        "shop.mine.gauge": 4,
        "shop.mine.counter": 5,
        "shop.gunicorn.log.warning": 1 + (os.geteuid() == 0),  # about root
        "shop.gunicorn.log.error": 1,
    }.items():
        sink.wait(name, value)
    assert ("shop.gunicorn.backlog", 0.0, "h") in sink.values
    # Read again at a reload
    conf(f"statsd_host = {sink.address!r}\nstatsd_prefix = 'other.'\nworkers = 3")
    server.signal(signal.SIGHUP)
    sink.wait("other.gunicorn.workers", 3)
    ask(server)
    sink.wait("other.gunicorn.requests", 1)


def test_a_host_that_is_not_found_does_not_hinder(serve: Serve, code: Code) -> None:
    code.wsgi()
    server = serve("--statsd-host", "no host", "main:app")
    server.wait_line(r"statsd: cannot send to no host:8125: .*; metrics are lost until it works$")
    assert ask(server) == "one"
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=2 ")
    assert ask(server) == "one"


def test_websockets_have_no_duration(serve: Serve, code: Code, sink: Sink) -> None:
    code.broken("""
async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})
""")
    server = serve("--statsd-host", sink.address, "--lifespan", "off", "main:app")
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    with RawClient(server.target) as client:
        client.send(request("GET", "/", [*fields, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]))
        assert client.read_head().status == 101
        client.send(b"\x88\x82\0\0\0\0\x03\xe8")
        client.read_until_closed()
    sink.wait("gunicorn.request.status.101", 1)
    assert not [name for name, _, _ in sink.values if name == "gunicorn.request.duration"]
