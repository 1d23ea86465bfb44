"""Configuration files: programs in Python, as gunicorn has them, and TOML.

Module variables of a program are settings, by gunicorn's names; functions with the name of a hook are
hooks. TOML has settings by our names or gunicorn's, and hooks by their path. Files are read in the
supervisor: at the start, and again at every reload, without a trace of the time before.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from aserve import workerclasses
from aserve.declaration import Option
from aserve.footprint import Footprint, about_threads
from aserve.hooks import Hooks
from aserve.origin import origin
from aserve.pythonfile import PythonFile, PythonModule, PythonSource
from aserve.remarks import Note
from aserve.settingnames import Names, Value
from aserve.settingsource import ConfigFileError
from aserve.tomlfile import TomlFile

_SERVER: Final = "gunicorn"
"""What gunicorn calls itself in responses."""

__all__ = ["ConfigFile", "ConfigFileError", "Value", "read"]


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a file says: settings, hooks, and remarks on what in it is not understood, a line each.

    gunicorns: whether it is one of gunicorn's kind, a program.
    """

    values: tuple[Value, ...]
    hooks: Hooks
    remarks: tuple[str, ...]
    gunicorns: bool = True

    @classmethod
    def of(cls, names: Names, footprint: Footprint, *, gunicorns: bool = True) -> Self:
        """Return what names of a file say; `footprint` is what its code has brought along."""
        values, hooks = tuple(names.values()), dict(names.hooks())
        return cls(values, Hooks(hooks, footprint), tuple(names.remarks()), gunicorns)


def read(location: str, options: Iterable[Option]) -> ConfigFile:
    """Read a configuration file and return what it says.

    Arguments: `location` is a path, relative to the folder that the server was started in, which may
    have `file:` before it, and is TOML if it ends with .toml; or `python:` and the name of a module.
    `options` are what there is to set. Raises ConfigFileError.
    """
    if location.startswith("python:"):
        return _read_python(PythonModule(location.removeprefix("python:")), tuple(options))
    path = location.removeprefix("file:")
    if os.path.splitext(path)[1].lower() == ".toml":
        return _read_toml(TomlFile(path), tuple(options))
    return _read_python(PythonFile(path), tuple(options))


def _read_python(source: PythonSource, options: tuple[Option, ...]) -> ConfigFile:
    footprint = Footprint(source.package)
    with footprint.execution(origin().folder):
        _forget_server()
        try:
            module = source.execute()
        except ConfigFileError:
            raise
        except (Exception, SystemExit) as error:
            raise source.explained(error) from error
        variables = {name: value for name, value in vars(module).items() if not name.startswith("_")}
        if isinstance(variables.get("worker_class"), str):
            variables["worker_class"] = _worker_class(variables["worker_class"])
        names = Names(
            source,
            variables,
            {option.gunicorn: option for option in options},
            meant={option.name: option.gunicorn for option in options},
            strict=False,
        )
        found = _with_server(ConfigFile.of(names, footprint), source, options)
    if footprint.threads:
        about = about_threads(source.name, footprint.threads)
        return replace(found, remarks=(*found.remarks, about))
    return found


def _worker_class(name: str) -> object:
    """Return the class that is named by its path, if it derives from a known one, else the name."""
    module, _, attribute = name.strip().rpartition(".")
    if not module or workerclasses.known(name) is not None:
        return name
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit):  # it is told that the name is not known
        return name
    return found if isinstance(found, type) and workerclasses.known(found) is not None else name


def _forget_server() -> None:
    """Have gunicorn's module, which stays, as before a file has changed it."""
    if "gunicorn" in sys.modules:
        vars(sys.modules["gunicorn"])["SERVER"] = _SERVER


def _with_server(found: ConfigFile, source: PythonSource, options: tuple[Option, ...]) -> ConfigFile:
    """Add what the file has made of the Server header, by the usual assignment to `gunicorn.SERVER`."""
    name = vars(sys.modules["gunicorn"]).get("SERVER") if "gunicorn" in sys.modules else None
    if (
        not isinstance(name, str)
        or name == _SERVER
        or any(each.option.name == "header" for each in found.values)
    ):
        return found
    option = next(each for each in options if each.name == "header")
    value = Value(option, f"Server:{name}", source.name, "gunicorn.SERVER")
    note = Note(f"{source.name}: gunicorn.SERVER: the header is Server: {name}".rstrip())
    return replace(found, values=(*found.values, value), remarks=(*found.remarks, note))


def _read_toml(source: TomlFile, options: tuple[Option, ...]) -> ConfigFile:
    footprint = Footprint()
    names = Names(
        source,
        source.load(),
        {name: option for option in options for name in (option.gunicorn, option.name)},
        meant={
            flag.removeprefix("--").replace("-", "_"): option.name
            for option in options
            for flag in (*option.elsewhere, *option.flags)
        },
        strict=True,
    )
    with footprint.execution(origin().folder):  # from where modules of hooks are imported
        return ConfigFile.of(names, footprint, gunicorns=False)
