"""Targets of the access log that are daemons: the journal and syslog, which are real sockets here."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from aserve import logtargets
from aserve.logtargets import JournalTarget, SyslogLines, make_target
from aserve.syslog import SyslogTarget


def daemon(path: Path) -> socket.socket:
    """A daemon's socket; nothing waits longer than ten seconds for it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    listener.settimeout(10)
    return listener


def test_the_journal_has_an_entry_for_each_line(tmp_path: Path) -> None:
    target = make_target(f"journald:{tmp_path}/socket")
    assert isinstance(target, JournalTarget)
    with daemon(tmp_path / "socket") as journal:
        lines = ["MESSAGE=a\nPRIORITY=6\n", "MESSAGE=b\n"]
        target.write(lines)
        assert lines == []
        assert [journal.recv(999) for _ in range(2)] == [b"MESSAGE=a\nPRIORITY=6\n", b"MESSAGE=b\n"]
        target.write(["MESSAGE=" + "x" * 150_000 + "\n"])
        assert len(journal.recv(200_000)) == 150_009
    target.close()


def test_a_journal_that_is_started_anew_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    target = JournalTarget(str(path))
    lines = ["MESSAGE=a\n", "MESSAGE=b\n"]
    with pytest.raises(FileNotFoundError):
        target.write(lines)
    assert len(lines) == 2
    with daemon(path) as journal:
        target.write(lines)
        assert [journal.recv(99) for _ in range(2)] == [b"MESSAGE=a\n", b"MESSAGE=b\n"]
    path.unlink()
    with daemon(path) as journal:
        target.write(lines := ["MESSAGE=c\n"])
        assert (lines, journal.recv(99)) == ([], b"MESSAGE=c\n")
    target.close()


def test_a_journal_that_takes_nothing_costs_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtargets, "WAIT", 0.01)
    target = JournalTarget(str(tmp_path / "socket"))
    with daemon(tmp_path / "socket") as journal:
        lines = [f"MESSAGE={number}\n" for number in range(10_000)]
        with pytest.raises(OSError, match="timed out"):
            target.write(lines)
        taken = 10_000 - len(lines)
        assert lines[0] == f"MESSAGE={taken}\n"
        assert [journal.recv(99) for _ in range(taken)][-1] == f"MESSAGE={taken - 1}\n".encode()
    target.close()


def test_syslog_has_a_message_for_each_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aserve.syslog._PAUSE", 0.0)
    target = SyslogLines(SyslogTarget(f"unix://{tmp_path}/log", "local1", "aserve.x.access"))
    lines = [f"line {number}\n" for number in range(3)]
    with pytest.raises(FileNotFoundError):
        target.write(lines)
    assert len(lines) == 3
    with daemon(tmp_path / "log") as syslog:
        target.write(lines)
        assert lines == []
        prefix = f"<142>aserve.x.access: [{os.getpid()}] line"
        assert [syslog.recv(999).decode() for _ in range(3)] == [f"{prefix} {number}" for number in range(3)]
    target.close()


def test_a_syslog_daemon_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logtargets, "WAIT", 0.01)
    target = SyslogLines(SyslogTarget(f"unix://{tmp_path}/log", "user", "aserve.x.access"))
    with daemon(tmp_path / "log"):
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            target.write(["x\n"] * 10_000)
        assert time.monotonic() - started < 5
    target.close()
