"""The command `aserve`: from the command line to a running supervisor, and from errors to one clear line.

What is heavy to import is imported where it is used: `--version` and `--help` should answer at
once, and so should a mistake.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
from click.core import ParameterSource

from aserve import __version__, activation, config, daemon, origin
from aserve.declaration import Option
from aserve.errors import UsageError, UserError, describe, exit_status
from aserve.options import OPTIONS, Settings

if TYPE_CHECKING:
    from aserve.handover import Handover

_ABOUT = """Serve the ASGI or WSGI application APP.

APP is module:attribute such as main:app, module:factory() for what a factory returns, or a module
alone for its 'application' or 'app'.
"""
_EPILOG = """Every option has an environment variable as well, which the command line overrules: ASERVE_ and
its name, such as ASERVE_WORKERS=4 or ASERVE_BIND=:8000,unix:/run/app.sock.
"""
_VERSION_FLAGS: Final = ("-v", "--version")
_HELP_FLAGS: Final = ("-h", "--help")
_FLAGS_WIDTH: Final = 28
_ALIKE: Final = 0.83
"""How much a wrong flag has to resemble the one that is suggested: swapped letters are as much as that."""
_INTERRUPTED: Final = 130
"""The exit status of a program that ended on INT, by the shells' convention."""


serving = False
"""Is there a server in this process, or was it forked from one?"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command with `arguments` (by default the process's), and exit: see errors.EXIT_*."""
    try:
        status = command.main(arguments, prog_name="aserve", standalone_mode=False)
    except click.ClickException as error:
        status = fail(_reworded(error, arguments))
    except click.Abort:
        status = _INTERRUPTED
    except Exception as error:
        status = fail(error)
    raise SystemExit(status)


def run(
    settings: Settings,
    handover: Handover | None = None,
    load: Callable[[], Settings] | None = None,
    remarks: Iterable[str] = (),
) -> int:
    """Do what the settings say, and return the exit status when it is done.

    Arguments: `handover` comes from the supervisor that is to be replaced, if one is; `load` returns
    the settings anew for a reload (none: they stay); `remarks` are lines for the log about them.
    Raises UserError or ApplicationLoadError for what the user can mend.
    """
    from aserve import identity, importpath, logs

    identity.check(settings)
    importpath.enter(settings)
    if settings.reload:
        from aserve import watchlist

        watchlist.check(settings)
    identity.set_umask(settings)
    log = logs.configure(settings)
    for remark in remarks:
        log.warning("%s", remark)
    if settings.access_logfile is not None:
        from aserve import accesslog

        accesslog.check(settings)
    if settings.check_config:
        identity.assume(settings)
        importpath.extend(settings)
        if settings.hooks.footprint is not None:
            settings.hooks.footprint.settle(settings)
        return _check(settings)
    # What is imported now stays: a collection would find nothing. The supervisor turns it on again.
    gc.disable()
    from aserve.host import Host
    from aserve.supervisor import Supervisor

    host = Host(settings, handover)
    try:
        host.enter()
        return Supervisor(settings, host, load).run()
    except UserError as error:
        if settings.error_logfile == "-":
            raise
        log.error("%s", error)  # for who looks into the file
        raise
    finally:
        host.leave()


def serve(
    given: Mapping[str, object],
    remarks: Iterable[str] = (),
    finish: Callable[[Settings], Settings] = lambda settings: settings,
) -> int:
    """Serve with the options `given` by name, as the command does; return the exit status.

    Arguments: `remarks` are lines for the log; `finish` has the last word on the settings, at the start and
    at each reload. Raises what `run` does.
    """
    global serving
    serving = True
    origin.remember()
    handover = _handover()

    said = [*remarks]  # for a log that there is not yet
    try:
        settings = finish(config.resolve(given, os.environ, said.append))
        return run(settings, handover, lambda: finish(config.resolve(given, os.environ, _warn)), said)
    finally:
        serving = False
        if handover is not None:
            handover.channel.close()


def _check(settings: Settings) -> int:
    import asyncio
    import atexit
    from contextlib import closing

    from aserve.adapters import GREENLETS, make_runner
    from aserve.adapters.interfaces import detect
    from aserve.worker import load

    kind = settings.worker_class
    with closing(asyncio.new_event_loop()) as loop:
        runner = make_runner(kind, loop) if kind in GREENLETS else None
        try:
            interface = detect(load(settings, runner), kind)
        finally:
            if runner is not None:
                loop.run_until_complete(runner.unload(atexit._run_exitfuncs))
    click.echo(f"configuration ok: {settings.app} can be served ({interface})")
    return 0


def fail(error: Exception) -> int:
    """Say what is wrong, and return the exit status; raise `error` if it is a mistake of ours."""
    status = exit_status(error)
    if status == 1:
        raise error  # our own mistake: its traceback is for us
    text = _first_line_last(describe(error))
    if not daemon.report(status, text):
        click.echo(text, err=True)
    return status


def _first_line_last(text: str) -> str:
    """Put the program's name before the last line; above it is the application's own traceback."""
    above, newline, line = text.rpartition("\n")
    return f"{above}{newline}aserve: error: {line}"


# -- click ------------------------------------------------------------------------------------


class Command(click.Command):
    """The command line as the options table has it, with its sections in the help."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by section, with their defaults."""
        for section in dict.fromkeys(option.section for option in OPTIONS):
            rows = [_help_row(option) for option in OPTIONS if option.section == section and option.flags]
            if section == OPTIONS[-1].section:
                rows += [
                    (", ".join(_VERSION_FLAGS), "Say the version, and end."),
                    (", ".join(_HELP_FLAGS), "Say this, and end."),
                ]
            with formatter.section(section):
                formatter.write_dl(rows, col_max=_FLAGS_WIDTH)


def _help_row(option: Option) -> tuple[str, str]:
    flags = ", ".join(option.flags)
    # The same width everywhere, so that the sections line up.
    return (f"{flags} {option.metavar}".strip().ljust(_FLAGS_WIDTH), f"{option.help} [{option.default_text}]")


def _parameters() -> Iterator[click.Parameter]:
    for option in OPTIONS:
        if not option.flags:
            yield click.Argument(
                [option.name], metavar=f"[{option.metavar}]", required=False, type=click.UNPROCESSED
            )
        elif option.is_flag:
            yield click.Option([*option.flags, option.name], is_flag=True)
        elif option.alone:
            yield click.Option(
                [*option.flags, option.name],
                type=click.UNPROCESSED,
                is_flag=False,
                flag_value=option.alone,
                metavar=option.metavar,
            )
        else:
            yield click.Option(
                [*option.flags, option.name],
                type=click.UNPROCESSED,
                multiple=option.multiple,
                metavar=option.metavar,
            )
    yield click.Option(
        [*_VERSION_FLAGS], is_flag=True, is_eager=True, expose_value=False, callback=_print_version
    )


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"aserve {__version__}")
        context.exit()


def _serve(**values: Any) -> int:
    context = click.get_current_context()
    given = {
        name: value
        for name, value in values.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    return serve(given)


def _warn(remark: str) -> None:
    import logging  # there since long, when this is called

    logging.getLogger("aserve").warning("%s", remark)


def _handover() -> Handover | None:
    """Take what other processes have left for this one: sockets, from a supervisor or a service manager."""
    if "ASERVE_HANDOVER" in os.environ:
        from aserve.handover import Handover  # with much that a mistake on the command line does not need

        if (handover := Handover.take(os.environ)) is not None:
            return handover
    activation.take(os.environ)
    return None


def _reworded(error: click.ClickException, arguments: Sequence[str] | None) -> UsageError:
    """Return what click says in our words, which say what to write instead."""
    if isinstance(error, click.NoSuchOption):
        return UsageError(f"there is no option {error.option_name}{_suggestion(error.option_name)}")
    if isinstance(error, click.BadOptionUsage):
        option = _option(error.option_name)
        if option is not None and option.is_flag:
            return UsageError(f"{error.option_name} takes no value: write it alone")
        if option is not None:
            return UsageError(
                f"{error.option_name} needs a value: write {error.option_name} {option.metavar}"
            )
    message = error.format_message().strip().rstrip(".")
    if message.startswith("Got unexpected extra argument"):
        _, _, extra = message.partition("(")
        return UsageError(
            f"one application is served, {extra.rstrip(')')!r} is too much: quote a value with blanks"
        )
    return UsageError(message[:1].lower() + message[1:])


def _option(flag: str) -> Option | None:
    return next((option for option in OPTIONS if flag in (*option.flags, option.name)), None)


def _suggestion(flag: str) -> str:
    """Return what to write for an unknown flag: another server's name for it, or what it resembles."""
    import difflib

    for option in OPTIONS:
        if flag in option.elsewhere:
            return f": write {option.label} {option.metavar}".rstrip()
    known = [*_VERSION_FLAGS, *_HELP_FLAGS, *(known for option in OPTIONS for known in option.flags)]
    close = difflib.get_close_matches(flag, known, n=1, cutoff=_ALIKE)
    return f": did you mean {close[0]}?" if close else ": aserve --help lists them"


command = Command(
    "aserve",
    params=list(_parameters()),
    callback=_serve,
    help=_ABOUT,
    epilog=_EPILOG,
    context_settings={"max_content_width": 110, "help_option_names": list(_HELP_FLAGS)},
)
