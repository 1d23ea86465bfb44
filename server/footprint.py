"""What the code of a configuration file brings into a process: modules, variables, folders to import from.

The file is executed in the supervisor, which forks all workers. What stayed there would be in the
workers of every later reload as well, and hide the code that is on disk by then. So it is taken back
as soon as the file has been executed, kept here, and put into those processes that it is meant for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Final

from aserve import importpath
from aserve.signals import SUPERVISED

if TYPE_CHECKING:
    from aserve.options import Settings

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_STANDARD_LIBRARY: Final = os.path.dirname(os.__file__) + os.sep


class Footprint:
    """What one execution of a configuration file has brought along; nothing if there was none.

    Arguments: `package` is the top-level package that the file is a part of, if it is named as a module.
    """

    def __init__(self, package: str = "") -> None:
        self._package = package
        self._modules: dict[str, ModuleType] = {}
        self._environ: dict[str, str | None] = {}
        self._first: list[str] = []
        self._last: list[str] = []
        self._settled = False
        self.threads: tuple[str, ...] = ()
        """The names of those that the last call or execution has started."""

    @contextlib.contextmanager
    def execution(self, folder: str) -> Iterator[None]:
        """Execute the file in here, with `folder` as the current one and to import from.

        On leaving, the process is as it was before.
        """
        before = dict(os.environ)
        with self._isolated():
            with contextlib.suppress(OSError):  # gone: whoever asks for it will say so
                os.chdir(folder)
            sys.path.insert(0, folder)
            known = list(sys.path)
            importpath.forget_listings()
            try:
                yield
                self._environ = _difference(before, os.environ)
                self._note_path(known)
            finally:
                _replace_environ(before)

    @contextlib.contextmanager
    def hook(self, settings: Settings) -> Iterator[None]:
        """Call one of the file's functions in here, as if all that it has brought had stayed.

        Variables that the function itself sets do stay.
        """
        if self._settled:
            yield
            return
        before = dict(os.environ)
        with self._isolated():
            self._put_in_place(settings)
            during = dict(os.environ)
            try:
                yield
            finally:
                _replace_environ(_applied(before, _difference(during, os.environ)))

    def settle(self, settings: Settings) -> None:
        """Put it into this process for good: one of the file's own generation."""
        if not self._settled:
            self._settled = True
            self._put_in_place(settings)

    def _put_in_place(self, settings: Settings) -> None:
        variables = dict(entry.partition("=")[::2] for entry in settings.raw_env)
        _replace_environ(_applied(os.environ, {**self._environ, **variables}))
        with contextlib.suppress(OSError):  # the current folder is gone
            importpath.extend(settings)
        ours = {*self._first, *self._last}
        sys.path[:] = [*self._first, *(entry for entry in sys.path if entry not in ours), *self._last]
        sys.modules.update(self._modules)

    def _note_path(self, known: list[str]) -> None:
        first = next((index for index, entry in enumerate(sys.path) if entry in known), 0)
        self._first = sys.path[:first]
        self._last = [entry for entry in sys.path[first:] if entry not in known]

    # -- as it was before ---------------------------------------------------------------------

    @contextlib.contextmanager
    def _isolated(self) -> Iterator[None]:
        """Have foreign code run, and what it changes of the process itself changed back."""
        loaded = set(sys.modules)
        path, bytecode, folder = list(sys.path), sys.dont_write_bytecode, _folder()
        threads = threading.enumerate()
        handlers = {number: signal.getsignal(number) for number in SUPERVISED}
        sys.dont_write_bytecode = True  # the supervisor may be root, and the folder somebody else's
        try:
            yield
        finally:
            if folder is not None and folder != _folder():
                with contextlib.suppress(OSError):
                    os.chdir(folder)
            sys.path[:], sys.dont_write_bytecode = path, bytecode
            _restore(handlers)
            self.threads = tuple(each.name for each in threading.enumerate() if each not in threads)
            for name in [name for name in sys.modules if name not in loaded]:
                if self._is_fresh(name, sys.modules[name]):
                    self._modules[name] = sys.modules.pop(name)

    def _is_fresh(self, name: str, module: ModuleType) -> bool:
        """Is it the user's own, which changes from reload to reload, and not an installed library?

        Libraries stay: many of them cannot be imported twice in the same process.
        """
        top = name.partition(".")[0]
        if top in ("aserve", "__main__"):
            return False
        if top == self._package:
            return True
        file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
        return (
            bool(file) and not file.startswith(_STANDARD_LIBRARY) and not _INSTALLED & {*file.split(os.sep)}
        )


def about_threads(whose: str, names: Iterable[str]) -> str:
    """Return the warning about threads in a process that forks: what they hold then is held for ever."""
    return (
        f"{whose} has started threads ({', '.join(names)}): workers do not have them, and may wait for ever "
        "for what they hold during a fork"
    )


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return None


def _restore(handlers: Mapping[signal.Signals, object]) -> None:
    """Handle signals as before: whoever changes that in the supervisor would make it deaf."""
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)  # type: ignore[arg-type]  # what getsignal() has returned
            signal.siginterrupt(number, False)


def _difference(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that differ, with their values after; None for those that are gone."""
    names = {name for name, _ in before.items() ^ after.items()}
    return {name: after.get(name) for name in names}


def _applied(environ: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in {**environ, **changes}.items() if text is not None}


def _replace_environ(wanted: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    for name, text in wanted.items():
        if os.environ.get(name) != text:
            os.environ[name] = text
