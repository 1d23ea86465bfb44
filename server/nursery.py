"""Where workers are born and where they are cleared away: what supervisor and worker share of each other."""

from __future__ import annotations

import contextlib
import functools
import math
import socket
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from aserve import worker
from aserve.addresses import Addresses
from aserve.children import WATCHER, Child, Children
from aserve.generation import Generation
from aserve.lifecycle import ChildState
from aserve.messages import Channel
from aserve.mold import NUMBER, Mold, MoldProcess
from aserve.options import Settings
from aserve.processes import fork
from aserve.serverhooks import ServerHooks
from aserve.sharedpage import SharedPage, Slot
from aserve.signals import Signals
from aserve.stacks import StackFile
from aserve.workerhooks import WorkerHooks

if TYPE_CHECKING:
    from aserve.watcher import WatcherProcess
    from aserve.watchlist import Watchlist


class Nursery:
    """Forks workers, molds of workers and watchers into a table of children, and takes them out of it.

    Arguments: `signals` are the supervisor's, `addresses` where it listens; `hooks` are told.
    """

    def __init__(
        self, children: Children, signals: Signals, addresses: Addresses, hooks: ServerHooks
    ) -> None:
        self._children = children
        self._signals = signals
        self._addresses = addresses
        self._hooks = hooks
        self._page = SharedPage()

    def start(self, number: int, generation: Generation, mold: Mold | None = None) -> Child:
        """Fork the worker of place `number`, or have `mold` fork it.

        Raises OSError or PageFullError if there can be no more, HookError if the hook before it fails.
        """
        settings = generation.settings
        stand_in = self._hooks.worker(settings, generation.sockets)
        with self._shared() as (slot, stacks, ours, theirs):
            assignment = worker.Assignment(
                number=number,
                generation=generation.number,
                settings=settings,
                channel=theirs,
                slot=slot,
                stacks=stacks,
                sockets=generation.sockets,
                hooks=WorkerHooks(settings, self._hooks.arbiter, stand_in),
                certificates=generation.certificates,
            )
            if mold is None:
                self._hooks.call("pre_fork", settings, stand_in)
                pid = fork(functools.partial(self._be_worker, ours, assignment))
            else:
                pid = mold.cast(number, stand_in.age, slot, theirs, stacks)
        self._hooks.forked(stand_in, pid, lambda: slot.requests)
        now = time.monotonic()
        deadline = now + (settings.boot_timeout or math.inf)
        child = Child(number, generation, pid, ours, slot, stacks, now, deadline)
        self._children.add(child)
        return child

    def start_mold(self, generation: Generation) -> Mold:
        """Fork the mold of `generation`; raise OSError or PageFullError if there can be no more."""
        with self._shared() as (slot, stacks, ours, theirs), contextlib.ExitStack() as undo:
            requests, answers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(requests.close)
            undo.callback(answers.close)
            process = MoldProcess(
                generation, self._page, self._hooks, channel=theirs, requests=answers, stacks=stacks
            )
            pid = fork(functools.partial(self._be_mold, ours, requests, process))
            undo.pop_all()
        answers.close()
        now = time.monotonic()
        deadline = now + (generation.settings.boot_timeout or math.inf)
        mold = Mold(NUMBER, generation, pid, ours, slot, stacks, now, deadline, requests=requests)
        self._children.add(mold)
        return mold

    def start_watcher(self, settings: Settings, watchlist: Watchlist, since: float) -> Child:
        """Fork the watcher of `watchlist`; raise OSError or PageFullError if there can be no more.

        Changes count from `since` on (seconds of the clock).
        """
        from aserve.watcher import Watcher, WatcherProcess  # only where they are wanted

        with self._shared() as (slot, stacks, ours, theirs):
            process = WatcherProcess(settings, watchlist, since, theirs)
            pid = fork(functools.partial(self._be_watcher, ours, process))
        generation = Generation(0, settings)  # none that workers are of
        now = time.monotonic()
        watcher = Watcher(WATCHER, generation, pid, ours, slot, stacks, now)
        watcher.move(ChildState.READY)  # nobody waits for it
        self._children.add(watcher)
        return watcher

    @contextlib.contextmanager
    def _shared(self) -> Iterator[tuple[Slot, StackFile, Channel, Channel]]:
        """Make what the supervisor has in common with a child that is about to be forked.

        That is its slot, its stacks, our end of the channel and its own; all is given back if there is
        no child.
        """
        with contextlib.ExitStack() as undo:
            slot = self._page.take()
            undo.callback(self._page.give_back, slot)
            stacks = StackFile()
            undo.callback(stacks.close)
            ours, theirs = Channel.pair()
            undo.callback(ours.close)
            undo.callback(theirs.close)
            yield slot, stacks, ours, theirs
            undo.pop_all()
        theirs.close()

    def _be_worker(self, ours: Channel, assignment: worker.Assignment) -> int:
        ours.close()
        self._be_child(assignment.sockets)
        return worker.Worker(assignment).run()

    def _be_mold(self, ours: Channel, requests: socket.socket, process: MoldProcess) -> int:
        ours.close()
        requests.close()
        self._be_child(process.generation.sockets)
        return process.run()

    def _be_watcher(self, ours: Channel, process: WatcherProcess) -> int:
        ours.close()
        self._be_child(())
        return process.run()

    def _be_child(self, sockets: Sequence[socket.socket]) -> None:
        """Run in the child: let go of what is the supervisor's.

        As long as a child holds the supervisor's end of a channel, its sibling cannot see the
        supervisor's death.
        """
        for sibling in self._children:
            sibling.let_go()
        self._signals.close()
        self._addresses.let_go(sockets)

    def clear(self, child: Child) -> None:
        """Give back what was the share of a child that has been reaped."""
        child.let_go()
        self._page.give_back(child.slot)
