"""The access log's way from the loop to the file: nothing lost, nothing mixed, nobody waits."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from aserve import accesslog, logtargets
from aserve.accesslog import AccessLog
from aserve.errors import BootError, UsageError
from aserve.logtargets import FileTarget
from aserve.options import Settings
from aserve.protocols.exchange import Exchange


class Finished:
    """A finished exchange, of which only the target is logged here."""

    def __init__(self, target: str) -> None:
        self.target = target.encode()


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


def test_close_writes_everything(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "log"), "%(U)s")
    targets = [f"/{number}" for number in range(5000)]
    put(log, *targets)
    log.close()
    assert (tmp_path / "log").read_text().splitlines() == targets


def test_lines_are_written_without_close_and_without_the_loop() -> None:
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s")
    try:
        for target in ("/first", "/second"):  # the second one has to wake a thread that has gone to rest
            put(log, target)
            assert read_until(reader, len(target) + 1) == f"{target}\n".encode()
    finally:
        log.close()
        os.close(reader)
        os.close(writer)


def test_many_lines_do_not_wait_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesslog, "FLUSH_AFTER", 3600)
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s")
    try:
        for _ in range(3):
            put(log, *(f"/{number:03}" for number in range(600)))
            assert len(read_until(reader, 512 * 5)) >= 512 * 5
        put(log, "/last")
    finally:
        log.close()  # at once
    os.close(writer)
    assert read_until(reader, 600 * 5).endswith(b"/last\n")
    os.close(reader)


def test_files_are_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "log"
    for target in ("/1", "/2"):
        log = AccessLog(str(file), "%(U)s")
        put(log, target)
        log.close()
    assert file.read_text() == "/1\n/2\n"


def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog("-", "%(U)s")
    put(log, "/x")
    log.close()
    assert capfd.readouterr().out == "/x\n"
    os.fstat(1)  # it is still open


def test_lines_that_come_while_others_are_written_are_kept() -> None:
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s")
    first = [f"/{number:0200}" for number in range(2000)]  # more than a pipe holds
    put(log, *first)
    data = read_until(reader, 1)  # so they are being written, and the rest has to wait for us
    put(log, "/second", "/third")
    data += read_until(reader, 2000 * 202 + 15 - len(data))
    log.close()
    os.close(reader)
    os.close(writer)
    assert data.decode().splitlines() == [*first, "/second", "/third"]


def test_workers_do_not_mix_their_lines_in_a_pipe() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    junk = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            junk += os.write(writer, b"\n")
    # Nobody can write now; when there is room again, all of them want it.
    logs = [AccessLog(f"/dev/fd/{writer}", "%(U)s") for _ in range(3)]
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
    lines = b"".join([b"a" * 9 + b"\n"] * 10 + [b"b" * 99 + b"\n"] + [b"c\n"])
    chunks = logtargets.chunks(lines, 25)
    assert b"".join(chunks) == lines
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert all(len(chunk) <= 25 or chunk.count(b"\n") == 1 for chunk in chunks)
    assert logtargets.chunks(b"", 25) == []


def test_a_reader_that_stops_costs_lines_and_not_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accesslog, "MAX_WAITING", 1000)
    monkeypatch.setattr(logging.getLogger("aserve"), "propagate", True)
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s")
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
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accesslog, "CLOSE_TIMEOUT", 0.05)
    monkeypatch.setattr(logging.getLogger("aserve"), "propagate", True)
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s")
    put(log, *(f"/{number:0200}" for number in range(1000)))
    log.close()
    assert "gave up writing" in caplog.text
    assert read_until(reader, 1000 * 202).count(b"\n") == 1000  # lets the thread end
    assert log._alive.acquire(timeout=10)
    log._target.close()
    os.close(reader)
    os.close(writer)


def test_a_non_blocking_target_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    target = FileTarget(f"/dev/fd/{writer}")
    lines = ["x" * 999 + "\n"] * 300
    data = "".join(lines).encode()
    thread = threading.Thread(target=target.write, args=(lines,))
    thread.start()
    assert read_until(reader, len(data)) == data
    thread.join()
    target.close()
    os.close(reader)
    os.close(writer)


def test_a_failing_target_is_reported_once_and_tried_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(accesslog, "FLUSH_AFTER", 0.0)
    monkeypatch.setattr(logging.getLogger("aserve"), "propagate", True)
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(fifo, "%(U)s")
    os.close(reader)
    for failure in (1, 2):
        for _ in range(3):
            put(log, "/lost")
            while log._lines:
                time.sleep(0.001)
        told = f"access log: cannot write to {fifo}: Broken pipe; lines are lost until it works again"
        recovered = f"access log: {fifo} works again, lines lost: 3"
        assert [record.getMessage() for record in caplog.records] == [told, recovered, told][
            : 2 * failure - 1
        ]
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        put(log, "/kept")
        assert read_until(reader, 6) == b"/kept\n"
        while log._lines:
            time.sleep(0.001)
        os.close(reader)
    log.close()


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    file = str(tmp_path / "no" / "log")
    with pytest.raises(BootError, match=r"cannot write the access log '.*': No such file or directory"):
        AccessLog(file, "common")
    with pytest.raises(UsageError, match=r"^--access-logfile: cannot write to '.*': No such file"):
        accesslog.check(Settings(access_logfile=file))
    accesslog.check(Settings(access_logfile="-"))
    accesslog.check(Settings())
    accesslog.check(Settings(access_logfile=str(tmp_path / "log")))
    assert (tmp_path / "log").exists()


@contextlib.contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file of this process can get larger than so many bytes: as on a full disk, a write is cut there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_no_line(tmp_path: Path) -> None:
    target = FileTarget(str(tmp_path / "log"))
    lines = [f"/{number:098}\n" for number in range(50)]
    left = lines.copy()
    with full_disk(3333):
        for _ in range(3):
            with pytest.raises(OSError, match="too large"):
                target.write(left)
    assert left == lines[33:]
    target.write(left)
    target.close()
    assert left == []
    # What stands there of the line that was cut has an end of its own.
    assert (tmp_path / "log").read_text() == "".join([*lines[:33], lines[33][:33] + "\n", *lines[33:]])


def test_a_full_disk_is_told_once_and_so_is_its_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(accesslog, "FLUSH_AFTER", 0.01)
    monkeypatch.setattr(logging.getLogger("aserve"), "propagate", True)
    name = str(tmp_path / "log")
    os.symlink("/dev/full", name)
    log = AccessLog(name, "%(U)s")
    targets = [f"/{number}" for number in range(10)]
    for target in targets:
        put(log, target)
        time.sleep(3 * accesslog.FLUSH_AFTER)  # some writes fail, however many
    os.unlink(name)
    log.reopen()
    while log._lines:
        time.sleep(0.001)
    log.close()
    assert Path(name).read_text().splitlines() == targets
    assert [record.getMessage() for record in caplog.records] == [
        f"access log: cannot write to {name}: No space left on device; lines wait until it works again",
        f"access log: {name} works again, lines lost: 0",
    ]


def test_lines_that_are_left_at_the_end_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("aserve"), "propagate", True)
    log = AccessLog("/dev/full", "%(U)s")
    put(log, *map(str, range(7)))
    log.close()
    assert caplog.messages[-1] == "access log: 7 lines for /dev/full are lost"


def test_long_lines_are_bounded_however_slowly_they_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesslog, "MAX_SIZE", 100_000)
    monkeypatch.setattr(accesslog, "_UNCOUNTED", 5)
    monkeypatch.setattr(accesslog, "_BATCH", 2)
    monkeypatch.setattr(accesslog, "FLUSH_AFTER", 0.0)
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s")
    for _ in range(30):
        put(log, *["/" + "x" * 9998] * 20)
        read_until(reader, 20_000)
        assert sum(map(len, log._lines)) <= 250_000
    while log._lines:
        if select.select([reader], [], [], 0.05)[0]:
            os.read(reader, 1 << 20)
    log.close()
    os.close(writer)
    os.close(reader)


def test_long_lines_are_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesslog, "MAX_SIZE", 100_000)
    monkeypatch.setattr(accesslog, "_UNCOUNTED", 10)
    reader, writer = os.pipe()
    log = AccessLog(f"/dev/fd/{writer}", "%(U)s")
    put(log, *["/" + "x" * 9999] * 1000)
    assert sum(map(len, log._lines)) < 250_000  # a first batch may have left
    threading.Thread(target=log.close).start()
    data = read_until(reader, 10_000 * 20)
    assert data.count(b"\n") >= 20
    while log._lines:
        if select.select([reader], [], [], 0.05)[0]:  # the last ones may be written, and still be counted
            os.read(reader, 1 << 20)
    os.close(writer)
    os.close(reader)
