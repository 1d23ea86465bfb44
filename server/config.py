"""From what the user gives in various places to the settings that hold."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aserve import activation
from aserve.adapters import GREENLETS
from aserve.declaration import Option
from aserve.errors import UsageError
from aserve.hooks import NO_HOOKS
from aserve.options import OPTIONS, Settings

if TYPE_CHECKING:
    from aserve.configfile import ConfigFile


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was given, for one option; `source` is how messages call the place."""

    option: Option
    value: object
    source: str


def resolve(
    cli_values: Mapping[str, object],
    environ: Mapping[str, str],
    remark: Callable[[str], object] = lambda remark: None,
) -> Settings:
    """Return the settings that hold: defaults < configuration file < environment < command line.

    `cli_values` maps names of options to values, for those that were given. `remark` is called with
    each line that there is to say of a file that can be used all the same. Raises UsageError, which
    names the place of the wrong value.
    """
    outside = [*from_environment(environ), *from_command_line(cli_values)]
    file = _file(outside)
    layers = (from_service_manager(), from_file(file), outside)
    given = {entry.option.name: entry for layer in layers for entry in layer}
    values: dict[str, Any] = {name: _parse(entry) for name, entry in given.items()}
    hooks = NO_HOOKS if file is None else file.hooks
    settings = _with_named_sockets(Settings(**values, hooks=hooks), given)
    _check(settings, given)
    for line in file.remarks if file is not None else ():
        remark(line)
    return settings


def _file(given: list[Given]) -> ConfigFile | None:
    """Read the configuration file that the last of those who name one means."""
    named = [entry for entry in given if entry.option.name == "config"]
    if not named:
        return None
    from aserve import configfile  # with much that nobody else needs

    return configfile.read(str(_parse(named[-1])), OPTIONS)


def from_file(file: ConfigFile | None) -> Iterator[Given]:
    """Yield what a configuration file gives."""
    for entry in file.values if file is not None else ():
        yield Given(entry.option, entry.value, f"{entry.place}: {entry.name}")


def from_service_manager() -> Iterator[Given]:
    """Yield what socket activation gives: the addresses, if nobody else says where to listen."""
    if passed := activation.passed():
        bind = next(option for option in OPTIONS if option.name == "bind")
        yield Given(bind, [f"fd://{sock.fd}" for sock in passed], "LISTEN_FDS")


def from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """Yield what the environment gives: well-known variables first, then ours. An empty one gives nothing.

    Other variables that begin with ASERVE_ are no mistake: Kubernetes sets ASERVE_PORT and the
    like in every container if there is a service called aserve.
    """
    for option in OPTIONS:
        for variable, template in (*option.extra_environment, (option.environment, "{}")):
            if value := environ.get(variable, "").strip():
                yield Given(option, template.format(value), variable)


def from_command_line(values: Mapping[str, object]) -> Iterator[Given]:
    """Yield what the command line gives. Raises KeyError for a name that is no option's."""
    by_name = {option.name: option for option in OPTIONS}
    for name, value in values.items():
        yield Given(by_name[name], value, by_name[name].label)


def _parse(given: Given) -> object:
    try:
        return given.option.parse(given.value)
    except ValueError as error:
        raise UsageError(f"{given.source}: {error}") from error


def _with_named_sockets(settings: Settings, given: Mapping[str, Given]) -> Settings:
    try:
        binds = [each for bind in settings.bind for each in activation.resolve(bind)]
    except ValueError as error:
        raise UsageError(f"{given['bind'].source}: {error}") from error
    return dataclasses.replace(settings, bind=tuple(binds))


def _check(settings: Settings, given: Mapping[str, Given]) -> None:
    """Check what no single option can know."""
    if not settings.app:
        raise UsageError(
            "no application is named: write its module and attribute, such as main:app (--help tells more)"
        )
    kind = settings.worker_class
    if kind in GREENLETS:
        if importlib.util.find_spec(kind) is None:
            raise UsageError(
                f"{given['worker_class'].source}: there is no {kind} here: "
                f"pip install 'aserve-server[{kind}]'"
            )
        if settings.preload_app:
            raise UsageError(
                f"{given['preload_app'].source}: not with -k {kind}: what an import makes of its locks and "
                "sockets belongs to the process that imports: leave one of them out"
            )
    seen = set()
    for bind in settings.bind:
        if bind in seen and not (bind.kind == "tcp" and bind.port == 0):
            raise UsageError(f"{given['bind'].source}: {str(bind)!r} is given twice: write it once")
        seen.add(bind)
