"""Where the supervisor waits (server/inbox.py)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from aserve.children import Child
from aserve.generation import Generation
from aserve.inbox import Inbox
from aserve.messages import Channel, Draining, Ready
from aserve.options import Settings
from aserve.sharedpage import SharedPage
from aserve.signals import Signals
from aserve.stacks import StackFile

MakeChild: TypeAlias = Callable[[], tuple[Child, Channel]]

READY = Ready("asgi3", "uvloop", "httptools")


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Signals that take USR1, which is put back afterwards."""
    before = signal.getsignal(signal.SIGUSR1)
    taken = Signals((signal.SIGUSR1,))
    taken.install()
    yield taken
    taken.close()
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def make_child() -> Iterator[MakeChild]:
    """Make children without a process, each with its worker's end; all are closed afterwards."""
    channels: list[Channel] = []
    stacks = StackFile()

    def make() -> tuple[Child, Channel]:
        ours, theirs = Channel.pair()
        channels.extend((ours, theirs))
        generation = Generation(1, Settings(app="main:app"))
        return Child(0, generation, 1, ours, SharedPage(1).take(), stacks, started=0.0), theirs

    yield make
    for channel in channels:
        channel.close()
    stacks.close()


def test_nothing_comes(signals: Signals) -> None:
    inbox = Inbox(signals)
    assert list(inbox.wait(0.0)) == []
    assert list(inbox.wait(0.001)) == []
    assert list(inbox.wait(-5.0)) == []  # a deadline that is over


def test_signals_and_messages_come_from_one_place(signals: Signals, make_child: MakeChild) -> None:
    inbox = Inbox(signals)
    first, first_end = make_child()
    second, second_end = make_child()
    inbox.watch(first)
    inbox.watch(second)
    first_end.send(READY)
    second_end.send(READY)
    second_end.send(Draining())
    os.kill(os.getpid(), signal.SIGUSR1)
    events = list(inbox.wait(float("inf")))
    assert len(events) == 4
    assert events[0] == signal.SIGUSR1
    assert (first, READY) in events
    assert events.index((second, READY)) < events.index((second, Draining()))


def test_a_channel_that_has_ended_is_heard_to_the_end_and_then_no_more(
    signals: Signals, make_child: MakeChild
) -> None:
    inbox = Inbox(signals)
    child, end = make_child()
    inbox.watch(child)
    end.send(READY)
    end.close()
    assert list(inbox.wait(1.0)) == [(child, READY)]
    # A poll() that still knew the descriptor would return at once, for ever.
    assert inbox._poll.poll(0) == []
    inbox.forget(child)
    child.channel.close()


def test_a_child_that_was_forgotten_is_not_heard(signals: Signals, make_child: MakeChild) -> None:
    inbox = Inbox(signals)
    child, end = make_child()
    inbox.watch(child)
    inbox.forget(child)
    inbox.forget(child)
    end.send(READY)
    assert list(inbox.wait(0.0)) == []
    child.channel.close()
    inbox.forget(child)


def test_a_descriptor_that_is_used_again_belongs_to_the_new_child(
    signals: Signals, make_child: MakeChild
) -> None:
    inbox = Inbox(signals)
    old, old_end = make_child()
    number = old.channel.fileno()
    inbox.watch(old)
    inbox.forget(old)
    old.channel.close()
    old_end.close()
    new, new_end = make_child()
    assert number in (new.channel.fileno(), new_end.fileno())
    inbox.watch(new)
    new_end.send(READY)
    assert list(inbox.wait(1.0)) == [(new, READY)]
