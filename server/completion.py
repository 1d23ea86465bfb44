"""What a shell proposes behind an option; `_ASERVE_COMPLETE=bash_source aserve` prints its script."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from aserve.declaration import Option

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

Completer: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]"

_KINDS: Final = {"FILE": "file", "PATH": "file", "FOLDER": "dir", "FOLDER,...": "dir"}
"""Of which kind a value is whose name in the help is such a word."""


def completer(option: Option) -> Completer:
    """Return what click calls for the values of an option: its words, or files, or folders."""

    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem  # for those who press the key, not for a start

        if (kind := _KINDS.get(option.metavar)) is not None and option.name != "root_path":
            return [CompletionItem(incomplete, type=kind)]
        words = option.metavar.split("|") if "|" in option.metavar else []
        return [
            CompletionItem(word) for word in words if word.islower() and word.startswith(incomplete.lower())
        ]

    return complete
