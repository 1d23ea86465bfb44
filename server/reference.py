"""What is made in docs/ from the tables of the code: `make docs` writes it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from aserve import gunicornsettings, uvicornoptions, workerclasses
from aserve.declaration import Option
from aserve.equivalents import Foreign, Kind
from aserve.options import OPTIONS, Settings

_HEAD = """\
# Settings

<!-- Made by `make docs` from the options table in server/options.py: change it there. -->

A setting comes from the command line, else from its environment variable, else from the configuration file
([configuration.md](configuration.md)), else it has its default; `--print-config` says which. An empty
variable counts as not set. Options that can be given more than once take several values with commas between
them as well: `ASERVE_BIND=127.0.0.1:8000,unix:/run/app.sock`.

The exit status is 0 after a stop, 2 if a setting is wrong, 3 if the application did not start or an
address could not be listened on, and 4 if the application could not be loaded. `--check-config` ends with 0
or 2, whatever is wrong.
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
        name = f"`{option.gunicorn}`, as gunicorn calls it; in TOML also `{option.name}`"
        lines.append(f"- In a configuration file: {name}")
    return "\n".join((*lines, f"- Default: {option.default_text}\n"))


def _variables(option: Option) -> Iterator[str]:
    yield f"`{option.environment}`"
    for variable, template in option.extra_environment:
        meaning = "" if template == "{}" else f" (it stands for `{template.format('N')}`)"
        yield f"else `{variable}`{meaning}"


# -- other servers' settings -------------------------------------------------------------------


def refreshed(page: str, server: str) -> str:
    """Return a page with the tables between its markers made anew; server: "gunicorn" or "uvicorn"."""
    made = _GUNICORN if server == "gunicorn" else _UVICORN
    for name, table in made.items():
        begin, end = _MARKERS[0].format(name), _MARKERS[1].format(name)
        above, _, rest = page.partition(begin)
        _, _, below = rest.partition(end)
        page = "\n".join((f"{above}{begin}\n", *table(), f"\n{end}{below}"))
    return page


def _settings_table(table: Iterable[Foreign]) -> Iterator[str]:
    yield "| setting | command line | default | here | |"
    yield "|---|---|---|---|---|"
    for entry in table:
        flags = ", ".join(f"`{flag}`" for flag in entry.flags)
        default = "" if entry.default in (None, "") else f"`{entry.default}`"
        yield f"| `{entry.name}` | {flags} | {default} | {entry.kind.value} | {_cell(_remark(entry))} |"


def _remark(entry: Foreign) -> str:
    if entry.kind in (Kind.NOT_NEEDED, Kind.NOT_SUPPORTED):
        return entry.why
    option = entry.met_by
    parts = []
    if option is not None:
        if option.name != entry.name and f"`{option.label}" not in entry.note:
            parts.append(f"`{option.name}`, `{option.label}`")
        if not entry.option and entry.default is not None and not _is_default(option, entry.default):
            parts.append(f"by default: {option.default_text}")
    return "; ".join([*parts, entry.note] if entry.note else parts)


def _is_default(option: Option, default: object) -> bool:
    try:
        return bool(option.parse(default) == getattr(_SETTINGS, option.name))
    except ValueError:
        return default in ([], "", {}) and not getattr(_SETTINGS, option.name)


def _worker_classes() -> Iterator[str]:
    yield "| worker class | here |"
    yield "|---|---|"
    for name, meaning in workerclasses.FOREIGN.items():
        more = "".join(f", `{key} = {value}`" for key, value in meaning.settings.items())
        yield f"| `{name}` | `{meaning.name}`{more} |"
    for name, reason in workerclasses.IMPOSSIBLE.items():
        yield f"| `{name}` | not supported: {_cell(reason)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_MARKERS: Final = ("<!-- {}: made by `make docs` -->", "<!-- end of {} -->")
_SETTINGS: Final = Settings()
_GUNICORN: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "settings": lambda: _settings_table(gunicornsettings.SETTINGS),
    "worker classes": _worker_classes,
}
_UVICORN: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "options": lambda: _settings_table(uvicornoptions.OPTIONS)
}


def main() -> None:
    """Write the pages into the folder that is named."""
    folder = Path(sys.argv[1])
    (folder / "settings.md").write_text(markdown())
    for server in ("gunicorn", "uvicorn"):
        page = folder / f"{server}.md"
        page.write_text(refreshed(page.read_text(), server))


if __name__ == "__main__":
    main()
