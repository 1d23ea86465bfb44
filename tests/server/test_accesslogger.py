"""The access log by way of Python's logging: its records, and what handlers do with them."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.handlers
import queue
import re
from collections.abc import Iterator
from typing import Any

import pytest

from aserve.accesslogger import NAME, AccessLogger, Records


class Connection:
    client = ("192.0.2.1", 5000)


class Finished:
    """A finished exchange."""

    connection = Connection()
    origin = None
    method = "GET"
    target = b'/a%20b"\xff?q=%s'
    http_version = "1.1"
    headers: tuple[tuple[bytes, bytes], ...] = ((b"user-agent", b"x\x1b[31m"),)
    response_headers: tuple[tuple[bytes, bytes], ...] = ()
    started = 0.0
    status = 200
    body_sent = 5
    close_code = 0


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(params=["aserve.access", "gunicorn.access", "uvicorn.access"])
def source(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the logger that is configured; all of them are left as they were."""
    names = ("aserve.access", "gunicorn.access", "uvicorn.access")
    yield request.param
    for each in map(logging.getLogger, names):
        each.handlers.clear()
        each.filters.clear()
        each.setLevel(logging.NOTSET)
        each.propagate = True
    logging.getLogger(NAME).parent = logging.getLogger("aserve")


def log(source: str, handler: logging.Handler, loop: asyncio.AbstractEventLoop) -> AccessLogger:
    configured = logging.getLogger(source)
    configured.addHandler(handler)
    configured.propagate = False
    made = AccessLogger(source, '%(h)s "%(r)s" %(s)s "%(a)s"')
    assert made.is_heard
    exchange: Any = Finished()
    made.log(exchange)
    return made


def test_records(source: str, loop: asyncio.AbstractEventLoop) -> None:
    handler = Kept()
    log(source, handler, loop).close()
    [record] = handler.records
    assert (record.name, record.levelno) == (source, logging.INFO)
    if source == "uvicorn.access":
        assert record.args == ("192.0.2.1:5000", "GET", "/a%20b\\x22\\xff?q=%s", "1.1", 200)
        assert record.getMessage() == '192.0.2.1:5000 - "GET /a%20b\\x22\\xff?q=%s HTTP/1.1" 200'
    else:
        line = '192.0.2.1 "GET /a%20b\\x22\\xff?q=%s HTTP/1.1" 200 "x\\x1b[31m"'
        assert record.getMessage() == line
        atoms: Any = record.args
        assert (atoms["m"], atoms["U"], atoms["q"]) == ("GET", "/a b\\x22\\xff", "q=%s")
        assert (atoms["s"], atoms["B"], atoms["{user-agent}i"]) == ("200", 5, "x\\x1b[31m")
        assert "nothing" not in atoms
        assert isinstance(atoms, dict)
        assert (atoms["nothing"], atoms["{nothing}i"], atoms.get("{nothing}i", "none")) == ("-", "-", "none")
        assert atoms.get("{user-agent}i") == "x\\x1b[31m"
        assert (atoms.get("U"), atoms.get("B")) == (atoms["U"], 5)
        assert [type(atoms[atom]) for atom in "BTMDbsL"] == [int, int, int, int, str, str, str]
        assert set(atoms) >= set("hlutrmUqHsBbfaTMDLp")


@pytest.mark.parametrize(
    ("format", "line"),
    [
        ("common", '192.0.2.1 - - [T] "GET /a%20b\\x22\\xff?q=%s HTTP/1.1" 200 5'),
        ("%(h)-12s|%(a).2s|100%%|%(B)04d", "192.0.2.1   |x\\|100%|0005"),
        ("%(s)d", "200"),
        ("%({user-agent}i)s %({none}i)s %(w)s", "x\\x1b[31m - -"),
    ],
)
def test_messages_are_lines(format: str, line: str) -> None:
    exchange: Any = Finished()
    message = Records("gunicorn.access", format)(exchange).getMessage()
    assert re.sub(r"\[\d+/\w+/.*? \+0000\]", "[T]", message) == line


def test_what_has_no_atoms_is_a_message_as_it_stands() -> None:
    exchange: Any = Finished()
    record = Records("gunicorn.access", "json")(exchange)
    assert json.loads(record.getMessage())["query"] == "q=%s"
    assert record.args["s"] == "200"  # type: ignore[call-overload, index]


def test_atoms_can_be_changed() -> None:
    """By filters that make secrets unreadable."""
    exchange: Any = Finished()
    record = Records("gunicorn.access", '"%(r)s" %(s)s')(exchange)
    atoms: Any = record.args
    atoms["r"] = "GET ..."
    assert record.getMessage() == '"GET ..." 200'


def test_a_client_that_has_gone(source: str, loop: asyncio.AbstractEventLoop) -> None:
    handler = Kept()
    made = log(source, handler, loop)
    gone: Any = Finished()
    gone.status = 0
    made.log(gone)
    assert " 200" in handler.records[0].getMessage()
    assert " 499" in handler.records[1].getMessage()


def test_a_queue_gets_the_line(source: str, loop: asyncio.AbstractEventLoop) -> None:
    """As for handlers that are too slow for the loop."""
    lines: queue.Queue[Any] = queue.Queue()
    log(source, logging.handlers.QueueHandler(lines), loop)
    record = lines.get_nowait()
    assert '"GET /a%20b\\x22\\xff?q=%s HTTP/1.1" 200' in record.getMessage()


def test_filters_of_other_servers_loggers_are_asked(source: str, loop: asyncio.AbstractEventLoop) -> None:
    handler = Kept()
    logging.getLogger(source).addFilter(lambda record: "/a" not in record.getMessage())
    log(source, handler, loop)
    assert handler.records == []


def test_a_handler_that_raises_costs_nothing(
    source: str, loop: asyncio.AbstractEventLoop, capfd: pytest.CaptureFixture[str]
) -> None:
    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("no")

    log(source, Bad(), loop)
    assert "Traceback" not in capfd.readouterr().err


def test_a_level_above_info_is_no_access_log(source: str, loop: asyncio.AbstractEventLoop) -> None:
    logging.getLogger(source).setLevel(logging.WARNING)
    assert not AccessLogger(source, "common").is_heard
