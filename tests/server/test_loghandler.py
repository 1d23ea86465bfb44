"""Where the log is written: what a full disk, a reader that has gone and a slow one cost."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import pytest

from aserve import loghandler
from aserve.loghandler import ErrorLogHandler
from aserve.streams import STANDARD_ERROR


def say(handler: ErrorLogHandler, message: str, *args: object) -> None:
    handler.handle(logging.LogRecord("aserve", logging.INFO, "", 0, message, args, None))


def test_a_full_disk_is_told_once_and_the_log_says_what_is_missing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "log"
    handler = ErrorLogHandler(str(file))
    full = os.open("/dev/full", os.O_WRONLY)
    good = os.dup(handler.descriptor)
    os.dup2(full, handler.descriptor)
    for number in range(3):
        say(handler, "lost %d", number)
    os.dup2(good, handler.descriptor)
    say(handler, "first again")
    say(handler, "second")
    handler.discard()
    for descriptor in (full, good):
        os.close(descriptor)
    error = capfd.readouterr().err
    assert error == (
        f"aserve: error: pid={os.getpid()} cannot write to the error log '{file}': No space left on device; "
        "lines are lost until it works again\n"
    )
    assert file.read_text() == ("3 lines missing in this log: No space left on device\nfirst again\nsecond\n")


def test_a_line_that_was_cut_off_does_not_swallow_the_next(tmp_path: Path) -> None:
    """A pipe that takes half of it, and then is full."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, b"x" * (65536 - 10_000))
    handler = ErrorLogHandler(str(tmp_path / "log"))
    os.dup2(writer, handler.descriptor)
    say(handler, "y" * 20_000)
    text = os.read(reader, 1 << 20)
    assert text.endswith(b"y") and b"\n" not in text
    say(handler, "next")
    assert os.read(reader, 1 << 20) == b"\n1 line missing in this log: nobody reads it\nnext\n"
    handler.discard()
    os.close(reader)
    os.close(writer)


def test_only_the_first_line_waits_for_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []
    monkeypatch.setattr(loghandler, "PATIENCE", 0.05)
    original = loghandler.is_writable

    def wait(descriptor: int, seconds: float | None) -> bool:
        waits.append(seconds)
        return original(descriptor, seconds)

    monkeypatch.setattr(loghandler, "is_writable", wait)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, b"x" * 65536)
    handler = ErrorLogHandler(str(tmp_path / "log"))
    os.dup2(writer, handler.descriptor)
    for _ in range(3):
        say(handler, "x")
    assert waits == [0.05, 0.0, 0.0]
    handler.discard()
    os.close(reader)
    os.close(writer)


def test_a_reader_that_has_gone(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    handler = ErrorLogHandler(str(tmp_path / "log"))
    os.dup2(writer, handler.descriptor)
    say(handler, "x")
    say(handler, "y")
    handler.discard()
    os.close(writer)
    assert capfd.readouterr().err.count("Broken pipe") == 1


def test_standard_error_that_fails_says_nothing_and_raises_nothing() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    good = os.dup(STANDARD_ERROR)
    os.dup2(full, STANDARD_ERROR)
    try:
        say(ErrorLogHandler(None), "x")
    finally:
        os.dup2(good, STANDARD_ERROR)
        os.close(full)
        os.close(good)


def test_arguments_that_do_not_fit_are_told_without_a_traceback(tmp_path: Path) -> None:
    handler = ErrorLogHandler(str(tmp_path / "log"))
    say(handler, "%d", "x")
    handler.discard()
    assert (tmp_path / "log").read_text().startswith("a log record cannot be formatted: TypeError(")


@pytest.mark.parametrize("number", [1, 2])
def test_a_standard_stream_can_be_a_socket(number: int) -> None:
    """Which no path of it can be opened as, as with systemd and some containers."""
    name = {1: "/dev/stdout", 2: "/dev/stderr"}[number]
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    kept = os.dup(number)
    os.dup2(theirs.fileno(), number)
    try:
        handler = ErrorLogHandler(name)
        handler.reopen()
    finally:
        os.dup2(kept, number)
        os.close(kept)
    assert not os.get_inheritable(handler.descriptor)
    say(handler, "here")
    handler.discard()
    assert ours.recv(100) == b"here\n"
    theirs.close()
    ours.close()
