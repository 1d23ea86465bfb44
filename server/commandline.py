"""From the words of the command line to the options that they give.

Command lines as almost everybody writes them are read here. All others are click's, which knows more and
says what is wrong with them: to import it and to tell it of all options takes a server longer than to
start a worker, and memory that it never gives back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from aserve.errors import EXIT_INTERRUPTED
from aserve.options import OPTIONS

_COMPLETE: Final = "_ASERVE_COMPLETE"
"""The variable in which a shell asks click for completions."""

_BY_FLAG: Final = {flag: option for option in OPTIONS for flag in option.flags}


def read(words: Sequence[str]) -> dict[str, object] | int:
    """Return the options that `words` give, by name; or the exit status, if all has been answered.

    Raises UsageError for a mistake in the words; what is wrong with values is not looked for here.
    """
    given = None if _COMPLETE in os.environ else plain(words)
    return asked_click(words) if given is None else given


def plain(words: Sequence[str]) -> dict[str, object] | None:
    """Return what a plain command line gives, or None for one that is not plain.

    Plain are --flag, --flag VALUE, --flag=VALUE, -f and -f VALUE, where a value does not begin with a dash,
    and one application.
    """
    given: dict[str, object] = {}
    lists: dict[str, list[str]] = {}
    application: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            application.append(word)
            continue
        flag, equals, value = word.partition("=")
        option = _BY_FLAG.get(flag)
        if option is None or option.alone:
            return None
        if option.is_flag:
            if equals:
                return None
            given[option.name] = True
            continue
        if not equals:
            value = next(rest, "-")
            if value.startswith("-"):
                return None
        elif not flag.startswith("--"):
            return None
        if option.multiple:
            lists.setdefault(option.name, []).append(value)
            given[option.name] = ()  # its place
        else:
            given[option.name] = value
    if len(application) > 1:
        return None
    given |= {name: tuple(values) for name, values in lists.items()}
    if application:
        given["app"] = application[0]
    return given


def asked_click(words: Sequence[str]) -> dict[str, object] | int:
    """Do the same for any command line."""
    import click

    from aserve import command

    try:
        found: dict[str, object] | int
        found = command.command.main(words, prog_name="aserve", standalone_mode=False)
    except click.ClickException as error:
        from aserve.rewording import reworded

        raise reworded(error, command.MORE_FLAGS) from None
    except click.Abort:  # by INT
        return EXIT_INTERRUPTED
    return found
