"""Reloads: other settings, other addresses, new code, and back if that does not come up.

Each HUP leads to a new generation of workers, which replaces the one in service worker by worker.
What can fail before there are workers, such as the configuration, fails before anything is changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aserve import identity, importpath, logs, mold, worker
from aserve.addresses import Addresses
from aserve.children import Child, Children
from aserve.errors import UserError, application_traceback, below
from aserve.generation import Generation
from aserve.lifecycle import ChildState
from aserve.messages import Failed
from aserve.options import Settings
from aserve.serverhooks import ServerHooks
from aserve.staffing import Staffing

if TYPE_CHECKING:
    from aserve.certificates import Certificates

_log = logging.getLogger("aserve")


class Reloads:
    """What has become of the wishes for a reload.

    Arguments: `staffing` is told of new generations and `addresses` of where they listen; `load`
    returns the settings that hold now, from wherever they come; `hooks` may object.
    """

    def __init__(
        self, staffing: Staffing, addresses: Addresses, load: Callable[[], Settings], hooks: ServerHooks
    ) -> None:
        self.count = 0
        """Reloads that were begun, whatever has become of them."""
        self._staffing = staffing
        self._addresses = addresses
        self._load = load
        self._hooks = hooks
        self._wanted = False
        self._began = 0.0

    @property
    def under_way(self) -> bool:
        """Is a generation on its way into service?"""
        return self._staffing.coming is not None

    @property
    def due(self) -> float:
        """When `look_for_certificates` has something to do (monotonic seconds)."""
        certificates = (self._staffing.coming or self._staffing.current).certificates
        return certificates.due if certificates is not None else math.inf

    def look_for_certificates(self) -> None:
        """Have new certificates in service, by a reload where that is the only way."""
        certificates = (self._staffing.coming or self._staffing.current).certificates
        if certificates is not None and certificates.look():
            self.want()

    def want(self) -> None:
        """Have a reload as soon as none is under way; however often this is called meanwhile: one."""
        self._wanted = True

    def begin(self) -> bool:
        """Begin a reload if one is wanted and none is under way; return whether one has begun."""
        if not self._wanted or self.under_way:
            return False
        self._wanted = False
        self.count += 1
        self._began = time.monotonic()
        number = self._staffing.next_number()
        _log.info("reload started: gen=%d", number)
        before = self._staffing.current.settings
        try:
            settings = self._load()
            _enter(settings)
            settings, certificates = load_certificates(settings)
            sockets = self._addresses.open(settings)
            self._hooks.listen(sockets)
            self._hooks.call("on_reload", settings)
        except BaseException as error:  # a configuration can be a program
            with contextlib.suppress(UserError):
                _enter(before)
            self._hooks.listen(self._staffing.current.sockets)
            _log.error("reload abandoned: gen=%d: %s", number, _described(error))
            return False
        logs.reopen()
        worker.warm_up(settings)
        self._staffing.reload(Generation(number, settings, sockets, certificates))
        return True

    def complete(self) -> None:
        """Take note that the last worker of old has been replaced."""
        generation = self._staffing.finish()
        try:
            logs.follow(generation.settings)
        except UserError as error:
            _log.error("%s", error)
        _log.info("reload complete: %s in %.2f s", generation, time.monotonic() - self._began)

    def hangs_on(self, child: Child) -> bool:
        """Does the reload fail if `child` does? Not when all others of old have been let go for it."""
        return child.generation is self._staffing.coming and not self._staffing.replaced

    def abandon(self, failed: Failed, children: Children, level: int = logging.ERROR) -> list[Child]:
        """Give up, because of `failed`; return who is not needed any more.

        Workers that were replaced already are not brought back, since their code is gone: those
        who have replaced them go on.
        """
        coming = self._staffing.coming
        if coming is None:
            return []
        self._staffing.abandon()
        _log.log(level, "reload abandoned: %s: %s%s", coming, failed.reason, below(failed.traceback))
        return [
            child
            for child in children
            if child.generation is coming
            and child.state is ChildState.BOOTING
            and len(children.serving(child.number)) > 1
        ]


def load_certificates(settings: Settings) -> tuple[Settings, Certificates | None]:
    """Return the settings that hold, and what they serve with; raise UsageError or HookError if it cannot be.

    A file of gunicorn's may have its hook for TLS without a certificate, as gunicorn's own example has: then
    the hook does not count.
    """
    if not settings.secure and not settings.keyfile:
        return settings, None
    from aserve.certificates import Certificates, NoCertificate  # with TLS, only where it is wanted

    try:
        return settings, Certificates.load(settings)
    except NoCertificate:
        _log.warning("the hook ssl_context has no effect without a certfile: plain HTTP is served")
        return dataclasses.replace(settings, hooks=settings.hooks.without("ssl_context")), None


def _described(error: BaseException) -> str:
    if isinstance(error, UserError):
        cause = getattr(error, "cause", None)
        return str(error) + (below(application_traceback(cause)) if cause is not None else "")
    reason = f"the configuration cannot be loaded: {type(error).__name__}: {error}"
    return reason + below(application_traceback(error))


def _enter(settings: Settings) -> None:
    """Do what precedes the start of workers, and find out whether it can be done.

    Raises UsageError if the settings ask for what cannot be had.
    """
    identity.check(settings)
    importpath.enter(settings)
    identity.set_umask(settings)
    logs.make_files(settings)
    mold.prepare(settings)
