"""Configuration files: programs in Python, as gunicorn has them.

Their module variables are settings, by gunicorn's names; functions with the name of a hook are
hooks. They are executed in the supervisor: at the start, and again at every reload, without a trace
of the time before.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from aserve.declaration import Option
from aserve.errors import UsageError
from aserve.footprint import Footprint, about_threads
from aserve.hooks import BY_NAME, HOOKS, Function, Hook, Hooks, summary
from aserve.origin import origin

_MODULE_NAME: Final = "__config__"
"""What a file is called among the modules, as in gunicorn."""

_PLAIN: Final = (str, bytes, int, float, list, tuple, dict, set, type(None))
"""Types of what may have been meant for a setting."""

_NOT_IN_A_FILE: Final = "config"
_CLOSE: Final = 0.8
_HANDSHAKES: Final = "handshakes are always made, and bounded in time, before anything else is read"
_WITHOUT_EFFECT: Final = {
    "ssl_version": "write ssl_minimum_version = '1.3' for no less than that; 1.2 is the default",
    "do_handshake_on_connect": _HANDSHAKES,
    "suppress_ragged_eofs": "an end without close_notify is taken for the end of what the client sends",
}
"""gunicorn's settings that there are no such of, and what there is in their place."""


class ConfigFileError(UsageError):
    """A configuration file cannot be used. cause: what its own code has raised, if it has."""

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Value:
    """A setting as a file has it; `place` is the file and line, and `name` what it is called there."""

    option: Option
    value: object
    place: str
    name: str


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a file says: settings, hooks, and remarks on what in it is not understood, a line each."""

    values: tuple[Value, ...]
    hooks: Hooks
    remarks: tuple[str, ...]


def read(location: str, options: Iterable[Option]) -> ConfigFile:
    """Execute a configuration file and return what it says.

    Arguments: `location` is a path, relative to the folder that the server was started in, which may
    have `file:` before it; or `python:` and the name of a module. `options` are what there is to set.
    Raises ConfigFileError.
    """
    source: _File | _Module
    if location.startswith("python:"):
        source = _Module(location.removeprefix("python:"))
    else:
        source = _File(location.removeprefix("file:"))
    footprint = Footprint(source.package)
    with footprint.execution(origin().folder):
        try:
            module = source.execute()
        except ConfigFileError:
            raise
        except (Exception, SystemExit) as error:
            raise _explained(error, source) from error
        reader = _Reader(source, vars(module), tuple(options))
        values, hooks, remarks = [*reader.values()], dict(reader.hooks()), [*reader.remarks()]
    if footprint.threads:
        remarks.append(about_threads(source.name, footprint.threads))
    return ConfigFile(tuple(values), Hooks(hooks, footprint), tuple(remarks))


# -- what is executed -------------------------------------------------------------------------


class _Source:
    """The source of the file: `name` as the user calls it, `path` as tracebacks do, `text` if it is known."""

    package = ""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.text = b""

    def place(self, line: int | None) -> str:
        """Return file and line for a message."""
        return f"{self.name}:{line}" if line else self.name


class _File(_Source):
    def __init__(self, path: str) -> None:
        if not path:
            raise ConfigFileError("--config: no file is named: write its path, such as gunicorn.conf.py")
        super().__init__(path, os.path.join(origin().folder, path))

    def execute(self) -> ModuleType:
        try:
            self.text = Path(self.path).read_bytes()
        except OSError as error:
            raise ConfigFileError(
                f"--config: cannot read {self.name!r}: {error.strerror}: name a file that is there"
            ) from error
        module = ModuleType(_MODULE_NAME)
        module.__file__ = self.path
        sys.modules[_MODULE_NAME] = module  # as for any import; data classes and pickle look there
        # Not by the import system: that might take compiled code of a moment ago for that of this one.
        exec(compile(self.text, self.path, "exec", dont_inherit=True), vars(module))
        return module


class _Module(_Source):
    def __init__(self, module: str) -> None:
        super().__init__(module, "")
        self.package = module.partition(".")[0]

    def execute(self) -> ModuleType:
        try:
            spec = importlib.util.find_spec(self.name)
        except ModuleNotFoundError as error:
            if error.name is None or not (self.name + ".").startswith(error.name + "."):
                raise
            spec = None
        except ValueError:  # such as an empty name
            spec = None
        if spec is None:
            raise ConfigFileError(
                f"--config: there is no module {self.name!r}: write python: and the name of one that can be "
                "imported"
            )
        if spec.origin is not None and spec.has_location:
            self.path = spec.origin
            self.text = Path(spec.origin).read_bytes()
        return importlib.import_module(self.name)


def _explained(error: BaseException, source: _Source) -> ConfigFileError:
    if isinstance(error, SyntaxError) and error.filename == source.path:
        text = f": {error.text.strip()!r}" if error.text and error.text.strip() else ""
        return ConfigFileError(f"{source.place(error.lineno)}: {type(error).__name__}: {error.msg}{text}")
    line, frames = None, error.__traceback__
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == source.path:
            line = frames.tb_lineno
        frames = frames.tb_next
    return ConfigFileError(f"{source.place(line)}: {summary(error)}", error)


# -- what it says -----------------------------------------------------------------------------


class _Reader:
    """Tells settings, hooks and the rest apart among the variables of a module."""

    def __init__(self, source: _Source, variables: dict[str, Any], options: tuple[Option, ...]) -> None:
        self._source = source
        self._variables = {name: value for name, value in variables.items() if not name.startswith("_")}
        self._options = {option.gunicorn: option for option in options}
        self._other_names = {option.name: option.gunicorn for option in options}
        self._lines: dict[str, int] | None = None

    def values(self) -> Iterator[Value]:
        """Yield the settings. None leaves one as it is without the file."""
        for name, value in self._variables.items():
            option = self._options.get(name)
            if option is None or value is None or name == _NOT_IN_A_FILE or isinstance(value, ModuleType):
                continue
            yield Value(option, value, self._place(name), name)

    def hooks(self) -> Iterator[tuple[str, Function]]:
        """Yield the hooks. Raises ConfigFileError for what cannot be called as one."""
        for hook in HOOKS:
            value = self._variables.get(hook.name)
            if value is not None:
                yield hook.name, self._hook(hook, value)

    def remarks(self) -> Iterator[str]:
        """Yield a line for each name that may have been meant for a setting, and one for all others."""
        others = []
        for name, value in self._variables.items():
            if name in BY_NAME or (name in self._options and name != _NOT_IN_A_FILE):
                continue
            if name in _WITHOUT_EFFECT:
                yield f"{self._place(name)}: {name} has no effect: {_WITHOUT_EFFECT[name]}"
            elif name == _NOT_IN_A_FILE:
                yield f"{self._place(name)}: {name} has no effect in a configuration file"
            elif meant := self._meant(name, value):
                yield f"{self._place(name)}: there is no setting {name!r}: did you mean {meant!r}?"
            elif isinstance(value, _PLAIN) and not name.isupper():
                others.append(name)
        if others:
            names = ", ".join(others)
            yield (
                f"{self._source.name}: ignored, since there are no such settings: {names} (names that begin "
                "with an underscore are the file's own)"
            )

    def _meant(self, name: str, value: object) -> str:
        """Return the name that was probably meant, or nothing."""
        if isinstance(value, (ModuleType, type)):
            return ""
        if callable(value):
            names = [*BY_NAME]
        elif isinstance(value, _PLAIN):
            if name in self._other_names:
                return self._other_names[name]
            if name.isupper():  # a constant of the file's, unless it is just a setting in capitals
                return name.lower() if name.lower() in self._options else ""
            names = [known for known in self._options if known != _NOT_IN_A_FILE]
        else:
            return ""
        return next(iter(difflib.get_close_matches(name, names, 1, _CLOSE)), "")

    def _hook(self, hook: Hook, value: object) -> Function:
        written = f"def {hook.name}({', '.join(hook.arguments)})"
        if isinstance(value, str):
            value = self._imported(hook, value)
        if not callable(value):
            raise self._refused(hook, f"{value!r} is no function: write {written}")
        if inspect.iscoroutinefunction(value):
            raise self._refused(hook, f"a hook cannot be a coroutine function: write {written}")
        for count in reversed(hook.counts):
            if _takes(value, count):
                return value if count == len(hook.arguments) else _shortened(value, count)
        raise self._refused(hook, f"it is called with other arguments: write {written}")

    def _imported(self, hook: Hook, path: str) -> object:
        module, _, attribute = path.rpartition(".")
        if not module:
            raise self._refused(hook, f"{path!r} is no path to a function: write module.function")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise ConfigFileError(
                f"{self._place(hook.name)}: {hook.name}: {path!r} cannot be imported: {summary(error)}", error
            ) from error

    def _refused(self, hook: Hook, reason: str) -> ConfigFileError:
        return ConfigFileError(f"{self._place(hook.name)}: {hook.name}: {reason}")

    def _place(self, name: str) -> str:
        if self._lines is None:
            self._lines = _lines(self._source.text)
        return self._source.place(self._lines.get(name))


def _takes(function: Function, count: int) -> bool:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # some are written in C and do not tell
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _shortened(function: Function, count: int) -> Function:
    def call(*arguments: object) -> object:
        return function(*arguments[:count])

    return call


def _lines(source: bytes) -> dict[str, int]:
    """Return where each name of a module was last given a value."""
    lines: dict[str, int] = {}
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            _note(lines, node.name, node.lineno)
            continue  # what is inside has other names
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            _note(lines, node.id, node.lineno)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                _note(lines, (alias.asname or alias.name).partition(".")[0], node.lineno)
        pending += ast.iter_child_nodes(node)
    return lines


def _note(lines: dict[str, int], name: str, line: int) -> None:
    lines[name] = max(line, lines.get(name, 0))
