"""The supervisor: it binds, forks workers, and sees that there are as many as wanted.

It never imports the application. So a worker that it forks always runs the code that is on disk
at that moment, and no mistake of the application's can reach it.

There is one loop. It waits for signals and for the workers' messages, notes what they say, and
then asks afresh what is to be done: who has ended, who takes too long (crew.py), whom to start and
whom to let go (staffing.py), whether there is to be a reload (reload.py), and whether somebody looks
out for one (lookout.py).
"""

from __future__ import annotations

import gc
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

import aserve
from aserve import cautions, daemon, logs, mold, worker
from aserve.addresses import Addresses
from aserve.children import Child
from aserve.crew import Crew
from aserve.errors import EXIT_BOOT, EXIT_LOAD, UserError, below
from aserve.generation import Generation
from aserve.hooks import HookError
from aserve.host import Host
from aserve.inbox import Event
from aserve.lifecycle import ChildState, Phase, next_phase
from aserve.lookout import Lookout
from aserve.messages import Failed
from aserve.options import Settings
from aserve.processes import LEAVING_TIME, have_standard_streams
from aserve.reload import Reloads, load_certificates
from aserve.serverhooks import ServerHooks
from aserve.service import ABORT_TIME
from aserve.sharedpage import PageFullError
from aserve.signals import SUPERVISED, Signals, has_terminal
from aserve.situation import Situation
from aserve.staffing import Place, Release, Staffing, Start

QUICK_GRACE: Final = ABORT_TIME + LEAVING_TIME + 0.5
"""Seconds after which a worker that should stop at once is killed; it ends sooner by itself, and says
what was still running."""

ONE_KEYSTROKE: Final = 0.3
"""Seconds in which a second INT is taken for the same one: sent by the terminal, and passed on by a program
that has started us."""

_log = logging.getLogger("aserve")


class Supervisor:
    """All that is behind `aserve APP`.

    Arguments: `settings` are the resolved ones; the log must be configured with them already.
    `host` is told how things go. `load` returns the settings anew for a reload, and raises what it
    likes if they cannot be had; without it they stay the same.
    """

    def __init__(
        self, settings: Settings, host: Host | None = None, load: Callable[[], Settings] | None = None
    ) -> None:
        have_standard_streams()
        self._host = host or Host(settings)
        self._started = time.monotonic()
        self._phase = Phase.STARTING
        self._status = 0
        self._hurrying_since = math.inf
        self._wake_at = math.inf
        self._signals = Signals(SUPERVISED)
        self._addresses = Addresses()
        self._staffing = Staffing(Generation(1, settings))
        self._hooks = ServerHooks(settings)
        self._crew = Crew(
            self._signals, self._addresses, self._staffing, self._lost, self._changed, self._hooks
        )
        self._lookout = Lookout(self._crew, self._staffing)
        self._reloads = Reloads(self._staffing, self._addresses, load or (lambda: settings), self._hooks)

    # -- the loop -----------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until a signal says stop; return the exit status.

        Call it once, from the main thread, while there is no other. Raises BootError if an
        address cannot be bound, or a hook fails.
        """
        try:
            return self._run()
        finally:
            self._signals.close()  # a program that goes on has no use for them

    def _run(self) -> int:
        self._signals.install()
        self._open()
        self._arrange()
        while True:
            if self._host.heed(self._situation()):
                self._give_way()
            if self._phase is Phase.STOPPING and not self._crew.children and not self._host.busy:
                break  # only now: one turn may bring both the stop and the last worker's end
            self._wake_at = self._due()
            for event in self._crew.inbox.wait(self._wake_at - time.monotonic()):
                self._take(event)
            self._crew.reap()
            self._crew.watch(self._wake_at)
            self._arrange()
        self._phase = next_phase(self._phase, Phase.STOPPED)
        self._hooks.tell("on_exit", self._staffing.current.settings)
        self._signals.ignore()
        _log.info("stopped")
        return self._status

    def _take(self, event: Event) -> None:
        match event:
            case signal.SIGTERM:
                self._stop(event)
            case signal.SIGINT | signal.SIGQUIT:
                self._stop_at_once(event)
            case signal.SIGHUP:
                self._reloads.want()
            case signal.SIGTTIN:
                self._change_count(+1)
            case signal.SIGTTOU:
                self._change_count(-1)
            case signal.SIGUSR1:
                self._reopen_logs()
            case signal.SIGUSR2:
                self._upgrade()
            case signal.SIGWINCH:
                self._rest()
            case (child, message):
                self._crew.hear(child, message)
            case _:
                pass  # CHLD: whatever woke the loop, it looks who has ended

    def _due(self) -> float:
        times = [self._host.due, self._crew.due(), self._lookout.due()]
        if self._phase is not Phase.STOPPING:
            now = time.monotonic()
            possible = self._crew.can_start(self._staffing.coming or self._staffing.current)
            times.append(max(self._staffing.next_start(self._crew.children, now), possible))
            times.append(self._reloads.due)
            if possible > now:
                times.append(possible)
        return min(times)

    def _situation(self) -> Situation:
        reloads = self._reloads
        return Situation(
            self._phase, self._staffing.count, self._crew.ready, reloads.count, reloads.under_way
        )

    # -- start --------------------------------------------------------------------------------

    def _open(self) -> None:
        settings = self._staffing.current.settings
        _log.info(
            "aserve %s starting: app=%s workers=%d pid=%d python=%s",
            aserve.__version__,
            settings.app,
            settings.workers,
            os.getpid(),
            sys.version.split()[0],
        )
        self._addresses.scheme = "https" if settings.secure else "http"
        self._host.join(self._addresses, self._crew.inbox, self._hooks, self._crew.children)
        self._hooks.count(self._staffing.count, settings)
        self._hooks.call("on_starting", settings)
        mold.prepare(settings)
        settings, certificates = load_certificates(settings)
        self._staffing.current = Generation(1, settings, self._addresses.open(settings), certificates)
        self._hooks.listen(self._staffing.current.sockets)
        try:
            self._hooks.call("when_ready", settings)
        except HookError:
            self._addresses.close_all()
            raise
        worker.warm_up(settings)
        # What is here now is the same in every worker: keep the collector from writing to it, so
        # that they share its memory. Not collected before: imports leave next to no garbage, and
        # looking for it takes longer than what starts a worker.
        gc.freeze()
        gc.enable()

    def _fail(self, failed: Failed) -> None:
        """End the start: a server that cannot start must say so and not try for ever.

        With --reload it waits for a change: who sits before it is about to make one.
        """
        waits = self._waits_for_changes
        hint = "; waiting for a change" if waits else ""
        _log.error("not started: %s%s%s", failed.reason, hint, below(failed.traceback))
        status = EXIT_LOAD if failed.kind == "load" else EXIT_BOOT
        text = f"{failed.traceback}aserve: error: {failed.reason}"
        if not daemon.report(status, text) and self._staffing.current.settings.error_logfile != "-":
            print(text, file=sys.stderr)  # who sits at the terminal must not have to look into the log
        if waits:
            self._pause()
        else:
            self._status = status
            self._end_workers(signal.SIGTERM)

    @property
    def _waits_for_changes(self) -> bool:
        settings = self._staffing.current.settings
        # Somebody else waits for the outcome of a start in the background, and of an upgrade.
        return settings.reload and not settings.daemon and self._host.leads

    def _pause(self) -> None:
        """Let the start rest, until there is a reload."""
        for child in self._crew.children:
            if child.serving and child.failed is None and not child.is_watcher:
                self._crew.release(child)
        self._staffing.rest()

    @property
    def _paused(self) -> bool:
        return self._phase is Phase.STARTING and not self._staffing.count

    # -- what is to be done -------------------------------------------------------------------

    def _arrange(self) -> None:
        if self._phase is not Phase.STOPPING:
            self._lookout.keep((self._staffing.coming or self._staffing.current).settings)
            self._staff()
            if not self._paused and self._staffing.staffed(self._crew.children):
                self._staffed()
            self._reloads.look_for_certificates()
            if self._begin_reload():
                self._staff()
            self._close_unused()
            self._crew.release_molds()

    def _staff(self) -> None:
        generation = self._staffing.coming or self._staffing.current
        self._hooks.count(self._staffing.count, generation.settings)
        for decision in self._staffing.decide(self._crew.children, time.monotonic()):
            match decision:
                case Start(place, generation):
                    try:
                        self._crew.start(place.number, generation)
                    except (OSError, PageFullError, HookError) as error:
                        self._not_started(place, error)
                        return  # what is to be done now is another question
                case Release(child):
                    self._crew.release(child)

    def _staffed(self) -> None:
        if self._phase is Phase.STARTING:
            self._phase = next_phase(self._phase, Phase.RUNNING)
            count = self._staffing.count
            noun = "worker" if count == 1 else "workers"
            for caution in cautions.about(self._staffing.current.settings):
                _log.warning("%s", caution)
            _log.info("ready: %d %s in %.2f s", count, noun, time.monotonic() - self._started)
        if self._reloads.under_way:
            self._reloads.complete()
            self._host.adapt(self._staffing.current.settings)

    def _close_unused(self) -> None:
        """Close the addresses that only workers of a former generation had, when those are gone."""
        current = self._staffing.current.sockets
        if self._reloads.under_way or len(self._addresses) == len(current):
            return
        theirs = (child.generation.sockets for child in self._crew.children if child.serving)
        self._addresses.keep({*current, *(sock for sockets in theirs for sock in sockets)})

    # -- what goes wrong ----------------------------------------------------------------------

    def _lost(self, child: Child, failed: Failed) -> None:
        """Decide what follows from a worker that cannot serve and was not told to end."""
        if self._phase is Phase.STOPPING:
            return
        if child.is_watcher:
            self._lookout.lost(child, failed)
            return
        if self._paused:
            return  # another one has failed before it, and that was told
        served = 0.0 if child.ready_at == math.inf else time.monotonic() - child.ready_at
        if self._phase is Phase.STARTING and not served and not self._reloads.under_way:
            self._fail(failed)
            return
        delay = self._staffing.settle(child.number, served, time.monotonic())
        if self._reloads.hangs_on(child):
            self._abandon(failed)
        elif not served:
            reason = failed.reason
            _log.error("%s failed: %s; next try in %g s%s", child, reason, delay, below(failed.traceback))

    def _not_started(self, place: Place, error: Exception) -> None:
        if isinstance(error, HookError):
            failed = Failed("boot", str(error), error.traceback)
        else:
            failed = Failed("boot", f"cannot start a process: {error}")
        if self._phase is Phase.STARTING and not self._reloads.under_way:
            self._fail(failed)
            return
        delay = self._staffing.settle(place.number, 0.0, time.monotonic())
        if self._reloads.under_way and not self._staffing.replaced:
            self._abandon(failed)
        else:
            what = f"worker={place.number} failed: {failed.reason}"
            _log.error("%s; next try in %g s%s", what, delay, below(failed.traceback))

    def _abandon(self, failed: Failed, level: int = logging.ERROR) -> None:
        for child in self._reloads.abandon(failed, self._crew.children, level):
            self._crew.release(child)

    # -- reloads ------------------------------------------------------------------------------

    def _begin_reload(self) -> bool:
        return (self._phase is Phase.RUNNING or self._paused) and self._reloads.begin()

    def _changed(self, what: str) -> None:
        """Have what has changed in service soon, whatever becomes of the code before it, which may hang."""
        if self._phase is Phase.STOPPING:
            return
        _log.info("changed: %s", what)
        self._reloads.want()
        if self._phase is Phase.STARTING and not self._reloads.under_way:
            self._pause()
        elif not self._staffing.replaced:
            self._abandon(Failed("boot", "there is newer code"), logging.INFO)
        for child in self._crew.children:
            if child.state is ChildState.BOOTING:
                self._crew.release(child)
        self._begin_reload()

    # -- signals ------------------------------------------------------------------------------

    def _stop(self, number: signal.Signals) -> None:
        if self._phase is not Phase.STOPPING:
            _log.info("stopping: signal %s", number.name)
            self._end_workers(signal.SIGTERM)

    def _stop_at_once(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if self._hurrying_since == math.inf:
            self._hurrying_since = now
            _log.info("stopping at once: signal %s", number.name)
            self._end_workers(signal.SIGQUIT, QUICK_GRACE)
        elif now - self._hurrying_since > ONE_KEYSTROKE:
            _log.warning("killing all workers: signal %s", number.name)
            self._crew.kill()

    def _end_workers(self, number: signal.Signals, patience: float | None = None) -> None:
        self._host.stop(number, patience)
        if self._phase is not Phase.STOPPING:
            self._phase = next_phase(self._phase, Phase.STOPPING)
            # The workers have theirs; with the last of them new connections are refused.
            self._addresses.close_all()
        self._crew.end(number, patience)

    def _change_count(self, by: int) -> None:
        if self._phase is not Phase.STOPPING and self._staffing.change(by):
            _log.info("workers wanted: %d", self._staffing.count)

    def _rest(self) -> None:
        """Have no workers for a while; connections wait until there are some again."""
        if self._phase is not Phase.RUNNING or has_terminal():
            _log.debug("signal SIGWINCH ignored: a window may have changed its size")
            return
        self._abandon(Failed("boot", "signal SIGWINCH"))
        self._staffing.rest()
        _log.info("workers wanted: 0")

    def _reopen_logs(self) -> None:
        """Go on in the log files that have the names now, here and in all workers."""
        for settings in self._crew.all_settings():
            try:
                logs.make_files(settings)  # workers need not be allowed to
            except UserError as error:
                _log.error("%s", error)
        logs.reopen()
        _log.info("log files reopened: signal SIGUSR1")
        self._crew.signal(signal.SIGUSR1)

    def _upgrade(self) -> None:
        self._host.want_upgrade(self._phase)

    def _give_way(self) -> None:
        """Leave everything to another supervisor. Its workers take the new connections."""
        self._phase = next_phase(self._phase, Phase.STOPPING)
        self._addresses.close_all()
        for child in self._crew.children:
            self._crew.release(child)
