"""GUNICORN_CMD_ARGS: what gunicorn's users put into the environment, in the words of its command line."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Mapping
from typing import Final, NoReturn

from aserve.declaration import Option
from aserve.equivalents import Foreign
from aserve.errors import UsageError
from aserve.gunicornsettings import SETTINGS
from aserve.settingnames import Names, Value
from aserve.settingsource import Source

VARIABLE: Final = "GUNICORN_CMD_ARGS"


def read(environ: Mapping[str, str], options: Iterable[Option]) -> tuple[list[Value], list[str]]:
    """Return the settings that the variable has, and what there is to say of it.

    Raises UsageError for what is not gunicorn's.
    """
    try:
        words = shlex.split(environ.get(VARIABLE, ""))
    except ValueError as error:
        raise UsageError(f"{VARIABLE}: {str(error).lower()}: write it as on a command line") from error
    parsed = vars(_parser().parse_args(words))
    parsed.pop("args", None)  # an application's name is gunicorn's program's
    known = {option.gunicorn: option for option in options}
    names = Names(_Variable(VARIABLE, ""), parsed, known, meant={}, strict=False)
    return list(names.values()), list(names.remarks())


class _Variable(Source):
    def lines(self) -> Mapping[str, int]:
        """It is one line."""
        return {}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{VARIABLE}: {message}: write gunicorn's own options, or leave it out")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=VARIABLE, add_help=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("args", nargs="*")
    for setting in SETTINGS:
        if setting.flags:
            _add(parser, setting)
    return parser


def _add(parser: argparse.ArgumentParser, setting: Foreign) -> None:
    if setting.takes == "nothing":
        parser.add_argument(*setting.flags, dest=setting.name, action="store_const", const=setting.alone)
    elif setting.takes == "maybe":
        parser.add_argument(*setting.flags, dest=setting.name, nargs="?", const=setting.alone)
    elif setting.takes == "values":
        parser.add_argument(*setting.flags, dest=setting.name, action="append")
    else:
        parser.add_argument(*setting.flags, dest=setting.name)
