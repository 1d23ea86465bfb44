"""From what the user gives in various places to the settings that hold."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aserve import activation, configsearch, workerclasses
from aserve.adapters import GREENLETS
from aserve.declaration import Option
from aserve.errors import Mistakes, UsageError, UserError
from aserve.hooks import NO_HOOKS
from aserve.options import OPTIONS, Settings
from aserve.remarks import Note

if TYPE_CHECKING:
    from aserve.configfile import ConfigFile, Value

_BY_NAME: Final = {option.name: option for option in OPTIONS}


class Given(NamedTuple):
    """A value as it was given, for one option.

    `source` is how messages call the place, `origin` how --print-config does.
    """

    option: Option
    value: object
    source: str
    origin: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """The settings that hold, and where each comes from: `origins` by name, without those by default."""

    settings: Settings
    origins: Mapping[str, str]
    remarks: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    """As `origins`, in the words of messages."""

    def place(self, error: UserError) -> None:
        """Have an error that begins with an option's flag begin with where its value comes from instead."""
        text = str(error)
        for name, source in self.sources.items():
            flag = f"{_BY_NAME[name].label}: "
            if text.startswith(flag):
                error.args = (f"{source}: {text.removeprefix(flag)}",)
                return


def resolve(
    cli_values: Mapping[str, object],
    environ: Mapping[str, str],
    remark: Callable[[str], object] = lambda remark: None,
    keywords: Mapping[str, object] | None = None,
) -> Settings:
    """Return the settings that hold, as `resolution` does.

    `remark` is called with each line that there is to say of what can be used all the same; a `Note` is
    no warning.
    """
    found = resolution(cli_values, environ, keywords or {})
    for line in found.remarks:
        remark(line)
    return found.settings


def resolution(
    cli_values: Mapping[str, object], environ: Mapping[str, str], keywords: Mapping[str, object]
) -> Resolution:
    """Return the settings that hold: defaults < configuration file < environment < command line < keywords.

    `cli_values` and `keywords` map names of options to values, for those that were given. Variables that
    are no server's own, such as PORT, give way to a file of gunicorn's kind, as they do in gunicorn; its
    GUNICORN_CMD_ARGS comes between that and our own variables. Raises UsageError, which names the place
    of the wrong value.
    """
    well_known, own = [*from_well_known(environ)], [*from_environment(environ)]
    above = [*own, *from_command_line(cli_values), *from_keywords(keywords)]
    found = [*from_search(above)]
    file = _read([*found, *above])
    layers: tuple[Iterable[Given], ...]
    remarks: list[str] = [Note(f"configuration file found: {entry.value}") for entry in found]
    if file is not None and file.gunicorns:
        from aserve import gunicornargs

        arguments, more = gunicornargs.read(environ, OPTIONS)
        layers = (well_known, from_file(file), [*from_gunicorns_arguments(arguments)], above)
        remarks += more
    else:
        layers = (found, from_file(file), well_known, above)
        if environ.get("GUNICORN_CMD_ARGS"):
            remarks.append(Note("GUNICORN_CMD_ARGS has no effect without a configuration file of gunicorn's"))
    given = {entry.option.name: entry for layer in (from_service_manager(), *layers) for entry in layer}
    remarks += file.remarks if file is not None else ()
    try:
        remarks += _apply_worker_class(given)
        if file is not None and file.gunicorns:
            from aserve import concessions

            remarks += concessions.make(given, {entry.option.name for entry in above})
        hooks = NO_HOOKS if file is None else file.hooks
        settings = _with_named_sockets(Settings(**_parsed(given), hooks=hooks), given)
        _check(settings, given)
    except UsageError as error:
        # Who starts a server gets one line; what else is odd may be why there seems to be no application.
        if "check_config" in given or "app" not in given:
            error.remarks = remarks
        raise
    origins = {name: entry.origin for name, entry in given.items()}
    sources = {name: entry.source for name, entry in given.items()}
    return Resolution(settings, origins, tuple(remarks), sources)


def from_search(given: list[Given]) -> Iterator[Given]:
    """Yield the configuration file that is found, if `given` names none."""
    if any(entry.option.name == "config" for entry in given):
        return
    if (name := configsearch.find()) is not None:
        yield Given(_BY_NAME["config"], name, "--config", "working directory")


def _read(given: list[Given]) -> ConfigFile | None:
    """Read the configuration file that the last of those who name one means."""
    named = [entry for entry in given if entry.option.name == "config"]
    if not named:
        return None
    from aserve import configfile  # with much that nobody else needs

    return configfile.read(str(_parse(named[-1])), OPTIONS)


def from_file(file: ConfigFile | None) -> Iterator[Given]:
    """Yield what a configuration file gives."""
    for entry in file.values if file is not None else ():
        yield Given(entry.option, entry.value, f"{entry.place}: {entry.name}", entry.place)


def from_gunicorns_arguments(values: Iterable[Value]) -> Iterator[Given]:
    """Yield what GUNICORN_CMD_ARGS gives."""
    for entry in values:
        yield Given(entry.option, entry.value, f"{entry.place}: {entry.name}", f"environment: {entry.place}")


def from_service_manager() -> Iterator[Given]:
    """Yield what socket activation gives: the addresses, if nobody else says where to listen."""
    if passed := activation.passed():
        yield Given(
            _BY_NAME["bind"], [f"fd://{sock.fd}" for sock in passed], "LISTEN_FDS", "environment: LISTEN_FDS"
        )


def from_well_known(environ: Mapping[str, str]) -> Iterator[Given]:
    """Yield what variables give that platforms set, whatever server it is. An empty one gives nothing."""
    for option in OPTIONS:
        for variable, template in option.extra_environment:
            if value := environ.get(variable, "").strip():
                yield Given(option, template.format(value), variable, f"environment: {variable}")


def from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """Yield what our own variables give. An empty one gives nothing.

    Other variables that begin with ASERVE_ are no mistake: Kubernetes sets ASERVE_PORT and the
    like in every container if there is a service called aserve.
    """
    for option in OPTIONS:
        if value := environ.get(option.environment, "").strip():
            yield Given(option, value, option.environment, f"environment: {option.environment}")


def from_command_line(values: Mapping[str, object]) -> Iterator[Given]:
    """Yield what the command line gives. Raises KeyError for a name that is no option's."""
    for name, value in values.items():
        option = _BY_NAME[name]
        yield Given(option, value, option.label, f"command line: {option.label}")


def from_keywords(values: Mapping[str, object]) -> Iterator[Given]:
    """Yield what the keywords of a call give. Raises UsageError for a name that is no option's."""
    for name, value in values.items():
        if name not in _BY_NAME:
            import difflib

            close = difflib.get_close_matches(name, _BY_NAME, 1)
            hint = f"did you mean {close[0]!r}?" if close else "docs/settings.md lists them"
            raise UsageError(f"there is no setting {name!r}: {hint}")
        yield Given(_BY_NAME[name], value, name, f"keyword: {name}")


def _parse(given: Given) -> object:
    try:
        return given.option.parse(given.value)
    except ValueError as error:
        raise UsageError(f"{given.source}: {error}") from error


def _parsed(given: Mapping[str, Given]) -> dict[str, Any]:
    """Return the values by name. Raises UsageError for the first wrong one, or all with --check-config."""
    values, mistakes = {}, []
    for name, entry in given.items():
        try:
            values[name] = _parse(entry)
        except UsageError as error:
            mistakes.append(error)
    if len(mistakes) > 1 and values.get("check_config"):
        raise Mistakes([str(error) for error in mistakes])
    if mistakes:
        raise mistakes[0]
    return values


def _apply_worker_class(given: dict[str, Given]) -> Iterator[str]:
    """Add what the name of a worker class says besides, and yield a line if it has another name here."""
    entry = given.get("worker_class")
    if entry is None:
        return
    meaning, what = workerclasses.known(entry.value), ""
    if meaning is None:
        return  # it is told with all other mistakes
    name = meaning.name
    if meaning.lost:
        yield f"{entry.source}: no support for these of its CONFIG_KWARGS: {', '.join(meaning.lost)}"
    for setting, value in meaning.settings.items():
        if setting not in given:
            given[setting] = Given(_BY_NAME[setting], value, entry.source, entry.origin)
            what += f", {setting} {value}"
    threads = given.get("threads")
    if name == "sync" and threads is not None and str(threads.value).strip() not in ("1", ""):
        # As in gunicorn
        name = "wsgi"
        what = f", since there is more than one thread ({threads.source})"
        given["worker_class"] = entry._replace(value=name)
    if what or str(entry.value).strip().lower() != name:
        shown = entry.value.__name__ if isinstance(entry.value, type) else str(entry.value)
        yield Note(f"{entry.source}: {shown} is {name} here{what}")


def _with_named_sockets(settings: Settings, given: Mapping[str, Given]) -> Settings:
    try:
        binds = [each for bind in settings.bind for each in activation.resolve(bind)]
    except ValueError as error:
        raise UsageError(f"{given['bind'].source}: {error}") from error
    return dataclasses.replace(settings, bind=tuple(binds))


def _check(settings: Settings, given: Mapping[str, Given]) -> None:
    """Check what no single option can know."""
    if not settings.app and (settings.check_config or not settings.print_config):
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
