"""Messages to syslog daemons, which are real sockets here."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aserve import syslog
from aserve.syslog import Address, SyslogHandler, SyslogTarget, parse_address


@pytest.fixture
def sockets() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def listening(stack: contextlib.ExitStack, family: int, kind: int, address: Any) -> socket.socket:
    """A daemon's socket; nothing waits longer than ten seconds for it."""
    daemon = stack.enter_context(socket.socket(family, kind))
    daemon.bind(address)
    daemon.settimeout(10)
    if kind == socket.SOCK_STREAM:
        daemon.listen()
    return daemon


def made(
    stack: contextlib.ExitStack, address: str, facility: str = "user", tag: str = "aserve.x"
) -> SyslogTarget:
    target = SyslogTarget(address, facility, tag)
    stack.callback(target.close)
    return target


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("udp://localhost:514", Address(socket.SOCK_DGRAM, host="localhost", port=514)),
        ("udp://Logs.Example", Address(socket.SOCK_DGRAM, host="logs.example", port=514)),
        ("udp://", Address(socket.SOCK_DGRAM, host="localhost", port=514)),
        ("tcp://10.0.0.1:6514", Address(socket.SOCK_STREAM, host="10.0.0.1", port=6514)),
        ("tcp://[2001:DB8::1]:601", Address(socket.SOCK_STREAM, host="2001:db8::1", port=601)),
        ("tcp://[::1]", Address(socket.SOCK_STREAM, host="::1", port=514)),
        ("unix:///dev/log", Address(0, path="/dev/log")),
        ("unix:///dev/log#dgram", Address(socket.SOCK_DGRAM, path="/dev/log")),
        ("unix:///dev/log#stream", Address(socket.SOCK_STREAM, path="/dev/log")),
    ],
)
def test_addresses_are_gunicorns(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost:514", "write udp://HOST:PORT, tcp://HOST:PORT or unix://PATH"),
        ("http://localhost", "is no address of syslog"),
        ("unix://", "names no socket"),
        ("unix:///dev/log#seqpacket", "#dgram or #stream"),
        ("udp://localhost:x", "'x' is no port"),
        ("udp://localhost:0", "'0' is no port"),
        ("tcp://localhost:65536", "'65536' is no port"),
    ],
)
def test_other_addresses_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="syslog|socket|port") as caught:
        parse_address(text)
    assert message in str(caught.value)


def test_a_datagram_is_a_message(sockets: contextlib.ExitStack) -> None:
    daemon = listening(sockets, socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
    target = made(sockets, f"udp://localhost:{daemon.getsockname()[1]}", "local7", "aserve.app.access")
    target.send('GET / "é"', syslog.ERROR)
    target.send("next")
    prefix = f"aserve.app.access: [{os.getpid()}] "
    assert daemon.recv(9999).decode() == f'<187>{prefix}GET / "é"'
    assert daemon.recv(9999).decode() == f"<190>{prefix}next"


def test_a_stream_has_a_message_per_line_whatever_is_in_it(sockets: contextlib.ExitStack) -> None:
    daemon = listening(sockets, socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
    target = made(sockets, f"tcp://127.0.0.1:{daemon.getsockname()[1]}")
    target.send("one")
    target.send("Traceback\n  <13>forged\r\0")
    target.flush(10)
    target.close()
    connection = sockets.enter_context(daemon.accept()[0])
    connection.settimeout(10)
    prefix = f"<14>aserve.x: [{os.getpid()}] "
    assert connection.makefile().read().splitlines() == [
        f"{prefix}one",
        f"{prefix}Traceback#012  <13>forged#015#000",
    ]


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_unix_socket_is_found_of_either_kind(
    tmp_path: Path, sockets: contextlib.ExitStack, kind: socket.SocketKind
) -> None:
    daemon = listening(sockets, socket.AF_UNIX, kind, str(tmp_path / "log"))
    made(sockets, f"unix://{tmp_path}/log").send("x")
    if kind is socket.SOCK_STREAM:
        daemon = sockets.enter_context(daemon.accept()[0])
    assert daemon.recv(9999).removesuffix(b"\n") == f"<14>aserve.x: [{os.getpid()}] x".encode()


def test_a_daemon_that_is_started_anew_gets_the_next_message(
    tmp_path: Path, sockets: contextlib.ExitStack
) -> None:
    path = tmp_path / "log"
    daemon = listening(sockets, socket.AF_UNIX, socket.SOCK_DGRAM, str(path))
    target = made(sockets, f"unix://{path}")
    target.send("first")
    assert daemon.recv(9999).endswith(b"first")
    daemon.close()
    path.unlink()
    daemon = listening(sockets, socket.AF_UNIX, socket.SOCK_DGRAM, str(path))
    target.send("second")
    assert daemon.recv(9999).endswith(b"second")


def test_what_waits_for_a_daemon_leaves_when_it_is_there(
    sockets: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog, "_PAUSE", 0.0)
    daemon = sockets.enter_context(socket.socket())
    daemon.bind(("127.0.0.1", 0))
    target = made(sockets, f"tcp://127.0.0.1:{daemon.getsockname()[1]}")
    target.send("early")
    with pytest.raises(OSError, match="refused"):
        target.flush(0.5)
    daemon.listen()
    target.send("late")
    target.flush(10)
    connection = sockets.enter_context(daemon.accept()[0])
    assert [line.rpartition(" ")[2] for line in connection.recv(9999).decode().splitlines()] == [
        "early",
        "late",
    ]


def test_a_daemon_that_takes_nothing_makes_nobody_wait(sockets: contextlib.ExitStack) -> None:
    daemon = listening(sockets, socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
    target = made(sockets, f"tcp://127.0.0.1:{daemon.getsockname()[1]}")

    def send_for_ever() -> None:
        while True:
            target.send("x" * 8000)

    with pytest.raises(OSError, match="too slowly"):
        send_for_ever()
    with pytest.raises(TimeoutError):
        target.flush(0.01)
    assert target._size <= 1024 * 1024


def test_a_socket_beside_a_thousand_connections(tmp_path: Path, sockets: contextlib.ExitStack) -> None:
    """A daemon is connected to again at any time; select(2) would not take such a descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
    sockets.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    daemon = listening(sockets, socket.AF_UNIX, socket.SOCK_DGRAM, str(tmp_path / "log"))
    target = made(sockets, f"unix://{tmp_path}/log")
    taken = -1
    while taken < 1024:
        taken = os.open(os.devnull, os.O_RDONLY)
        sockets.callback(os.close, taken)
    while not target._waiting:  # until it takes no more
        target.send("x")
    with pytest.raises(TimeoutError):
        target.flush(0.01)
    daemon.recv(9999)
    target.flush(10)
    assert not target._waiting


def test_messages_are_cut_to_what_daemons_take(sockets: contextlib.ExitStack) -> None:
    daemon = listening(sockets, socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
    made(sockets, f"udp://127.0.0.1:{daemon.getsockname()[1]}").send("x" * 100_000)
    assert len(daemon.recv(99_999)) == len("<14>") + 8192


def test_a_forked_process_has_a_connection_of_its_own(sockets: contextlib.ExitStack) -> None:
    daemon = listening(sockets, socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
    target = made(sockets, f"tcp://127.0.0.1:{daemon.getsockname()[1]}")
    target.send("parent")
    target.flush(10)
    first = sockets.enter_context(daemon.accept()[0])
    if not (child := os.fork()):
        target.send("child")
        target.flush(10)
        os._exit(0)
    os.waitpid(child, 0)
    second = sockets.enter_context(daemon.accept()[0])
    assert first.recv(9999).decode() == f"<14>aserve.x: [{os.getpid()}] parent\n"
    assert second.recv(9999).decode() == f"<14>aserve.x: [{child}] child\n"


def test_a_handler_tells_once_that_nobody_is_there(
    tmp_path: Path,
    sockets: contextlib.ExitStack,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(syslog, "_PAUSE", 0.0)
    logger = logging.getLogger("aserve")
    monkeypatch.setattr(logger, "propagate", True)
    handler = SyslogHandler(SyslogTarget(f"unix://{tmp_path}/log", "user", "aserve.x.error"))
    logger.addHandler(handler)
    try:
        for number in range(3):
            logger.error("lost %d", number)
        address = f"unix://{tmp_path}/log"
        told = (
            f"cannot log to syslog {address}: No such file or directory; lines are lost until it works again"
        )
        assert sorted(record.getMessage() for record in caplog.records) == [
            told,
            "lost 0",
            "lost 1",
            "lost 2",
        ]
        daemon = listening(sockets, socket.AF_UNIX, socket.SOCK_DGRAM, str(tmp_path / "log"))
        logger.warning("kept")
        assert daemon.recv(9999).decode() == f"<12>aserve.x.error: [{os.getpid()}] kept"
    finally:
        logger.removeHandler(handler)
        started = time.monotonic()
        handler.close()
    assert time.monotonic() - started < 5


def test_the_programs_name_is_one_word() -> None:
    assert syslog.program_name("shop.main:app", "access") == "aserve.shop.main.app.access"
    assert syslog.program_name("my shop", "error") == "aserve.my_shop.error"
