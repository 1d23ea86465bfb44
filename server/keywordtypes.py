"""The types of the options as keyword arguments, from the options table: `make docs` writes keywords.py."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator
from typing import Final

from aserve import validators
from aserve.arguments import why_not_embedded
from aserve.declaration import Option
from aserve.options import OPTIONS, Settings

_HEAD = '''\
"""The options as keyword arguments: their names and types.

Made by `make docs` from the options table in server/options.py: change it there.
docs/settings.md says what each of them means. None is the same as leaving it out.
"""

from __future__ import annotations

from collections.abc import {}
from typing import Literal, TypedDict
'''

_UNITS: Final = {"SECONDS": "  # seconds", "BYTES": "  # bytes"}


def source() -> str:
    """Return the whole module."""
    options = sorted((option for option in OPTIONS if option.flags), key=lambda option: option.name)
    embedded = [option for option in options if not why_not_embedded(option)]
    others = [option for option in options if why_not_embedded(option)]
    body = [
        *_class("ServerOptions", "TypedDict, total=False", "What `aserve.Server` takes.", embedded),
        *_class("Options", "ServerOptions, total=False", "What `aserve.run` takes.", others),
    ]
    used = [name for name in ("Mapping", "Sequence") if any(f" {name}[" in line for line in body)]
    return "\n".join((_HEAD.format(", ".join(used)), *body))


def _class(name: str, base: str, about: str, options: Iterable[Option]) -> Iterator[str]:
    yield f'\nclass {name}({base}):\n    """{about}"""\n'
    for option in options:
        yield f"    {option.name}: {_type(option)} | None{_UNITS.get(option.metavar, '')}"
    yield ""


def _type(option: Option) -> str:
    """Return the type of what can be given for `option` in a program."""
    declared = typing.get_type_hints(Settings)[option.name]
    if isinstance(declared, types.UnionType):
        declared, *others = (each for each in declared.__args__ if each is not types.NoneType)
        if others:
            return "str"
    origin = typing.get_origin(declared)
    if origin is typing.Literal:
        return f"Literal[{', '.join(repr(each) for each in typing.get_args(declared))}]".replace("'", '"')
    if origin is tuple:
        return "str | Sequence[str]"
    if origin is dict:
        return "Mapping[str, object]"
    if declared is int and not _is_plain(option):
        return "int | str"
    return declared.__name__ if declared in (bool, int, float) else "str"


def _is_plain(option: Option) -> bool:
    """Is it written as a number only, without words and units?"""
    is_integer = option.parse.__qualname__.startswith(f"{validators.integer.__name__}.")
    return is_integer and "|" not in option.metavar


def main() -> None:
    """Write the module to standard output."""
    print(source(), end="")


if __name__ == "__main__":
    main()
