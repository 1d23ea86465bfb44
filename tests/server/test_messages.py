"""Typed messages and their channel (server/messages.py)."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from aserve import messages
from aserve.messages import (
    Changed,
    Channel,
    Draining,
    Failed,
    Message,
    MessageError,
    Ready,
    Retire,
    Watching,
)

EXAMPLES: list[Message] = [
    Ready(interface="asgi3", loop="uvloop", http="httptools"),
    Ready(interface="wsgi, 8 threads", loop="asyncio", http="h11"),
    Failed("load", "no module named 'gone'"),
    Failed("boot", "reason", 'Traceback:\n  File "ä", line 1\r\n\tü \N{SNOWMAN}\n'),
    Draining(),
    Watching("12 files in 3 folders, notified"),
    Watching("12 files in 3 folders, polling", "too many open files"),
    Changed("main.py, shop/cart.py and 10 more"),
    Retire(),
]

NO_MESSAGES = [
    b"",
    b"{}",
    b"[]",
    b"1",
    b"null",
    b'"Ready"',
    b'["Ready"]',
    b'["Ready", {}]',
    b'["Ready", {}, {}]',
    b'["Ready", "interface"]',
    b'["Ready", {"interface": "asgi3", "loop": "uvloop"}]',
    b'["Ready", {"interface": "asgi3", "loop": "uvloop", "http": 1}]',
    b'["Ready", {"interface": "asgi3", "loop": "uvloop", "http": "h11", "more": "x"}]',
    b'["Message", {}]',
    b'["os.system", {"command": "true"}]',
    b'[["Ready"], {}]',
    b'["Draining", null]',
    b"\xff\xfe",
    b"[" * 100_000,
    b"print from an application",
]


@pytest.fixture
def channels() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = Channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize("message", EXAMPLES)
def test_a_message_survives_the_wire(message: Message) -> None:
    data = messages.encode(message)
    assert data.split(b"\n") == [b"", data[1:-1], b""]
    assert messages.decode(data[1:-1]) == message


@pytest.mark.parametrize("line", NO_MESSAGES)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(MessageError, match="not a message"):
        messages.decode(line)


def test_a_lone_surrogate_in_a_file_name_is_readable_on_the_other_side() -> None:
    decoded = messages.decode(messages.encode(Failed("load", "caf\udce9.py")))
    assert decoded == Failed("load", "caf\udce9.py")


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    text = "first" + "x" * 1_000_000 + "last"
    decoded = messages.decode(messages.encode(Failed("load", "reason", text)))
    assert isinstance(decoded, Failed)
    assert len(decoded.traceback) < messages.LONGEST_TEXT + 100
    assert decoded.traceback.startswith("firstx")
    assert decoded.traceback.endswith("xlast")
    assert f"{len(text) - messages.LONGEST_TEXT} characters left out" in decoded.traceback


def test_messages_arrive_in_order_and_in_both_directions(channels: tuple[Channel, Channel]) -> None:
    ours, theirs = channels
    for message in EXAMPLES:
        assert theirs.send(message)
    assert ours.receive() == EXAMPLES
    assert ours.receive() == []
    assert ours.send(Retire())
    assert theirs.receive() == [Retire()]
    assert not ours.closed
    assert not theirs.closed


def test_receiving_never_waits(channels: tuple[Channel, Channel]) -> None:
    ours, theirs = channels
    assert ours.receive() == [] == theirs.receive()


def test_a_message_in_pieces_is_put_together() -> None:
    sock, other = socket.socketpair()
    channel = Channel(other)
    line = messages.encode(EXAMPLES[0])
    for piece in (line[:1], line[1:4], line[4:10], line[10:-1]):
        sock.send(piece)
        assert channel.receive() == []
    sock.send(line[-1:] + line)
    assert channel.receive() == [EXAMPLES[0], EXAMPLES[0]]
    sock.close()
    channel.close()


def test_what_was_sent_before_the_end_is_received_together_with_it(
    channels: tuple[Channel, Channel],
) -> None:
    ours, theirs = channels
    theirs.send(EXAMPLES[0])
    theirs.close()
    assert ours.receive() == [EXAMPLES[0]]
    assert ours.closed
    assert ours.receive() == []


def test_the_end_of_the_other_side_is_seen(channels: tuple[Channel, Channel]) -> None:
    ours, theirs = channels
    ours.close()
    assert theirs.receive() == []
    assert theirs.closed
    assert not theirs.send(Draining())
    assert not ours.send(Retire())  # closed on this side
    assert ours.fileno() == -1


def test_the_supervisor_does_not_wait_for_a_worker_that_does_not_read(
    channels: tuple[Channel, Channel],
) -> None:
    ours, theirs = channels
    text = Failed("load", "x" * messages.LONGEST_TEXT)
    sent = 0
    while ours.send(text):
        sent += 1
    assert sent > 0
    assert theirs.receive()[0] == text


def test_a_worker_waits_for_a_supervisor_that_does_not_read_but_not_for_ever() -> None:
    _ours, theirs = socket.socketpair()
    channel = Channel(theirs, patience=0.05)
    text = Failed("load", "x" * messages.LONGEST_TEXT)
    while channel.send(text):
        pass
    assert channel.receive() == []
    channel.close()
    _ours.close()


def test_rubbish_is_reported_and_what_follows_is_understood(channels: tuple[Channel, Channel]) -> None:
    ours, theirs = channels
    os.write(theirs.fileno(), b"print from an application")
    theirs.send(Draining())
    error, message = ours.receive()
    assert isinstance(error, MessageError)
    assert "print from an application" in str(error)
    assert message == Draining()
    assert not ours.closed


def test_bytes_without_an_end_do_not_fill_the_memory(
    channels: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = channels
    monkeypatch.setattr(messages, "LONGEST_LINE", 1000)
    os.write(theirs.fileno(), b"x" * 1001)
    (error,) = ours.receive()
    assert isinstance(error, MessageError)
    assert ours.closed


def test_no_end_is_inherited_by_programs(channels: tuple[Channel, Channel]) -> None:
    assert not any(os.get_inheritable(channel.fileno()) for channel in channels)


def test_poll_sees_a_message(channels: tuple[Channel, Channel]) -> None:
    ours, theirs = channels
    assert select.select([ours], [], [], 0)[0] == []
    theirs.send(Draining())
    assert select.select([ours], [], [], 0)[0] == [ours]
