"""The options as keyword arguments of a program: which there are, and what their values mean.

None is the same as leaving the argument out. The names are those of the options table, keywords.py has
their types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aserve.adapters import GREENLETS
from aserve.declaration import Option
from aserve.errors import UsageError
from aserve.options import OPTIONS

_ALIKE: Final = 0.6
"""How much a wrong name has to resemble the one that is suggested."""

_OF_PROCESSES: Final = "no supervisor looks after a server inside a program, aserve.run() has one"
_OF_THE_PROGRAM: Final = "it would change the whole program: do that where the program begins"
_OF_THE_COMMAND: Final = "it is for the command and for aserve.run()"

_NOT_EMBEDDED_SECTIONS: Final = {
    "Recycling": _OF_PROCESSES,
    "Logging": "set up the program's logging for it, the logger is called aserve",
    "Process": _OF_THE_PROGRAM,
    "Development": _OF_THE_COMMAND,
    "Start": _OF_THE_COMMAND,
}
_EMBEDDED: Final = ("log_level", "error_logfile", "access_logfile", "access_log_format")
"""What there is of sections that are not for a server inside a program otherwise."""

_NOT_EMBEDDED: Final = {
    "chdir": _OF_THE_PROGRAM,
    "pythonpath": _OF_THE_PROGRAM,
    "workers": _OF_PROCESSES,
    "preload_app": _OF_PROCESSES,
    "timeout": _OF_PROCESSES,
    "boot_timeout": "limit start() with asyncio.timeout()",
}


def why_not_embedded(option: Option) -> str:
    """Return why a server inside a program does not have this option, or "" if it has."""
    if option.name in _EMBEDDED:
        return ""
    return _NOT_EMBEDDED.get(option.name, "") or _NOT_EMBEDDED_SECTIONS.get(option.section, "")


def given(function: str, values: Mapping[str, object]) -> dict[str, object]:
    """Return those of the keyword arguments of `function` that say something.

    Raises TypeError for a name that is no option's, and says which one it may be.
    """
    known = {option.name for option in OPTIONS if option.flags}
    for name in values:
        if name not in known:
            raise TypeError(f"{function} has no option {name!r}: {_suggestion(name)}")
    return {name: value for name, value in values.items() if value is not None}


def check(name: str, value: object) -> None:
    """Raise UsageError if `value` means nothing for the option `name`."""
    parse(next(option for option in OPTIONS if option.name == name), value)


def name_of(app: object) -> str:
    """Return what logs call an application that came without a name."""
    kind = app if hasattr(app, "__qualname__") else type(app)
    return f"{kind.__module__}:{kind.__qualname__}"


def embedded(values: Mapping[str, object]) -> dict[str, Any]:
    """Return the values of settings that the keyword arguments of a server inside a program stand for.

    Raises UsageError for what is wrong, or makes no sense there.
    """
    by_name = {option.name: option for option in OPTIONS}
    for name in values:
        if reason := why_not_embedded(by_name[name]):
            raise UsageError(f"{name}: {reason}")
    parsed = {name: parse(by_name[name], value) for name, value in values.items()}
    if (kind := parsed.get("worker_class")) in GREENLETS:
        raise UsageError(
            f"worker_class: {kind} replaces parts of the standard library in the whole program: use the "
            "command, or aserve.run() with the application's name"
        )
    return parsed


def parse(option: Option, value: object) -> object:
    """Return what `value` means for `option`; raise UsageError if it means nothing."""
    try:
        return option.parse(value)
    except ValueError as error:
        raise UsageError(f"{option.name}: {error}") from None


def _suggestion(name: str) -> str:
    """Return what to write for an unknown name: what it is called here, or what it resembles."""
    import difflib  # for mistakes only

    flag = f"--{name.replace('_', '-')}"
    for option in OPTIONS:
        if flag in (*option.flags, *option.elsewhere) or name == option.gunicorn:
            return f"write {option.name}={option.metavar or 'True'}"
    close = difflib.get_close_matches(
        name, [option.name for option in OPTIONS if option.flags], n=1, cutoff=_ALIKE
    )
    return f"did you mean {close[0]}?" if close else "docs/settings.md lists them"
