"""Parsers for the values of the options that have to do with logs, as in validators.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aserve import validators
from aserve.streams import stream

_LEVELS: Final = validators.choice(
    *("debug", "info", "warning", "error", "critical"),
    trace="debug",
    warn="warning",
    fatal="critical",
)
_STATSD_PORT: Final = 8125


def level(value: object) -> str:
    """Take the name of a level, in any case. uvicorn's `trace` is the most that there is here: debug."""
    return _LEVELS(value)


def colours(value: object) -> str:
    """Take auto, on or off, or a truth value."""
    if str(value).strip().lower() == "auto":
        return "auto"
    try:
        return "on" if validators.boolean(value) else "off"
    except ValueError:
        raise ValueError(f"{value!r} is not known: write auto, on or off") from None


def mapping(value: object) -> dict[str, Any] | None:
    """Take a dictionary, or its JSON; an empty one is none."""
    if isinstance(value, str):
        import json  # not for every start

        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"it is no JSON: {error}: write an object, or use --log-config FILE") from None
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{value!r} is no dictionary: write what logging.config.dictConfig takes")
    return dict(value) or None


def log_file(standard: int) -> validators.Parser[str]:
    """Take a file's name, and `-` for what is the stream `standard` by any of its names."""

    def parse(value: object) -> str:
        name = validators.text(value)
        return "-" if stream(name) == standard else name

    return parse


def statsd_address(value: object) -> tuple[str, int] | str:
    """Take HOST:PORT, [IPV6]:PORT or unix://PATH; return host and port, or the path."""
    if isinstance(value, tuple):
        value = f"[{value[0]}]:{value[1]}"
    text = validators.text(value).strip()
    if text.startswith("unix:") and not text.removeprefix("unix:").isdigit():
        path = text.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ValueError(f"{value!r} names no socket: write unix://PATH")
        return path
    text = text.removeprefix("udp://")
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    number = int(port[:6]) if port.isascii() and port.isdigit() else _STATSD_PORT if not port else 0
    if not host or "/" in host or not 0 < number < 65536:
        raise ValueError(f"{value!r} is no address: write HOST:PORT, [IPV6]:PORT or unix://PATH")
    return host, number


def statsd_prefix(value: object) -> str:
    """Take what is before a metric's name; possibly nothing."""
    return _plain(value, "|:@#\n", "a prefix")


def statsd_tags(value: object) -> str:
    """Take tags with commas between them; possibly none."""
    return _plain(value, "|\n", "a list of tags")


def _plain(value: object, without: str, what: str) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not isinstance(value, str) or not text.isascii() or (text and not text.isprintable()):
        raise ValueError(f"{value!r} is not {what}: write it in plain ASCII")
    if found := set(text) & set(without):
        raise ValueError(f"{value!r} is not {what}: leave {min(found)!r} out")
    return text
