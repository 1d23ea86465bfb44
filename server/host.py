"""What is around the server: who started it, who watches it, who replaces it, where it is found.

The supervisor says after every turn of its loop how things are; what follows from that for the pid
file, the process titles, the service manager, the command that waits for a daemon and an upgrade
is decided here.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from aserve import activation, daemon, origin, readiness, titles
from aserve.addresses import Addresses
from aserve.errors import UserError, below
from aserve.handover import Handover, Progress
from aserve.hooks import HookError
from aserve.inbox import Inbox
from aserve.lifecycle import Phase
from aserve.notify import Notifier
from aserve.options import Settings
from aserve.pidfile import PidFile
from aserve.processes import LEAVING_TIME
from aserve.serverhooks import ServerHooks
from aserve.situation import Situation
from aserve.upgrade import Upgrade

if TYPE_CHECKING:
    from aserve.children import Child
    from aserve.metrics import ServerMetrics

_LOG_IS_LOST: Final = (
    "aserve: warning: in the background the log goes nowhere: name a file with --error-logfile"
)

_log = logging.getLogger("aserve")


class Host:
    """The surroundings of one supervisor: `enter` them before it runs, and `leave` them after it.

    Arguments: `settings` are the resolved ones; `handover` comes from the supervisor that this one is
    to replace, if it is.
    """

    def __init__(self, settings: Settings, handover: Handover | None = None) -> None:
        self._settings = settings
        self._handover = handover
        self._pidfile = PidFile(settings.pidfile) if settings.pidfile is not None else None
        self._notifier = Notifier.of(os.environ)
        self._last: Situation | None = None
        self._upgrade: Upgrade | None = None
        self._upgrade_wanted = False
        self._changed = False
        self._inbox: Inbox | None = None
        self._addresses = Addresses()
        self._hooks: ServerHooks | None = None
        self._children: Iterable[Child] = ()
        self._metrics: ServerMetrics | None = None

    def enter(self) -> None:
        """Go to the background if that is wanted, and write the pid file.

        Raises BootError if a server of the same pid file runs, UsageError if it cannot be written.
        """
        activation.lift(self._settings.bind)
        if self._settings.daemon and self._handover is None:
            daemon.detach(keep_output=self._settings.enable_stdio_inheritance)
        readiness.keep_from_children()
        if self._pidfile is not None:
            self._pidfile.claim(self._handover.predecessor if self._handover else None)
        titles.check(self._settings)
        activation.close_unused(self._settings.bind)

    def join(
        self,
        addresses: Addresses,
        inbox: Inbox,
        hooks: ServerHooks | None = None,
        children: Iterable[Child] = (),
    ) -> None:
        """Let the supervisor have what it inherits, and hear what is said to it."""
        self._addresses, self._inbox, self._hooks = addresses, inbox, hooks
        self._children = children
        self._measure(self._settings)
        if self._handover is not None:
            self._handover.fill(addresses)
            inbox.also(self._handover.channel.fileno())

    @property
    def leads(self) -> bool:
        """Is this the supervisor that counts, and not one that is still to replace another?"""
        return self._handover is None

    @property
    def due(self) -> float:
        """When `heed` has something to do even if nothing changes (monotonic seconds)."""
        if self._changed:
            return time.monotonic()  # the supervisor is to look again
        upgrade = self._upgrade.due if self._upgrade else math.inf
        metrics = self._metrics.due if self._metrics else math.inf
        return min(self._notifier.due if self.leads else math.inf, upgrade, metrics)

    @property
    def busy(self) -> bool:
        """Is somebody still to end before this process may?"""
        return self._upgrade is not None and self._upgrade.state is Progress.ENDING

    def heed(self, situation: Situation) -> bool:
        """Do what follows from how things are now. Called in every turn of the supervisor's loop.

        Returns True if another supervisor has taken over, so that this one has to end.
        """
        self._changed = False
        if self._handover is not None:
            self._follow(self._handover, situation)
        replaced = self._look_at_upgrade() if self._upgrade else False
        if self._upgrade_wanted and situation.phase is Phase.RUNNING and not situation.reloading:
            self._begin_upgrade()
        if self._metrics is not None:
            self._metrics.look(self._children, [sock for _, _, sock in self._addresses.entries()])
        situation = situation._replace(upgrading=self._upgrade is not None)
        if self.leads:
            self._notifier.heed(situation)
            if situation.ready:
                readiness.tell()
        if situation != self._last:
            self._last = situation
            titles.show(self._settings, "supervisor", str(situation))
            if situation.phase is Phase.RUNNING:
                lost = self._settings.error_logfile == "-" and daemon.is_mute()
                daemon.report(0, _LOG_IS_LOST if lost else "")
        return replaced

    def adapt(self, settings: Settings) -> None:
        """Go by the settings of a reload that is complete."""
        self._settings = settings
        self._measure(settings)
        self._last = None  # the name in the title may be another one
        current = self._pidfile.target if self._pidfile else None
        new = PidFile(settings.pidfile) if settings.pidfile is not None else None
        if not self.leads or (new.target if new else None) == current:
            return
        try:
            if new is not None:
                new.claim()
        except UserError as error:
            _log.error("%s: the pid file stays where it was", error)
            return
        if self._pidfile is not None:
            self._pidfile.release()
        self._pidfile = new

    def leave(self) -> None:
        """Remove the pid file, and send the last metrics. Can be called more than once."""
        if self._metrics is not None:
            self._metrics.close()
        if self._pidfile is not None:
            self._pidfile.release()

    def _measure(self, settings: Settings) -> None:
        if self._metrics is not None:
            self._metrics.adapt(settings)
        elif settings.statsd_host is not None:
            from aserve.metrics import ServerMetrics  # imported, and paid for, only where it is wanted

            self._metrics = ServerMetrics(settings)

    # -- to replace another supervisor --------------------------------------------------------

    def _follow(self, handover: Handover, situation: Situation) -> None:
        """Be a successor until it is time to be the server."""
        if situation.phase is Phase.RUNNING:
            handover.ready(self._pidfile.target if self._pidfile else None)
        if handover.look():
            if self._inbox is not None:
                self._inbox.not_also(handover.channel.fileno())
            handover.take_over(self._addresses)
            if self._pidfile is not None:
                self._pidfile.promote()
            self._handover = None

    # -- to be replaced -----------------------------------------------------------------------

    def want_upgrade(self, phase: Phase) -> None:
        """Have this supervisor replaced by a new one, as soon as no reload is under way."""
        reason = ""
        if phase is Phase.STOPPING:
            reason = "the server is about to stop"
        elif self._upgrade is not None or self._upgrade_wanted:
            reason = "one is under way"
        elif not self.leads:
            reason = "this supervisor is one, and has not taken over yet"
        elif os.getpid() == 1:
            reason = "process 1 cannot be replaced: start a new container"
        elif origin.tied():
            reason = "the program that has called aserve.run() waits for this process: start that anew"
        if reason:
            _log.warning("upgrade refused: %s", reason)
            return
        self._upgrade_wanted = True
        if self._last is not None and (self._last.reloading or self._last.phase is Phase.STARTING):
            what = "a reload" if self._last.reloading else "the start"
            _log.info("upgrade waits: %s is under way", what)

    def stop(self, number: signal.Signals, patience: float | None = None) -> None:
        """Have the successor end as well, since the whole server is to end upon signal `number`.

        But if the workers were sent to rest before, somebody does an upgrade by hand, and means this
        supervisor only. `patience` is how many seconds the workers have for their end, if not the
        usual ones.
        """
        if patience is None:
            patience = self._settings.graceful_timeout + LEAVING_TIME
        self._upgrade_wanted = False
        if self._upgrade is None or self._upgrade.state is Progress.LEFT:
            return
        if self._last is not None and self._last.wanted == 0 and self._upgrade.state is Progress.BOOTING:
            self._give_way(self._upgrade)
        else:
            self._upgrade.end(number, "the server stops", patience + LEAVING_TIME)

    def _begin_upgrade(self) -> None:
        self._upgrade_wanted = False
        try:
            if self._hooks is not None:
                self._hooks.call("pre_exec", self._settings)
            self._upgrade = Upgrade(
                self._addresses, self._notifier.environment(), self._settings.boot_timeout
            )
        except OSError as error:
            _log.error("upgrade abandoned: cannot execute %s: %s", error.filename, error.strerror)
            return
        except HookError as error:
            _log.error("upgrade abandoned: %s%s", error, below(error.traceback))
            return
        except Exception as error:  # whatever it is, the server goes on
            _log.error("upgrade abandoned: cannot be started: %r", error)
            return
        if self._inbox is not None:
            self._inbox.also(self._upgrade.channel.fileno())
        _log.info("upgrade started: pid=%d", self._upgrade.pid)

    def _look_at_upgrade(self) -> bool:
        assert self._upgrade is not None
        upgrade = self._upgrade
        descriptor = upgrade.channel.fileno()
        state = upgrade.look()
        if self._inbox is not None and (state is not Progress.BOOTING or upgrade.deaf):
            self._inbox.not_also(descriptor)
        if state is Progress.READY:
            self._give_way(upgrade)
            return True
        if state is Progress.ENDED:
            _log.error("upgrade abandoned: pid=%d: %s", upgrade.pid, upgrade.reason)
            self._upgrade = None
            self._changed = True
        return False

    def _give_way(self, upgrade: Upgrade) -> None:
        """Let the successor have what there is only one of."""
        _log.info("stopping: replaced by pid=%d", upgrade.pid)
        self._notifier.send(f"MAINPID={upgrade.pid}")
        self._notifier = Notifier()
        self._addresses.disown()
        if self._pidfile is not None and upgrade.pidfile in (None, self._pidfile.target):
            self._pidfile.leave_to_successor()
        if self._inbox is not None:
            self._inbox.not_also(upgrade.channel.fileno())
        upgrade.give_way()
