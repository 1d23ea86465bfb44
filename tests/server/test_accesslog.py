"""The access log's way from the loop to the file: nothing lost, nothing mixed, nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from aserve import accesslog
from aserve.accesslog import AccessLog
from aserve.errors import BootError, UsageError
from aserve.options import Settings
from aserve.protocols.exchange import Exchange


class Finished:
    """A finished exchange, of which only the target is logged here."""

    def __init__(self, target: str) -> None:
        self.target = target.encode()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def put(log: AccessLog, *targets: str) -> None:
    for target in targets:
        log.log(cast(Exchange, Finished(target)))


def read_until(fd: int, size: int, timeout: float = 10.0) -> bytes:
    """Return at least `size` bytes from `fd`, or what there is after `timeout` seconds."""
    data, deadline = b"", time.monotonic() + timeout
    while len(data) < size and (left := deadline - time.monotonic()) > 0:
        if select.select([fd], [], [], left)[0]:
            data += os.read(fd, 1 << 20)
    return data


def test_close_writes_everything(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    log = AccessLog(str(tmp_path / "log"), "%(U)s", loop)
    targets = [f"/{number}" for number in range(5000)]
    put(log, *targets)
    log.close()
    assert (tmp_path / "log").read_text().splitlines() == targets


def test_lines_are_written_without_close_and_without_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s", loop)
    try:
        for target in ("/first", "/second"):  # the second one has to wake a thread that has gone to rest
            put(log, target)
            assert read_until(reader, len(target) + 1) == f"{target}\n".encode()
    finally:
        log.close()
        os.close(reader)
        os.close(writer)


def test_files_are_appended_to(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    file = tmp_path / "log"
    for target in ("/1", "/2"):
        log = AccessLog(str(file), "%(U)s", loop)
        put(log, target)
        log.close()
    assert file.read_text() == "/1\n/2\n"


def test_standard_output(loop: asyncio.AbstractEventLoop, capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("-", "%(U)s", loop)
    put(log, "/x")
    log.close()
    assert capfd.readouterr().out == "/x\n"
    os.fstat(1)  # it is still open


def test_lines_that_come_while_others_are_written_are_kept(loop: asyncio.AbstractEventLoop) -> None:
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s", loop)
    first = [f"/{number:0200}" for number in range(2000)]  # more than a pipe holds
    put(log, *first)
    data = read_until(reader, 1)  # so they are being written, and the rest has to wait for us
    put(log, "/second", "/third")
    data += read_until(reader, 2000 * 202 + 15 - len(data))
    log.close()
    os.close(reader)
    os.close(writer)
    assert data.decode().splitlines() == [*first, "/second", "/third"]


def test_workers_do_not_mix_their_lines_in_a_pipe(loop: asyncio.AbstractEventLoop) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    junk = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            junk += os.write(writer, b"\n")
    # Nobody can write now; when there is room again, all of them want it.
    logs = [AccessLog(f"/dev/fd/{writer}", "%(U)s", loop) for _ in range(3)]
    targets = [[f"/{letter * 99}{number}" for number in range(2000)] for letter in "abc"]
    for log, mine in zip(logs, targets, strict=True):
        put(log, *mine)
    time.sleep(3 * accesslog.FLUSH_AFTER)  # if it is not enough, the test sees less, but does not fail
    data = read_until(reader, junk + sum(len(target) + 1 for mine in targets for target in mine))
    for log in logs:
        log.close()
    os.close(reader)
    os.close(writer)
    lines = data[junk:].decode().splitlines()
    for mine, letter in zip(targets, "abc", strict=True):
        assert [line for line in lines if letter in line] == mine


def test_chunks_are_whole_lines() -> None:
    lines = ["a" * 9 + "\n"] * 10 + ["b" * 99 + "\n"] + ["c\n"]
    chunks = accesslog._chunks(lines, 25)
    assert b"".join(chunks) == "".join(lines).encode()
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert all(len(chunk) <= 25 or chunk.count(b"\n") == 1 for chunk in chunks)
    assert accesslog._chunks([], 25) == []


def test_a_reader_that_stops_costs_lines_and_not_the_server(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accesslog, "MAX_WAITING", 1000)
    monkeypatch.setattr(logging.getLogger("aserve"), "propagate", True)
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s", loop)
    put(log, *(f"/{number:0200}" for number in range(5000)))  # 1000 of them, more than a pipe holds
    data = read_until(reader, 1000 * 202)
    assert data.count(b"\n") == 1000
    put(log, "/again")
    assert read_until(reader, 7) == b"/again\n"
    log.close()
    os.close(reader)
    os.close(writer)
    assert [record.getMessage() for record in caplog.records] == [
        f"access log: 4000 lines dropped, /dev/fd/{writer} takes them too slowly"
    ]


def test_close_does_not_wait_for_ever(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accesslog, "CLOSE_TIMEOUT", 0.05)
    monkeypatch.setattr(logging.getLogger("aserve"), "propagate", True)
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s", loop)
    put(log, *(f"/{number:0200}" for number in range(1000)))
    log.close()
    assert "gave up writing" in caplog.text
    assert read_until(reader, 1000 * 202).count(b"\n") == 1000  # lets the thread end
    assert log._alive.acquire(timeout=10)
    os.close(log._fd)
    os.close(reader)
    os.close(writer)


def test_a_non_blocking_target_is_waited_for(loop: asyncio.AbstractEventLoop) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = bytes(300_000)
    thread = threading.Thread(target=accesslog._write, args=(writer, data))
    thread.start()
    assert read_until(reader, len(data)) == data
    thread.join()
    os.close(reader)
    os.close(writer)


def test_a_failing_target_is_reported_once_and_tried_again(
    tmp_path: Path,
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(accesslog, "FLUSH_AFTER", 0.0)
    monkeypatch.setattr(logging.getLogger("aserve"), "propagate", True)
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(fifo, "%(U)s", loop)
    os.close(reader)
    for failure in (1, 2):
        for _ in range(3):
            put(log, "/lost")
            while log._lines:
                time.sleep(0.001)
        assert [record.getMessage() for record in caplog.records] == failure * [
            f"access log: cannot write to {fifo}: Broken pipe; lines are lost until it works again"
        ]
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        put(log, "/kept")
        assert read_until(reader, 6) == b"/kept\n"
        while log._lines:
            time.sleep(0.001)
        os.close(reader)
    log.close()


def test_files_that_cannot_be_written(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    file = str(tmp_path / "no" / "log")
    with pytest.raises(BootError, match=r"cannot write the access log '.*': No such file or directory"):
        AccessLog(file, "common", loop)
    with pytest.raises(UsageError, match=r"^--access-logfile: cannot write to '.*': No such file"):
        accesslog.check(Settings(access_logfile=file))
    accesslog.check(Settings(access_logfile="-"))
    accesslog.check(Settings())
    accesslog.check(Settings(access_logfile=str(tmp_path / "log")))
    assert (tmp_path / "log").exists()
