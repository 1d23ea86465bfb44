"""gunicorn's server hooks: functions of a configuration file that are called at certain moments.

The one table of them is here. In the supervisor they are called by serverhooks.py, in a worker by
workerhooks.py; around requests by `aserve.adapters.requesthooks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from aserve.errors import BootError, application_traceback

if TYPE_CHECKING:
    from aserve.footprint import Footprint

Function: TypeAlias = Callable[..., Any]


class Hook(NamedTuple):
    """What there is to say of a hook.

    Arguments: a function takes at least `needed` of the `arguments`, by position; `process` is where
    it is called; `when` and `failure` (what follows if it raises) are for the documentation.
    """

    name: str
    arguments: tuple[str, ...]
    process: str
    when: str
    failure: str
    needed: int = 0

    @property
    def counts(self) -> range:
        """How many arguments a function may take."""
        return range(self.needed or len(self.arguments), len(self.arguments) + 1)


_SERVER: Final = ("server",)
_WORKER: Final = ("worker",)
_BOTH: Final = ("server", "worker")

_START_FAILS: Final = "the start fails, with status 3"
_BOOT_FAILS: Final = "the worker does not get ready, as if the application had failed"
_LOGGED: Final = "logged"

HOOKS: Final = (
    Hook(
        "nworkers_changed",
        ("server", "new_value", "old_value"),
        "supervisor",
        "The number of workers that are wanted has changed: at the start (`old_value` is None), by TTIN, "
        "TTOU and WINCH, by a reload, and by a reload that is abandoned.",
        _LOGGED,
    ),
    Hook(
        "ssl_context",
        ("config", "default_ssl_context_factory"),
        "supervisor",
        "At the start and at every reload, before the addresses are bound; returns the `ssl.SSLContext` to "
        "serve with (docs/tls.md).",
        "the start fails with status 3, a reload is abandoned",
    ),
    Hook("on_starting", _SERVER, "supervisor", "Before the addresses are bound.", _START_FAILS),
    Hook(
        "when_ready",
        _SERVER,
        "supervisor",
        "The addresses are bound, connections wait; before the first worker is forked.",
        _START_FAILS,
    ),
    Hook(
        "pre_fork",
        _BOTH,
        "supervisor; with `--preload` the mold, which has the application",
        "Before a worker is forked.",
        "the worker is not started: the start fails, a reload is abandoned, otherwise it is tried again "
        "after growing delays",
    ),
    Hook(
        "post_fork",
        _BOTH,
        "worker",
        "First thing in a worker, before the application is imported (with `--preload`: after) and "
        "before the worker gives up root.",
        _BOOT_FAILS,
    ),
    Hook(
        "post_worker_init",
        _WORKER,
        "worker",
        "The application is loaded, the event loop is made and does not run yet; before the lifespan "
        "start-up.",
        _BOOT_FAILS,
    ),
    Hook(
        "pre_request",
        ("worker", "req"),
        "worker",
        "Before the application is called: in the request's thread (WSGI) or task (ASGI).",
        "logged; the client gets a 500, the application is not called",
    ),
    Hook(
        "post_request",
        ("worker", "req", "environ", "resp"),
        "worker",
        "The application is done with the request, in the same thread or task. The response may be on "
        "its way to the client still.",
        _LOGGED,
        needed=2,
    ),
    Hook(
        "worker_int",
        _WORKER,
        "worker",
        "A worker that is ready got INT or QUIT; before its connections are closed.",
        "logged; it ends all the same",
    ),
    Hook(
        "worker_abort",
        _WORKER,
        "worker",
        "ABRT came, mostly since the worker was silent for `--timeout`: in the main thread, wherever that "
        "is in Python code. The stacks are in the log in any case.",
        "logged; it ends all the same",
    ),
    Hook(
        "worker_exit",
        _BOTH,
        "worker",
        "Last thing in a worker, after the lifespan shutdown, and also after an abort or if it could not "
        "boot.",
        _LOGGED,
    ),
    Hook(
        "child_exit",
        _BOTH,
        "supervisor",
        "A worker has ended, however it did.",
        _LOGGED,
    ),
    Hook(
        "on_reload",
        _SERVER,
        "supervisor",
        "Upon HUP: the settings are read, new addresses are bound; before the first new worker.",
        "the reload is abandoned, the old workers stay",
    ),
    Hook(
        "pre_exec",
        _SERVER,
        "supervisor",
        "Upon USR2, before the new supervisor is started.",
        "the upgrade is abandoned, the old server stays",
    ),
    Hook("on_exit", _SERVER, "supervisor", "All workers have ended; before the supervisor does.", _LOGGED),
)
"""All of them, in the order of a server's life."""

BY_NAME: Final = {hook.name: hook for hook in HOOKS}


class HookError(BootError):
    """A hook has raised `cause`, or wanted to exit."""

    def __init__(self, name: str, cause: BaseException) -> None:
        super().__init__(f"the hook {name} failed: {summary(cause)}")
        self.cause = cause

    @property
    def traceback(self) -> str:
        """The hook's own traceback."""
        return application_traceback(self.cause)


class Hooks:
    """The functions of one configuration file, and what they need around them.

    Arguments: `functions` have the names of the table and take all of its arguments; `footprint` is
    what the file has brought along (none: there is no file).
    """

    __slots__ = ("_functions", "footprint")

    def __init__(
        self, functions: Mapping[str, Function] | None = None, footprint: Footprint | None = None
    ) -> None:
        self._functions = functions or {}
        self.footprint = footprint

    def get(self, name: str) -> Function | None:
        """Return the function of that name, if the file has it; raise KeyError if there is no such hook."""
        return self._functions.get(BY_NAME[name].name)

    def without(self, name: str) -> Hooks:
        """Return the others."""
        return Hooks(
            {each: self._functions[each] for each in self._functions if each != name}, self.footprint
        )

    def call(self, name: str, *arguments: object) -> None:
        """Call the function of that name, if the file has it. Raises HookError."""
        function = self.get(name)
        if function is None:
            return
        try:
            function(*arguments)
        except BaseException as error:  # whatever it is, the process goes on
            raise HookError(name, error) from error


def summary(error: BaseException) -> str:
    """Return an exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


NO_HOOKS: Final = Hooks()
