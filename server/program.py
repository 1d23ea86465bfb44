"""`aserve.run`: the whole server, started by a program instead of the command."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import logging
import os
import signal
import site
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, Unpack

from aserve import arguments, cli, exitfunctions
from aserve.adapters import GREENLETS
from aserve.errors import UsageError
from aserve.keywords import Options
from aserve.options import Settings
from aserve.signals import SUPERVISED

_PASSED_ON: Final = tuple(number for number in SUPERVISED if number is not signal.SIGCHLD)

_log = logging.getLogger("aserve")


def run(app: Any, **options: Unpack[Options]) -> None:
    """Serve an application until a signal says stop: all that the command `aserve` does, from a program.

    Arguments: `app` is the name of an application such as "main:app", or an ASGI or WSGI application
    itself. The keywords are the options of the command, with the same names (--bind is `bind`),
    values and defaults: docs/settings.md; times are in seconds, sizes in bytes. They stand in the place of
    the command line: variables such as ASERVE_WORKERS and a configuration file hold for what is not
    given here.

    Returns after a stop. What the command would say on standard error and end with, this says, and raises
    SystemExit with the command's status: 2 if a value is wrong, 3 if the server does not start, 4 if
    the application cannot be loaded. Raises TypeError for a name that is no option's, RuntimeError where
    it cannot be called: beside a running event loop, in another thread than the main one, while
    the application is imported.

    Workers are forked from this process. With a name they import the application themselves, so that a
    reload brings new code; an application object they have as it is. With `reload` the server runs in
    an interpreter of its own, which knows nothing yet of the modules that are to be reloaded.

    >>> if __name__ == "__main__":  # doctest: +SKIP
    ...     aserve.run("main:app", bind="127.0.0.1:8000", workers=4)
    """
    given = arguments.given("aserve.run()", options)
    _check_place()
    try:
        for name, value in given.items():
            arguments.check(name, value)
        status = _serve(app, given)
    except Exception as error:
        raise SystemExit(cli.fail(error)) from error
    if status:
        raise SystemExit(status)


def _serve(app: Any, given: dict[str, object]) -> int:
    finish: Callable[[Settings], Settings]
    if isinstance(app, str):
        given, finish = {**given, "app": app}, _Named()
    else:
        given, finish = {**given, "app": arguments.name_of(app)}, _Object(app)
    try:
        with _handlers_put_back(), _collector_put_back(), exitfunctions.kept_from_children():
            return cli.serve(given, _remarks(), finish)
    except _AfreshError:
        return _serve_afresh(given)


def _check_place() -> None:
    """Raise RuntimeError if a server cannot be started here."""
    if cli.serving:
        raise RuntimeError(
            "aserve.run() is called while the application is imported: put it under "
            'if __name__ == "__main__":'
        )
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "aserve.run() needs the main thread, for its signals: use aserve.Server(...).in_thread()"
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "aserve.run() cannot run beside an event loop: use await aserve.Server(...).serve(), or "
        "aserve.Server(...).in_thread()"
    )


def _remarks() -> Iterator[str]:
    """Yield what there is to say of the place."""
    others = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if others:
        yield f"threads of this program are not in the workers: {', '.join(others)}"


@contextlib.contextmanager
def _handlers_put_back() -> Iterator[None]:
    """Leave the program with its own signal handlers."""
    before = {number: signal.getsignal(number) for number in SUPERVISED}
    descriptor = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            if handler is not None:  # one of another language's cannot be put back
                signal.signal(number, handler)


@contextlib.contextmanager
def _collector_put_back() -> Iterator[None]:
    """Leave the program with its garbage collector as it was."""
    enabled, frozen = gc.isenabled(), gc.get_freeze_count()
    try:
        yield
    finally:
        if not frozen:
            gc.unfreeze()
        if enabled:
            gc.enable()


# -- what there is to serve ---------------------------------------------------------------------


class _AfreshError(Exception):
    """The server has to be started in another interpreter."""


class _Object:
    """An application that the program has made: the workers have it by being forked."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._started = False

    def __call__(self, settings: Settings) -> Settings:
        if settings.reload:
            raise UsageError('reload: an object cannot be reloaded: name the application, such as "main:app"')
        if settings.worker_class in GREENLETS:
            raise UsageError(
                f"worker_class: {settings.worker_class} has to be there before the application is imported: "
                'name the application, such as "main:app"'
            )
        if self._started:
            _log.warning(
                "the application is an object of the program: its code is not read again, USR2 does that"
            )
        self._started = True
        return dataclasses.replace(settings, application=self._app)


class _Named:
    """An application that the workers import, but for what this program has imported of it before."""

    def __init__(self) -> None:
        self._started = False
        self._files = {path: _changed(path) for path in _own_files()}

    def __call__(self, settings: Settings) -> Settings:
        if settings.reload and not self._started:
            if settings.app.partition(":")[0] == "__main__":
                raise UsageError(
                    f"reload: {settings.app!r} names the running program: write the name of its module, "
                    'such as "main:app"'
                )
            raise _AfreshError
        if self._started:
            stale = sorted(path for path, when in self._files.items() if _changed(path) != when)
            if stale:
                _log.warning(
                    "changed, but imported before aserve.run(), and so not read again: %s; USR2 does that",
                    ", ".join(stale),
                )
        self._started = True
        return settings


def _own_files() -> Iterator[str]:
    """Yield the files of the modules that are neither Python's own nor installed."""
    paths = sysconfig.get_paths()
    installed = (
        *(paths[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        foreign = name == "__main__" or name.partition(".")[0] == "aserve"
        if file and not foreign and not file.startswith(installed):
            yield file


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


# -- in an interpreter of its own ---------------------------------------------------------------


def _serve_afresh(given: dict[str, object]) -> int:
    """Serve where nothing has been imported yet; return the exit status."""
    said = json.dumps({"options": given, "path": sys.path, "parent": os.getpid()}, default=str)
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    words = [sys.executable, *flags, "-m", "aserve.afresh", said]
    with subprocess.Popen(words, close_fds=False) as process, _passed_on(process):
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            raise
    return status if status >= 0 else 128 - status


@contextlib.contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Have signals that are meant for the server go there."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    with _handlers_put_back():
        for number in _PASSED_ON:
            signal.signal(number, pass_on)
        yield
