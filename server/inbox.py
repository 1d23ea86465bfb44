"""What wakes the supervisor: signals and its children's messages, waited for in one poll()."""

from __future__ import annotations

import math
import select
from collections.abc import Iterator
from signal import Signals as SignalNumber
from typing import TypeAlias

from aserve.children import Child
from aserve.messages import Message, MessageError
from aserve.signals import Signals

Event: TypeAlias = SignalNumber | tuple[Child, Message | MessageError]

_LONGEST_WAIT = 3600.0


class Inbox:
    """The one place where the supervisor waits.

    Arguments: `signals` are installed by the caller.
    """

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._children: dict[int, Child] = {}
        self._others: set[int] = set()
        self._poll = select.poll()
        self._poll.register(signals.fileno(), select.POLLIN)

    def watch(self, child: Child) -> None:
        """Hear what `child` has to say from now on."""
        self._children[child.channel.fileno()] = child
        self._poll.register(child.channel.fileno(), select.POLLIN)

    def forget(self, child: Child) -> None:
        """Stop to hear `child`; owed before its channel is closed."""
        if self._children.pop(child.channel.fileno(), None) is not None:
            self._poll.unregister(child.channel.fileno())

    def also(self, descriptor: int) -> None:
        """Wake up when there is something to read from `descriptor` as well; the caller reads it."""
        self._poll.register(descriptor, select.POLLIN)
        self._others.add(descriptor)

    def not_also(self, descriptor: int) -> None:
        """Stop to wake up for `descriptor`; owed before it is closed."""
        if descriptor in self._others:
            self._others.remove(descriptor)
            self._poll.unregister(descriptor)

    def wait(self, seconds: float) -> Iterator[Event]:
        """Yield what has arrived, waiting for it for up to `seconds`: nothing if nothing came."""
        seconds = min(max(seconds, 0.0), _LONGEST_WAIT)
        for descriptor, _ in self._poll.poll(math.ceil(seconds * 1000)):
            if descriptor in self._others:
                continue
            child = self._children.get(descriptor)
            if child is None:
                yield from self._signals.take()
                continue
            for message in child.channel.receive():
                yield child, message
            if child.channel.closed:
                # It has ended (CHLD tells how), or its application closes what is not its own.
                self.forget(child)
