"""gunicorn's settings as ours, for workers that gunicorn supervises.

gunicorn decides about what it has a setting for; all else that concerns connections and applications is
taken from the `ASERVE_*` environment variables, which also hold where gunicorn's setting was left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aserve.declaration import Option
from aserve.errors import UsageError
from aserve.options import OPTIONS, Settings

_MAPPED: Final = {
    "asgi_lifespan": "lifespan",
    "asgi_loop": "loop",
    "forwarded_allow_ips": "forwarded_allow_ips",
    "forwarder_headers": "forwarder_headers",
    "graceful_timeout": "graceful_timeout",
    "header_map": "header_map",
    "keepalive": "keep_alive",
    "limit_request_field_size": "limit_request_field_size",
    "limit_request_fields": "limit_request_fields",
    "limit_request_line": "limit_request_line",
    "proxy_allow_ips": "proxy_allow_from",
    "proxy_protocol": "proxy_protocol",
    "reload": "reload",
    "root_path": "root_path",
    "secure_scheme_headers": "secure_scheme_headers",
    "threads": "threads",
    "timeout": "timeout",
    "websocket_max_message_size": "ws_max_size",
    "worker_connections": "worker_connections",
}
"""gunicorn's names of what it has a setting for (not each version has all), and ours."""

_SECTIONS: Final = frozenset({"Slow clients", "Limits", "WebSockets", "Headers", "Proxies"})
_OPTIONS: Final = frozenset(
    {"graceful_timeout", "http", "keep_alive", "lifespan", "loop", "request_timeout", "root_path"}
    | {"threads", "timeout"}
)
"""The options that are heeded at all: these, and those of the sections. The others are the supervisor's."""

_TRUSTED_PEERS: Final = frozenset({"forwarded_allow_ips", "proxy_allow_from"})
"""Lists to which gunicorn adds whoever connects to a Unix socket."""

_WIDER: Final = frozenset({"secure_scheme_headers"})
"""Where our default has all that gunicorn's has, and more: what was left alone does not narrow it."""

_SCRIPT_NAME: Final = "SCRIPT_NAME"

_STRICT: Final = "such requests are refused"
_METHODS: Final = "methods with small letters, of less than 3 or more than 20 characters are refused"
_WITHOUT_EFFECT: Final = {
    "asgi_disconnect_grace_period": "a request's task is not cancelled when its client has gone",
    "casefold_http_method": _METHODS,
    "http2_cleartext": "leave HTTP/2 to a proxy",
    "http_protocols": "leave HTTP/2 to a proxy",
    "permit_obsolete_folding": _STRICT,
    "permit_unconventional_http_method": _METHODS,
    "permit_unconventional_http_version": _STRICT,
    "strip_header_spaces": _STRICT,
    "tolerate_dangerous_framing": _STRICT,
}
"""Settings that were meant for gunicorn's own HTTP, and what to say of them."""

_LONGEST_MARGIN: Final = 1.0
"""Seconds of the graceful time, at most, that are kept for the end itself: gunicorn kills when it is over."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was given; `source` is how messages call the place."""

    option: Option
    value: object
    source: str

    def parse(self) -> object:
        """Return what the value stands for. Raises UsageError."""
        try:
            return self.option.parse(self.value)
        except ValueError as error:
            raise UsageError(f"{self.source}: {error}") from error


@dataclass(frozen=True, slots=True)
class Translation:
    """The settings that hold, and a line for each that was given and has no effect."""

    settings: Settings
    remarks: tuple[str, ...]


def translate(cfg: Any, environ: Mapping[str, str]) -> Translation:
    """Return what gunicorn's configuration `cfg` and the variables of `environ` come to.

    Raises UsageError, which names the place of the wrong value.
    """
    if getattr(cfg, "protocol", "http") != "http":
        raise UsageError(f"gunicorn's protocol: {cfg.protocol!r} is not spoken: leave it out")
    remarks: list[str] = []
    given = {entry.option.name: entry for entry in _from_gunicorn(cfg)}
    for entry in _from_environment(environ):
        name, source = entry.option.name, entry.source
        if not _is_heeded(entry.option):
            remarks.append(f"{source} has no effect under gunicorn")
        elif name not in given or _is_default(cfg, name):
            given[name] = entry
        elif source != _SCRIPT_NAME:
            remarks.append(f"{source} has no effect: {given[name].source} is set as well")
    for name, advice in _WITHOUT_EFFECT.items():
        if name in cfg.settings and cfg.settings[name].get() != _default(cfg, name):
            remarks.append(f"gunicorn's {name} has no effect: {advice}")
    values: dict[str, Any] = {name: entry.parse() for name, entry in given.items()}
    for name in _TRUSTED_PEERS:
        values[name] = (*values[name], "unix")
    graceful = values["graceful_timeout"]
    values["graceful_timeout"] = graceful - min(_LONGEST_MARGIN, graceful / 10)
    return Translation(Settings(app="gunicorn", **values), tuple(remarks))


def remark_on(kwargs: Mapping[str, object]) -> str:
    """Return what to say of the settings that a class meant for uvicorn's worker has."""
    flags = [f"--{name.replace('_', '-')}" for name in kwargs]
    heeded = [option for option in OPTIONS if _is_heeded(option)]
    found = [each.environment for each in heeded if not {*each.flags, *each.elsewhere}.isdisjoint(flags)]
    return "CONFIG_KWARGS has no effect: " + (f"set {', '.join(found)}" if found else "leave it out")


def _is_heeded(option: Option) -> bool:
    return option.name in _OPTIONS or option.section in _SECTIONS


def _from_gunicorn(cfg: Any) -> Iterator[Given]:
    options = {option.name: option for option in OPTIONS}
    for name, ours in _MAPPED.items():
        if name not in cfg.settings or ours not in options:
            continue
        if ours not in _WIDER or not _is_default(cfg, ours):
            yield Given(options[ours], cfg.settings[name].get(), f"gunicorn's {name}")


def _from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """Yield what our variables give, and SCRIPT_NAME; other well-known ones gunicorn has read itself."""
    for option in OPTIONS:
        well_known = (_SCRIPT_NAME,) if option.name == "root_path" else ()
        for variable in (*well_known, option.environment):
            if value := environ.get(variable, "").strip():
                yield Given(option, value, variable)


def _is_default(cfg: Any, ours: str) -> bool:
    name = next(name for name, option in _MAPPED.items() if option == ours)
    return name not in cfg.settings or bool(cfg.settings[name].get() == _default(cfg, name))


def _default(cfg: Any, name: str) -> object:
    return type(cfg.settings[name])().get()
