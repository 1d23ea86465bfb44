"""The workers that there are, each from its fork to its end, and what the log says of them.

What is to be done (start one, let one go) is decided by staffing.py, and what follows from a
failure by the supervisor; it is done and noticed here.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aserve import orphans, recycling
from aserve.addresses import Addresses
from aserve.children import Child, Children, how_it_ended
from aserve.errors import EXIT_BOOT, EXIT_LOAD, below
from aserve.generation import Generation
from aserve.inbox import Inbox
from aserve.lifecycle import ChildState
from aserve.messages import (
    Changed,
    Draining,
    Failed,
    Message,
    MessageError,
    Ready,
    Retire,
    Tired,
    Watching,
)
from aserve.mold import NUMBER, Mold
from aserve.nursery import Nursery
from aserve.options import Settings
from aserve.processes import LEAVING_TIME
from aserve.recycling import Recycling
from aserve.serverhooks import ServerHooks
from aserve.service import ABORT_TIME
from aserve.signals import STOPPING, Signals
from aserve.staffing import Staffing

if TYPE_CHECKING:
    from aserve.watchlist import Watchlist

LATE: Final = 0.25
"""Seconds by which the loop must be late to conclude that it was the supervisor who did not run."""

_log = logging.getLogger("aserve")


class Crew:
    """The workers of a supervisor.

    Arguments: `signals` are the supervisor's, installed by it; `addresses` are where workers accept;
    `staffing` is told how the workers fare; `lost` is called for each worker that cannot serve (any
    more) without having been told to end, with the reason; `changed` is called when files have changed,
    with what to say of them; `hooks` hear of the workers' beginnings and ends.
    """

    def __init__(
        self,
        signals: Signals,
        addresses: Addresses,
        staffing: Staffing,
        lost: Callable[[Child, Failed], None],
        changed: Callable[[str], None],
        hooks: ServerHooks,
    ) -> None:
        self.children = Children()
        self.inbox = Inbox(signals)
        self._hooks = hooks
        self._nursery = Nursery(self.children, signals, addresses, hooks)
        self._addresses = addresses
        self._staffing = staffing
        self._lost = lost
        self._changed = changed
        self._recycling = Recycling()
        self._forgiven = 0.0

    @property
    def ready(self) -> int:
        """How many workers serve and have not been told to end."""
        return sum(child.state is ChildState.READY for child in self.children if child.is_worker)

    # -- beginnings ---------------------------------------------------------------------------

    def start(self, number: int, generation: Generation) -> bool:
        """Start the worker of place `number`, or what it needs first; return whether that was all.

        Raises OSError or PageFullError if there can be no more, HookError if a hook does not want it.
        """
        mold = self._mold(generation)
        if generation.settings.preload_app and (mold is None or mold.state is not ChildState.READY):
            if mold is None and time.monotonic() >= self._staffing.not_before(NUMBER):
                self._begin(self._nursery.start_mold(generation))
            return False
        self._begin(self._nursery.start(number, generation, mold))
        return True

    def start_watcher(self, settings: Settings, watchlist: Watchlist, since: float) -> None:
        """Have changes of files noticed, those from `since` on (seconds of the clock).

        Raises OSError or PageFullError if there can be no more processes.
        """
        self._begin(self._nursery.start_watcher(settings, watchlist, since))

    def _begin(self, child: Child) -> None:
        self.inbox.watch(child)
        _log.info("%s booting", child)

    def _mold(self, generation: Generation) -> Mold | None:
        for child in self.children:
            if isinstance(child, Mold) and child.generation is generation and child.serving:
                return child
        return None

    def can_start(self, generation: Generation) -> float:
        """Return when workers of `generation` can be started, as far as is known (monotonic seconds)."""
        if not generation.settings.preload_app:
            return -math.inf
        mold = self._mold(generation)
        if mold is None:
            return self._staffing.not_before(NUMBER)
        return -math.inf if mold.state is ChildState.READY else math.inf

    def release_molds(self) -> None:
        """Let the molds go whose generation gets no workers any more."""
        for child in self.children:
            wanted = child.generation in (self._staffing.current, self._staffing.coming)
            if isinstance(child, Mold) and child.serving and not wanted:
                self.release(child)

    def hear(self, child: Child, message: Message | MessageError) -> None:
        """Do what follows from what a worker says."""
        match message:
            case Ready():
                self._ready(child, message)
            case Failed():
                self._failed(child, message)
            case Draining():
                self._draining(child)
            case Tired(reason):
                self._tired(child, reason)
            case Watching() if child.is_watcher:
                self._watching(child, message)
            case Changed(what) if child.is_watcher:
                self._changed(what)
            case MessageError():
                _log.warning("%s sent %s", child, message)
            case _:
                _log.warning("%s sent what only a supervisor sends: %s", child, message)

    def _ready(self, child: Child, ready: Ready) -> None:
        if child.state is not ChildState.BOOTING:
            return  # it was told to stop while it said so
        child.move(ChildState.READY)
        child.ready_at = time.monotonic()
        if not child.is_worker:
            _log.info("%s ready: interface=%s", child, ready.interface)
            return
        child.accepting = True
        child.tires_at = child.ready_at + recycling.lifetime(child.generation.settings)
        _log.info("%s ready: interface=%s loop=%s http=%s", child, ready.interface, ready.loop, ready.http)

    def _watching(self, watcher: Child, watching: Watching) -> None:
        watcher.ready_at = time.monotonic()
        if watching.trouble:
            _log.warning("%s ready: %s: %s", watcher, watching.what, watching.trouble)
        else:
            _log.info("%s ready: %s", watcher, watching.what)

    def _failed(self, child: Child, failed: Failed) -> None:
        if child.failed is None:
            child.failed = failed
            if not child.dismissed:
                self._lost(child, failed)
        self.dismiss(child, LEAVING_TIME)  # it goes by itself

    def _draining(self, child: Child) -> None:
        child.accepting = False
        if child.serving:  # somebody else has told it
            self.dismiss(child)
        _log.info("%s draining", child)

    def _tired(self, child: Child, reason: str) -> None:
        if child.tired or child.state is not ChildState.READY:
            return
        child.tired = reason
        now = time.monotonic()
        # One that is tired soon must not be followed by others as soon: that counts like a failure.
        delay = self._staffing.settle(child.number, now - child.ready_at, now)
        _log.info("%s recycling: %s%s", child, reason, f"; in {delay:g} s" if delay else "")

    # -- ends ---------------------------------------------------------------------------------

    def release(self, child: Child) -> None:
        """Let a child go that is not needed any more: it finishes what it has."""
        if not child.is_worker:
            self.dismiss(child, LEAVING_TIME)
            child.signal(signal.SIGTERM)
            return
        abandoned = self._addresses_of_nobody_but(child)
        self._addresses.close([child.generation.sockets[index] for index in abandoned])
        booting = child.state is ChildState.BOOTING
        self.dismiss(child)
        if booting or not child.channel.send(Retire(" ".join(map(str, abandoned)))):
            child.signal(signal.SIGTERM)

    def _addresses_of_nobody_but(self, child: Child) -> list[int]:
        """Return the numbers of the sockets from which nobody else will take connections."""
        generations = [other.generation for other in self.children if other.serving and other is not child]
        generations += self._staffing.possible()
        used = {sock for generation in generations for sock in generation.sockets}
        return [index for index, sock in enumerate(child.generation.sockets) if sock not in used]

    def dismiss(self, child: Child, patience: float | None = None) -> None:
        """Note that `child` is about to end, and has `patience` seconds for it."""
        if patience is None:
            # A worker keeps its times by itself; a second more, and it is known that it does not.
            patience = child.generation.settings.graceful_timeout + ABORT_TIME + LEAVING_TIME + 1.0
        child.dismiss(time.monotonic() + patience)

    def end(self, number: signal.Signals, patience: float | None = None) -> None:
        """Have all workers end, as signal `number` says, within `patience` seconds."""
        for child in self.children:
            self.dismiss(child, patience)
            if child.state is ChildState.DRAINING:  # not one that is just dumping its stacks
                child.signal(number if child.is_worker else signal.SIGTERM)  # the others know only that

    def signal(self, number: signal.Signals) -> None:
        """Send all workers a signal that ends nobody."""
        for child in self.children:
            child.signal(number)

    def all_settings(self) -> list[Settings]:
        """Return every settings that a worker runs with, or is about to."""
        generations = [child.generation for child in self.children] + [self._staffing.current]
        return list({id(each): each.settings for each in generations}.values())

    def kill(self) -> None:
        """End all workers, whatever they are doing."""
        for child in self.children:
            if child.state is not ChildState.KILLED:
                child.kill()

    def reap(self) -> None:
        """Take note of the workers that have ended."""
        for child, status in self.children.reap():
            # Its last words first: they may have come after the poll().
            for message in child.channel.receive():
                self.hear(child, message)
            self.inbox.forget(child)
            self._ended(child, status)
            self._hooks.ended(child.pid, child.generation.settings)
            self._nursery.clear(child)
        orphans.reap({child.pid for child in self.children})

    def _ended(self, child: Child, status: int | None) -> None:
        how = how_it_ended(status)
        orderly = {"status 0", *(f"signal {number.name}" for number in STOPPING)}
        if child.failed is not None:  # and it has said why
            orderly |= {f"status {EXIT_LOAD}", f"status {EXIT_BOOT}"}
        if child.dismissed and how in orderly:
            _log.info("%s exited", child)
            return
        _log.error("%s died: %s%s", child, how, below(child.stacks.read()))
        if child.dismissed or child.failed is not None:
            return
        if child.ready_at == math.inf:
            self._lost(child, Failed("boot", f"the {child.noun} died while it booted: {how}"))
        else:
            self._lost(child, Failed("boot", f"a new {child.noun} died: {how}"))

    # -- time ---------------------------------------------------------------------------------

    def due(self) -> float:
        """Return when `watch` has something to do (monotonic seconds)."""
        times = [min(child.deadline, child.silent_at(self._forgiven)) for child in self.children]
        return min([*times, self._recycling.due(self.children)])

    def watch(self, expected: float) -> None:
        """Deal with workers that take too long for what they are doing, or have served enough.

        Arguments: `expected` is when the caller had wanted to be here.
        """
        now = time.monotonic()
        if now - expected > LATE:
            # Stopped by a signal, or the whole machine was suspended: the workers had no more time
            # than the supervisor, and what they missed is forgiven.
            self._forgiven = now
            for child in self.children:
                child.deadline += now - expected
        for child in self.children:
            if now >= child.deadline:
                self._overdue(child, now)
            elif now >= child.silent_at(self._forgiven):
                _log.error("%s silent for %g s: aborting it", child, child.generation.settings.timeout)
                child.abort(now)
        for child, reason in self._recycling.look(self.children, now):
            self._tired(child, reason)

    def _overdue(self, child: Child, now: float) -> None:
        if child.state is ChildState.BOOTING:
            limit = child.generation.settings.boot_timeout
            child.failed = Failed("boot", f"not ready within {limit:g} s (--boot-timeout)")
            child.abort(now)
            self._lost(child, child.failed)
        else:
            _log.error("%s does not end: killing it", child)
            child.kill()
