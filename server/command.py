"""The command line as click has it: its parameters are made from the options table.

Only imported for what a plain command line has not: help, completion, mistakes; see commandline.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import click
from click.core import ParameterSource

from aserve import __version__
from aserve.completion import completer
from aserve.declaration import Option
from aserve.options import OPTIONS

_ABOUT = """Serve the ASGI or WSGI application APP.

APP is module:attribute such as main:app, module:factory() for what a factory returns
(plain values can be its arguments), or a module alone for its 'application' or 'app'.

\b
  aserve main:app                         on http://127.0.0.1:8000
  aserve -b :8000 -w auto main:app        for everybody, with a worker per CPU
  aserve -c gunicorn.conf.py shop.wsgi    with a configuration of gunicorn's
  aserve --reload main:app                while it is being written
"""
_EPILOG = """Every option has an environment variable as well, which the command line overrules: ASERVE_ and
its name, such as ASERVE_WORKERS=4 or ASERVE_BIND=:8000,unix:/run/app.sock. So it has a place in
aserve.toml, or in [tool.aserve] of pyproject.toml: workers = 4.
"""
_VERSION_FLAGS: Final = ("-v", "--version")
_HELP_FLAGS: Final = ("-h", "--help")
MORE_FLAGS: Final = (*_VERSION_FLAGS, *_HELP_FLAGS)
"""Those that are no options."""

_FLAGS_WIDTH: Final = 28


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
            yield click.Option([*option.flags, option.name], is_flag=True, help=option.help)
        elif option.alone:
            yield click.Option(
                [*option.flags, option.name],
                type=click.UNPROCESSED,
                is_flag=False,
                flag_value=option.alone,
                metavar=option.metavar,
                help=option.help,
                shell_complete=completer(option),
            )
        else:
            yield click.Option(
                [*option.flags, option.name],
                type=click.UNPROCESSED,
                multiple=option.multiple,
                metavar=option.metavar,
                help=option.help,
                shell_complete=completer(option),
            )
    yield click.Option(
        [*_VERSION_FLAGS], is_flag=True, is_eager=True, expose_value=False, callback=_print_version
    )


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"aserve {__version__}")
        context.exit()


def _given(**values: Any) -> dict[str, object]:
    """Return the options that were given on the command line, by name."""
    context = click.get_current_context()
    return {
        name: value
        for name, value in values.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


command = Command(
    "aserve",
    params=list(_parameters()),
    callback=_given,
    help=_ABOUT,
    epilog=_EPILOG,
    context_settings={"max_content_width": 110, "help_option_names": list(_HELP_FLAGS)},
)
