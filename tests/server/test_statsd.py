"""Metrics on their way: gunicorn's format, datagrams of bounded size, and nobody who waits."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aserve import statsd
from aserve.metrics import Metrics
from aserve.options import Settings
from aserve.statsd import LARGEST_UDP, LARGEST_UNIX, Client, ForkLookup, ThreadLookup
from tests.reliability.conftest import PATIENCE, wait_until


class Never:
    """A host name whose lookup lasts, until it is told its result."""

    found: Any = None
    cancelled = 0

    def __init__(self, host: str, port: int) -> None:
        pass

    def result(self) -> Any:
        return self.found

    def cancel(self) -> None:
        type(self).cancelled += 1


@pytest.fixture
def sink() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


def client(sink: socket.socket, prefix: str = "", tags: str = "") -> Client:
    return Client(("127.0.0.1", sink.getsockname()[1]), prefix, tags, Never)


@pytest.mark.parametrize(
    ("prefix", "sent"),
    [("", "n"), ("shop", "shop.n"), ("shop.", "shop.n"), ("shop..", "shop.n"), ("a.b", "a.b.n"), ("x", "xn")],
)
def test_prefixes_are_gunicorns(prefix: str, sent: str, sink: socket.socket) -> None:
    """Also its slip: a prefix of a single letter gets no dot."""
    made = client(sink, prefix)
    made.count("n", 2)
    made.close()
    assert sink.recv(9999).decode() == f"{sent}:2|c|@1.0"


def test_kinds_and_tags(sink: socket.socket) -> None:
    made = client(sink, "shop", "env:prod,a")
    made.count("c")
    made.count("c", 2)
    made.gauge("g", 3)
    made.gauge("g", 4.5)
    made.value("t", 1.23456, "ms")
    made.value("t", 2.0, "ms")
    made.value("h", 7, "h")
    made.close()
    lines = ["c:3|c|@1.0", "g:4.5|g", "t:1.235|ms", "t:2|ms", "h:7|h"]
    assert sink.recv(9999).decode().split("\n") == [f"shop.{line}|#env:prod,a" for line in lines]


def test_datagrams_are_bounded(sink: socket.socket) -> None:
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    made = client(sink)
    for number in range(1000):
        made.value("gunicorn.request.duration", number, "ms")
    made.close()
    lines: list[str] = []
    while len(lines) < 1000:
        datagram = sink.recv(65536)
        assert len(datagram) <= LARGEST_UDP
        lines += datagram.decode().split("\n")
    assert lines == [f"gunicorn.request.duration:{number}|ms" for number in range(1000)]


def test_a_server_that_takes_them_slowly_gets_them_later(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sink:
        sink.bind(path)
        sink.settimeout(5)
        made = Client(path, "", "", Never)
        for number in range(4000):
            made.value("n", number, "ms")
            if number % 100 == 0:
                made.flush()  # a queue of a Unix socket holds a few datagrams only
        lines: list[str] = []
        while len(lines) < 4000:
            made.flush()
            datagram = sink.recv(65536)
            assert len(datagram) <= LARGEST_UNIX
            lines += datagram.decode().split("\n")
        made.close()
    assert lines == [f"n:{number}|ms" for number in range(4000)]


def test_what_waits_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    made = Client(("stats.example", 8125), "", "", Never)
    for number in range(statsd.MOST_VALUES + 10):
        made.value("n", number, "ms")
    made.flush()  # the host is being looked up
    assert len(made._values) == statsd.MOST_VALUES


def test_a_host_that_is_found_later_gets_everything(sink: socket.socket) -> None:
    address = ("stats.example", 8125)
    made = Client(address, "", "", Never)
    made.count("n")
    made.flush()
    assert isinstance(made._lookup, Never)
    made._lookup.found = (socket.AF_INET, sink.getsockname())
    made.count("n")
    made.flush()
    assert sink.recv(999) == b"n:2|c|@1.0"
    another = Client(address, "", "", Never)  # as a worker that is forked after that
    another.count("m")
    another.flush()
    assert sink.recv(999) == b"m:1|c|@1.0"
    statsd.forget(address)
    made.close()
    another.close()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def _heard() -> Iterator[None]:
    """Have the log heard by the test."""
    log = logging.getLogger("aserve")
    before, log.propagate = log.propagate, True
    yield
    log.propagate = before


@pytest.mark.usefixtures("_heard")
def test_a_host_that_is_not_found_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    made = Client(("stats.example", 8125), "", "", Never)
    made.count("n")
    made.flush()
    assert isinstance(made._lookup, Never)
    made._lookup.found = OSError(1, "Name or service not known")
    for _ in range(3):
        made.count("n")
        made.flush()
    assert not made.waiting
    assert told(caplog) == [
        "statsd: cannot send to stats.example:8125: Name or service not known; "
        "metrics are lost until it works"
    ]


@pytest.mark.usefixtures("_heard")
@pytest.mark.parametrize("kind", ["udp", "unix"])
def test_a_server_that_is_not_there_is_told_once_and_found_again(
    kind: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    address: Any = str(tmp_path / "s")
    if kind == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            address = probe.getsockname()
    made = Client(address, "", "", Never)
    for _ in range(4):
        made.count("n")
        made.flush()
    assert len(told(caplog)) == 1
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sink:
        sink.bind(address)
        sink.settimeout(5)
        made.count("m")
        made.flush()
        assert b"m:1|c|@1.0" in sink.recv(999)
    made.close()


def test_a_client_that_ends_gives_the_lookup_up() -> None:
    before = Never.cancelled
    made = Client(("stats.example", 8125), "", "", Never)
    made.count("n")
    made.close()
    assert Never.cancelled == before + 1


def test_lookups() -> None:
    for kind in (ThreadLookup, ForkLookup):
        lookup = kind("localhost", 8125)
        wait_until(lambda lookup=lookup: lookup.result() is not None, "the lookup")  # type: ignore[misc]
        if kind is ThreadLookup:
            assert lookup.result()[1][1] == 8125


def test_a_lookup_in_a_process_can_be_given_up() -> None:
    lookup = ForkLookup("localhost", 8125)
    lookup.cancel()
    with pytest.raises(ChildProcessError):
        os.waitpid(lookup._pid, 0)
    lookup = ForkLookup("not a host name", 8125)
    found = None
    deadline = time.monotonic() + PATIENCE
    while found is None and time.monotonic() < deadline:
        found = lookup.result()
    assert isinstance(found, OSError)


# -- what hooks say ---------------------------------------------------------------------------


def test_metrics_of_hooks_and_lines_of_the_log(sink: socket.socket) -> None:
    host = ("127.0.0.1", sink.getsockname()[1])
    metrics = Metrics(Settings(app="main:app", statsd_host=host), Never)
    metrics.heed_log()
    log = logging.getLogger("aserve")
    try:
        log.debug("not logged", extra={"metric": "m.gauge", "value": 3, "mtype": "gauge"})
        log.info("", extra={"metric": "m.counter", "value": 2, "mtype": "counter"})
        log.info("", extra={"metric": "m.timer", "value": 1.5, "mtype": "timer"})
        log.info("", extra={"metric": "m.histogram", "value": 4, "mtype": "histogram"})
        for bad in ({"metric": "a:b"}, {"metric": "x", "value": "3|c\n"}, {"metric": "x", "mtype": "set"}):
            log.info("", extra={"value": 1, "mtype": "gauge", **bad})
        log.warning("x")
        log.error("x")
        log.critical("x")
        try:
            raise ValueError
        except ValueError:
            log.exception("x")
        log.error("x", extra={"verbatim": True})  # wsgi.errors
    finally:
        metrics.close()
    assert sorted(re.sub(r"^gunicorn\.", "", line) for line in sink.recv(9999).decode().split("\n")) == [
        "log.critical:1|c|@1.0",
        "log.error:1|c|@1.0",
        "log.exception:1|c|@1.0",
        "log.warning:1|c|@1.0",
        "m.counter:2|c|@1.0",
        "m.gauge:3|g",
        "m.histogram:4|h",
        "m.timer:1.5|ms",
    ]
    log.error("x")  # nobody counts any more
