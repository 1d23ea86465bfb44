"""What an application has raised, in a line of ours."""

from __future__ import annotations


def one_line(error: BaseException) -> str:
    """The error's kind and the first line of its message; there may be none, or many of them."""
    first = str(error).strip().partition("\n")[0].rstrip()
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
