"""What --print-config prints: every setting with its value and where that comes from, as TOML.

The format is stable: a section begins with a comment, each setting has a line `name = value  # origin`,
and one that has no value, is masked or belongs to this run alone is a comment itself. What is printed
can be used as aserve.toml, except for what is masked.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from aserve.binds import Bind
from aserve.declaration import Option
from aserve.hooks import BY_NAME as HOOKS
from aserve.options import OPTIONS, Settings

if TYPE_CHECKING:
    from aserve.config import Resolution

_MASK: Final = "********"
_SECRET: Final = re.compile(r"(?:password|passphrase|secret|token|credentials)\Z")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")

_OF_THIS_RUN: Final = ("config", "check_config", "print_config")
"""What has no place in a file: one that was printed would only be printed for ever."""

_DEFAULTS: Final = dataclasses.asdict(Settings())


def text(resolution: Resolution) -> str:
    """Return the whole, with a newline at its end."""
    return "\n".join(_lines(resolution)) + "\n"


def _lines(resolution: Resolution) -> Iterator[str]:
    section = ""
    for option in OPTIONS:
        if option.section != section:
            if section:
                yield ""
            section = option.section
            yield f"# {section}"
        value = getattr(resolution.settings, option.name)
        origin = resolution.origins.get(option.name, "default")
        yield line(option, value, origin)
    names = [name for name in HOOKS if resolution.settings.hooks.get(name) is not None]
    if names:
        yield ""
        yield "# Hooks"
        origin = str(resolution.settings.config)
        yield from (f"# {name}  # {origin}" for name in names)


def line(option: Option, value: object, origin: str) -> str:
    """Return the line of one setting."""
    if _SECRET.search(option.name) and value is not None:
        return f"# {option.name} = {_MASK}  # {origin}"
    if option.name == "raw_env" and isinstance(value, tuple) and value:
        names = [f"{entry.partition('=')[0]}={_MASK}" for entry in value]
        return f"# {option.name} = {_toml(names)}  # {origin}"
    if isinstance(value, Mapping) and (masked := _masked(value)) != value:
        return f"# {option.name} = {_toml(masked) or _MASK}  # {origin}"
    if value in (None, "", (), {}) and value == _DEFAULTS[option.name]:
        return f"# {option.name} = none  # {origin}"
    shown = _toml(_plain(option, value))
    if shown is None:
        return f"# {option.name} = not shown  # {origin}"
    if option.name in _OF_THIS_RUN and origin != "default":
        return f"# {option.name} = {shown}  # {origin}"
    return f"{option.name} = {shown}  # {origin}"


def _masked(value: object) -> object:
    """Return a value without the secrets that handlers of logging are configured with."""
    if isinstance(value, Mapping):
        return {
            key: _MASK if isinstance(key, str) and _SECRET.search(key.lower()) else _masked(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        items = [_masked(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def _plain(option: Option, value: object) -> object:
    """Return the value as it would be given."""
    if option.name == "umask" and isinstance(value, int):
        return f"0{value:o}"
    if isinstance(value, Bind):
        return str(value)
    if option.name == "statsd_host" and isinstance(value, str):
        return f"unix://{value}"
    if option.name == "secure_scheme_headers" and isinstance(value, tuple):
        return {name.decode(): text for name, text in value}
    if option.name == "header" and isinstance(value, tuple):
        return [f"{name.decode()}:{text.decode()}" for name, text in value]
    if isinstance(value, tuple) and [type(item) for item in value] == [str, int]:
        host = f"[{value[0]}]" if ":" in value[0] else value[0]
        return f"{host}:{value[1]}"  # an address
    if isinstance(value, tuple):
        return [_plain(option, item) for item in value]
    return value


def _toml(value: object) -> str | None:
    """Return a value in TOML; None if it has no place there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # What JSON escapes is escaped in the same way in TOML, except for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        items = [_toml(item) for item in value]
        return None if None in items else f"[{', '.join(item for item in items if item)}]"
    if isinstance(value, Mapping):
        pairs = [(str(key), _toml(item)) for key, item in value.items()]
        if any(item is None for _, item in pairs):
            return None
        keys = (key if _BARE_KEY.fullmatch(key) else json.dumps(key) for key, _ in pairs)
        return f"{{ {', '.join(f'{key} = {item}' for key, (_, item) in zip(keys, pairs, strict=True))} }}"
    return None
