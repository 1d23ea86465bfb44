"""Tells settings, hooks and the rest apart among the names of a configuration file."""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from aserve.declaration import Option
from aserve.equivalents import Kind
from aserve.gunicornsettings import BY_NAME as GUNICORN
from aserve.hooks import BY_NAME as HOOKS
from aserve.hooks import Function, Hook, summary
from aserve.settingsource import ConfigFileError, Source

_PLAIN: Final = (str, bytes, int, float, list, tuple, dict, set, type(None))
"""Types of what may have been meant for a setting."""

_EMPTY: Final[tuple[object, ...]] = ("", [], (), {})
_NOT_IN_A_FILE: Final = "config"
_CLOSE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Value:
    """A setting as a file has it; `place` is the file and line, and `name` what it is called there."""

    option: Option
    value: object
    place: str
    name: str


class Names:
    """The names of a file, with their values.

    Arguments: `source` is where they stand; `variables` are the names with their values; `known` are the
    names of settings, with the option that each means, and `meant` other names of theirs, with what to
    write; with `strict`, every name was meant for a setting.
    """

    def __init__(
        self,
        source: Source,
        variables: Mapping[str, Any],
        known: Mapping[str, Option],
        *,
        meant: Mapping[str, str],
        strict: bool,
    ) -> None:
        self._source = source
        self._variables = variables
        self._options = known
        self._other_names = meant
        self._strict = strict

    def values(self) -> Iterator[Value]:
        """Yield the settings. None leaves one as it is without the file.

        Raises ConfigFileError where serving without one would do harm, and for two names of one setting.
        """
        seen: dict[str, str] = {}
        for name, value in self._variables.items():
            place = self._source.place_of
            option = self._options.get(name)
            foreign = GUNICORN.get(name)
            if foreign is not None and foreign.does_harm(value):
                raise ConfigFileError(f"{place(name)}: {name}: {foreign.why}, and leave this out")
            if option is None or value is None or name == _NOT_IN_A_FILE or isinstance(value, ModuleType):
                continue
            if not self._strict and _is_left_open(option, value):
                continue
            if (other := seen.setdefault(option.name, name)) != name:
                raise ConfigFileError(f"{place(name)}: {name}: it is the same as {other}: write one of them")
            if not self._strict:
                value = _as_gunicorn_takes_it(option, value)
                value = foreign.read(value) if foreign is not None else value
            value = foreign.translated(value) if foreign is not None else value
            yield Value(option, value, place(name), name)

    def hooks(self) -> Iterator[tuple[str, Function]]:
        """Yield the hooks. Raises ConfigFileError for what cannot be called as one."""
        for hook in HOOKS.values():
            value = self._variables.get(hook.name)
            if value is not None:
                yield hook.name, self._hook(hook, value)

    def remarks(self) -> Iterator[str]:
        """Yield a line for each name that is no setting and may have been meant for one; one for others."""
        others = []
        for name, value in self._variables.items():
            place = self._source.place_of
            if name in HOOKS or (name in self._options and name != _NOT_IN_A_FILE):
                continue
            if name == _NOT_IN_A_FILE:
                yield f"{place(name)}: {name} has no effect in a configuration file"
            elif (foreign := GUNICORN.get(name)) is not None and not isinstance(value, ModuleType):
                if foreign.kind is not Kind.NOT_NEEDED and not foreign.asks_for_nothing(value):
                    yield f"{place(name)}: {name} is not supported: {foreign.why}"
            elif meant := self._meant(name, value):
                yield f"{place(name)}: there is no setting {name!r}: did you mean {meant!r}?"
            elif self._strict and isinstance(value, Mapping):
                yield f"{place(name)}: no table {name!r} is known: write settings outside"
            elif self._strict:
                yield f"{place(name)}: there is no setting {name!r}: docs/settings.md lists them"
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
            names = [*HOOKS]
        elif isinstance(value, _PLAIN):
            if name in self._other_names:
                return self._other_names[name]
            if name.isupper() and not self._strict:  # a constant, unless it is just a setting in capitals
                return name.lower() if name.lower() in self._options else ""
            name = name.lower()
            names = [known for known in (*self._options, *GUNICORN) if known != _NOT_IN_A_FILE]
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
                f"{self._source.place_of(hook.name)}: {hook.name}: {path!r} cannot be imported: "
                f"{summary(error)}",
                error,
            ) from error

    def _refused(self, hook: Hook, reason: str) -> ConfigFileError:
        return ConfigFileError(f"{self._source.place_of(hook.name)}: {hook.name}: {reason}")


def _as_gunicorn_takes_it(option: Option, value: object) -> object:
    """Return a fraction cut off where a whole number is wanted, such as for cpu_count() / 2 + 1."""
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    try:
        option.parse(value)
    except ValueError:
        return int(value)
    return value


def _is_left_open(option: Option, value: object) -> bool:
    """Is it an empty value that means nothing here? gunicorn's defaults are written so."""
    if not any(value == empty and type(value) is type(empty) for empty in _EMPTY):
        return False
    try:
        option.parse(value)
    except ValueError:
        return True
    return False


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
