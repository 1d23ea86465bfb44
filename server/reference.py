"""The settings reference in docs/, made from the options table: `make docs` writes it."""

from __future__ import annotations

from collections.abc import Iterator

from aserve.declaration import Option
from aserve.options import OPTIONS

_HEAD = """\
# Settings

<!-- Made by `make docs` from the options table in server/options.py: change it there. -->

A setting comes from the command line, else from its environment variable, else from the configuration file
([configuration.md](configuration.md)), else it has its default. An empty variable counts as not set. Options
that can be given more than once take several values with commas between them as well:
`ASERVE_BIND=127.0.0.1:8000,unix:/run/app.sock`.

The exit status is 0 after a stop, 2 if a setting is wrong, 3 if the application did not start or an
address could not be listened on, and 4 if the application could not be loaded.
"""


def markdown() -> str:
    """Return the whole page."""
    return "\n".join((_HEAD, *_sections()))


def _sections() -> Iterator[str]:
    for section in dict.fromkeys(option.section for option in OPTIONS):
        yield f"## {section}\n"
        for option in OPTIONS:
            if option.section == section:
                yield _entry(option)


def _entry(option: Option) -> str:
    metavar = f" {option.metavar}" if option.metavar else ""
    flags = ", ".join(f"`{flag}{metavar}`" for flag in option.flags) or f"`{option.metavar}`, the argument"
    lines = [f"### {option.name}\n", f"{option.help}\n", f"- Command line: {flags}"]
    lines.append(f"- Environment: {', '.join(_variables(option))}")
    if option.gunicorn != option.name:
        lines.append(f"- In a configuration file: `{option.gunicorn}`, as gunicorn calls it")
    return "\n".join((*lines, f"- Default: {option.default_text}\n"))


def _variables(option: Option) -> Iterator[str]:
    yield f"`{option.environment}`"
    for variable, template in option.extra_environment:
        meaning = "" if template == "{}" else f" (it stands for `{template.format('N')}`)"
        yield f"else `{variable}`{meaning}"


def main() -> None:
    """Write the page to standard output."""
    print(markdown(), end="")


if __name__ == "__main__":
    main()
