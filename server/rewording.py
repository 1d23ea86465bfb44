"""Mistakes on the command line, in our words: what to write instead."""

from __future__ import annotations

from collections.abc import Iterable

import click

from aserve.declaration import Option
from aserve.errors import UsageError
from aserve.options import OPTIONS

_ALIKE = 0.83
"""How much a wrong flag has to resemble the one that is suggested: swapped letters are as much as that."""


def reworded(error: click.ClickException, more_flags: Iterable[str]) -> UsageError:
    """Return what click says with what to write instead; `more_flags` are no options', and are known."""
    if isinstance(error, click.NoSuchOption):
        return UsageError(
            f"there is no option {error.option_name}{_suggestion(error.option_name, more_flags)}"
        )
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


def _suggestion(flag: str, more_flags: Iterable[str]) -> str:
    """Return what to write for an unknown flag: another server's name for it, or what it resembles."""
    import difflib

    from aserve import gunicornsettings, uvicornoptions
    from aserve.equivalents import by_flag

    entries = [
        (server, entry)
        for server, table in (("gunicorn", gunicornsettings.SETTINGS), ("uvicorn", uvicornoptions.OPTIONS))
        if (entry := by_flag(table).get(flag)) is not None
    ]
    for server, entry in entries:
        if flag in entry.instead:
            return f", which is {server}'s: {entry.instead[flag]}"
    for option in OPTIONS:
        if flag in option.elsewhere:
            return f": write {option.label} {option.metavar}".rstrip()
    for server, entry in entries:
        ours = entry.met_by
        what = entry.why if ours is None else f"write {ours.label} {ours.metavar}".rstrip()
        return f", which is {server}'s: {what}"
    known = [*more_flags, *(known for option in OPTIONS for known in option.flags)]
    close = difflib.get_close_matches(flag, known, n=1, cutoff=_ALIKE)
    return f": did you mean {close[0]}?" if close else ": aserve --help lists them"
