"""How things are with the server, in the supervisor's words for those around it."""

from __future__ import annotations

from typing import NamedTuple

from aserve.lifecycle import Phase


class Situation(NamedTuple):
    """How things are.

    Arguments: of the `wanted` workers, `ready` ones serve; `reloads` counts the requests for one
    that were taken up, whatever became of them; `reloading` and `upgrading` say what is under way.
    """

    phase: Phase
    wanted: int
    ready: int
    reloads: int = 0
    reloading: bool = False
    upgrading: bool = False

    def __str__(self) -> str:
        if self.phase is not Phase.RUNNING:
            return str(self.phase.value)
        count = str(self.ready) if self.ready == self.wanted else f"{self.ready} of {self.wanted}"
        under_way = ", reloading" * self.reloading + ", upgrading" * self.upgrading
        return f"{count} {'worker' if self.wanted == 1 else 'workers'}{under_way}"
