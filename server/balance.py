"""How many connections a worker may take, so that all workers have about as many.

The kernel wakes every worker that waits for a connection, and the first to come takes it. Left to
themselves, a few workers would take most of a burst. So one that has clearly more connections than
another one, and has taken clearly more of late, stands back a moment: the other one is awake as well,
and takes them. If it does not come, because its application blocks the loop or the process has been
stopped, it counts as if it had more and more connections, until it takes one again. So nobody waits for
it for long.

Both have to be more. By connections alone, all of the short-lived ones would go to a worker that has
just been started, while those that hold idle ones do nothing; by what was taken alone, a worker that was
busy for a while would get all that comes after it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Final

from aserve.sharedpage import Peer, Slot

SLACK: Final = 8
"""Connections that a worker may have more than another one in any case: few ones are never worth a wait."""

SLACK_SHIFT: Final = 3
"""The same as a part of the other one's connections, 2 ** -3."""

PATIENCE: Final = 0.01
"""Seconds that another worker has for taking what is to be its connection."""

LONGEST_LEAD: Final = 64
"""Connections at most that one has taken less than another and may take before that one goes on."""

MEMORY: Final = 10.0
"""Seconds in which half of it is forgotten who has taken how many."""

FRESH: Final = 2.5
"""Seconds since the last heartbeat after which a worker does not count: they beat once a second."""


class Balance:
    """What a worker takes into account of the others when it takes connections.

    Arguments: `slot` is its own; what it has is told there, see `Slot.offer`.
    """

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        # By how many connections each of the others was behind when both counted as even.
        self._even: dict[int, int] = {}
        self._evened_at = -math.inf
        # Of those that have not come: how many they had taken then, and how many more they count for.
        self._absent: dict[int, tuple[int, int]] = {}
        # Since when something waits that is left to the others, and what they had taken then.
        self._since: float | None = None
        self._seen: dict[int, int] = {}

    def room(self, connections: int) -> int:
        """Return how many more may be taken by one that has `connections`; none are if that is below 1."""
        if self._evened_at == -math.inf:
            self._even_out(time.monotonic())
        if connections < SLACK:
            return SLACK
        room = _room(self._slot.fewest(), connections)
        if room > 0:
            return room
        now = time.monotonic()
        if now - self._evened_at >= MEMORY:
            self._even_out(now)
        return min((self._left_by(peer, connections) for peer in self._peers(now)), default=SLACK)

    def leaves(self, connections: int) -> bool:
        """Return whether to leave what waits to the others: for a moment, until this is asked again.

        Who has been absent for too long counts as if it had more connections from then on.
        """
        if self.room(connections) > 0:
            self.nothing_waits()
            return False
        now = time.monotonic()
        if self._since is not None and now - self._since < PATIENCE:
            return True
        fewest = min((self._weight(peer) for peer in self._peers(now)), default=connections)
        for peer in self._slot.peers():
            # One that has more than the fewest stands back itself.
            called = _room(fewest, self._weight(peer)) > 0
            if called and self._seen.get(peer.slot) == peer.taken:
                _, more = self._absent.get(peer.slot, (0, SLACK // 2))
                self._absent[peer.slot] = peer.taken, 2 * more
        self._since, self._seen = now, {peer.slot: peer.taken for peer in self._slot.peers()}
        return self.room(connections) < 1

    def nothing_waits(self) -> None:
        """Take note that the others have taken everything."""
        self._since, self._seen = None, {}

    def _peers(self, now: float) -> Iterator[Peer]:
        return (peer for peer in self._slot.peers() if now - peer.beat < FRESH)

    def _left_by(self, peer: Peer, connections: int) -> int:
        """Return how many may be taken though `peer` is there."""
        weight, behind = self._weight(peer), self._slot.taken - peer.taken
        lead = min(max(behind - self._even.get(peer.slot, behind), 0), LONGEST_LEAD)
        self._even[peer.slot] = behind - lead
        return max(_room(weight, connections), SLACK + weight - peer.connections - lead)

    def _even_out(self, now: float) -> None:
        """Have half of what was taken before forgotten."""
        self._evened_at = now
        taken = self._slot.taken
        for peer in self._slot.peers():
            behind = taken - peer.taken
            self._even[peer.slot] = (self._even.get(peer.slot, behind) + behind) // 2

    def _weight(self, peer: Peer) -> int:
        taken, more = self._absent.get(peer.slot, (0, 0))
        if more and taken != peer.taken:  # there it is again
            del self._absent[peer.slot]
            more = 0
        return peer.connections + more


def _room(fewest: int, connections: int) -> int:
    return fewest + max(SLACK, fewest >> SLACK_SHIFT) - connections
