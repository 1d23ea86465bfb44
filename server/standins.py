"""The objects that hooks are given: they have the names that gunicorn's have, as far as hooks use them.

An arbiter is the supervisor, in gunicorn's words. Hooks may set attributes of their own: what is set
in the supervisor before a fork is there in the worker.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aserve import identity
from aserve.hooks import BY_NAME
from aserve.options import OPTIONS
from aserve.serverlogger import logger

if TYPE_CHECKING:
    from aserve.options import Settings

_CERT_REQS: Final = ("none", "optional", "required")
"""In the order of the numbers of `ssl`."""

_FINAL: Final = "a hook cannot change settings: write them into the configuration file, as variables"

_FIELDS: Final = {name: option.name for option in OPTIONS for name in (option.name, option.gunicorn)}


class Config:
    """The settings, read-only, by gunicorn's names and by ours: the `cfg` of the other two.

    Arguments: `settings` are the resolved ones.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        if name in BY_NAME:
            return self._settings.hooks.get(name)
        if name not in _FIELDS:
            return _default_of(name)
        value = getattr(self._settings, _FIELDS[name])
        if name == "bind":
            return [str(bind) for bind in value]
        if name in ("certfile", "keyfile"):
            return value[0] if value else None
        return _CERT_REQS.index(value) if name == "cert_reqs" else value

    def __setattr__(self, name: str, value: object) -> None:
        if name in _FIELDS or name in BY_NAME:
            raise AttributeError(_FINAL)
        super().__setattr__(name, value)

    def set(self, name: str, value: object) -> None:
        """Raise AttributeError: gunicorn's own has settings changed by hooks."""
        raise AttributeError(_FINAL)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Each of gunicorn's by its name, as an object with `name`, `value` and `get()`."""
        from aserve.gunicornsettings import BY_NAME as GUNICORN  # for the few hooks that ask for one

        return {name: Setting(name, getattr(self, name)) for name in GUNICORN}

    @property
    def worker_class_str(self) -> str:
        """The name of the worker class: gunicorn's where it has one of that kind."""
        name: str = self._settings.worker_class
        return "gthread" if name == "wsgi" else name

    @property
    def proc_name(self) -> str:
        """What the server is called: by default, after the application."""
        return self._settings.proc_name or self._settings.app

    @property
    def is_ssl(self) -> bool:
        """Is HTTPS served?"""
        return self._settings.secure

    @property
    def uid(self) -> int:
        """The number of the user that workers run as."""
        return os.geteuid() if self._settings.user is None else self._settings.user

    @property
    def gid(self) -> int:
        """The number of the group that workers run in."""
        wanted = identity.owner(self._settings)
        return os.getegid() if wanted is None else wanted[1]

    @property
    def env(self) -> dict[str, str]:
        """The variables of raw_env."""
        return dict(entry.partition("=")[::2] for entry in self._settings.raw_env)

    @property
    def address(self) -> list[tuple[str, int] | str]:
        """Where to listen: host and port, or the path of a Unix socket."""
        return [
            (bind.host, bind.port) if bind.kind == "tcp" else str(bind).removeprefix("unix:")
            for bind in self._settings.bind
        ]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as hooks find it in gunicorn's `cfg.settings`."""

    name: str
    value: Any

    def get(self) -> Any:
        """Return its value."""
        return self.value


def _default_of(name: str) -> object:
    """Return gunicorn's default of a setting that means nothing here."""
    from aserve.gunicornsettings import BY_NAME as GUNICORN  # for the few hooks that ask for one

    if name not in GUNICORN:
        raise AttributeError(f"there is no setting {name!r}")
    return GUNICORN[name].default


class Arbiter:
    """The `server` of hooks, one in the supervisor, with copies in the processes that it forks.

    Arguments: `settings` are those of the start.
    """

    def __init__(self, settings: Settings) -> None:
        self.cfg = Config(settings)
        self.log = logger()
        self.pid = os.getpid()
        self.master_pid = 0
        self.worker_age = 0
        """How many workers have been forked so far."""
        self.num_workers = 0
        self.WORKERS: dict[int, WorkerStandIn] = {}
        """Those that have not ended, by pid."""
        self.LISTENERS: list[socket.socket] = []
        self.worker: WorkerStandIn | None = None
        """The one of this process, if it has the application."""

    def __str__(self) -> str:
        return f"<Arbiter {self.pid}>"

    @property
    def app(self) -> ApplicationStandIn:
        """The way to the application. Raises AttributeError in the supervisor, which has none."""
        if self.worker is None:
            raise AttributeError(
                "the supervisor does not import the application: use server.app in post_fork, worker.app in "
                "post_worker_init, or import in the hook what it needs"
            )
        return self.worker.app

    @property
    def timeout(self) -> float:
        """The setting, in seconds."""
        return float(self.cfg.timeout)

    @property
    def address(self) -> list[tuple[str, int] | str]:
        """Where the server listens."""
        return self.cfg.address

    @property
    def proc_name(self) -> str:
        """The server's name for ps and top."""
        return self.cfg.proc_name


class ApplicationStandIn:
    """The `app` of a worker, through which some hooks come to the application."""

    def __init__(self, worker: WorkerStandIn) -> None:
        self._worker = worker
        self.cfg = worker.cfg

    @property
    def callable(self) -> Any:
        """The application, None before it is loaded."""
        return self._worker.wsgi

    def wsgi(self) -> Any:
        """Return the application; load it, if that is possible already."""
        if self._worker.wsgi is None and self._worker.load is not None:
            self._worker.wsgi = self._worker.load()
        return self._worker.wsgi


class WorkerStandIn:
    """The `worker` of hooks, made in the supervisor before the fork.

    Arguments: `age` counts the workers in the order of their forks, from 1; `ppid` is the supervisor's pid.
    """

    def __init__(self, age: int, ppid: int, settings: Settings) -> None:
        self.age = age
        self.pid: int | str = "[booting]"
        self.ppid = ppid
        self.cfg = Config(settings)
        self.log = logger()
        self.timeout = settings.timeout / 2.0
        self.booted = False
        self.alive = True
        self.aborted = False
        self.sockets: list[socket.socket] = []
        self.wsgi: Any = None
        """The application, of whichever interface, once it is loaded."""
        self.load: Callable[[], Any] | None = None
        """Loads it, in the worker."""
        self.app = ApplicationStandIn(self)
        self.count: Callable[[], int] = lambda: 0

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"

    @property
    def nr(self) -> int:
        """How many requests it has answered; in the supervisor, up to a second ago."""
        return self.count()
