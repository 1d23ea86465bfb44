"""Configurations of `logging` that the user has: `--log-config` and what gunicorn's files call logconfig*.

They are read and applied in each process on its own, as uvicorn does: files are opened, connections
made and threads started where they are used, and the code that is named there is as new as the
application. In the supervisor nothing of that code stays.
"""

from __future__ import annotations

import configparser
import json
import logging
import logging.config
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aserve.errors import UsageError
from aserve.serverlogger import ACCESS_NAMES

if TYPE_CHECKING:
    from aserve.options import Settings

ERROR_NAMES: Final = ("aserve", "gunicorn.error", "uvicorn.error", "uvicorn")
"""Loggers whose configuration holds for the error log; the first one that is configured counts. Those for the
access log are `ACCESS_NAMES`."""

_FORMATS: Final = {".json": "JSON", ".yaml": "YAML", ".yml": "YAML", ".toml": "TOML"}

_GUNICORNS_DEFAULTS: Final[dict[str, Any]] = {
    "version": 1,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        # gunicorn has these propagate, which writes each line twice.
        "gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["console"], "propagate": False},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stdout",
        },
        "error_console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stderr",
        },
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
        }
    },
}
"""What gunicorn adds to `logconfig_dict` and `logconfig_json`, key by key at the top level: files that
say no more than another formatter rely on it."""

_filters: list[tuple[logging.Logger, Any]] = []
"""Those that the configuration before has added to these loggers; others are of hooks, and stay."""

Content: TypeAlias = "dict[str, Any] | configparser.RawConfigParser"


@dataclass(frozen=True, slots=True)
class Applied:
    """The names of the loggers whose configuration holds for our logs; None: that log is not configured.

    Arguments: `names` are those of all loggers that are configured.
    """

    error: str | None
    access: str | None
    names: frozenset[str]


def check(settings: Settings) -> None:
    """Raise UsageError if the configuration cannot be read; applying it may show more."""
    _read(settings)


def apply(settings: Settings) -> Applied:
    """Apply the configuration. Raises UsageError if it cannot be read or is not one."""
    where, content = _read(settings)
    # What one before has left would hold on, where this one says nothing.
    loggers = [logging.getLogger(name) for name in (*ERROR_NAMES, *ACCESS_NAMES)]
    for logger in loggers:
        logger.setLevel(logging.NOTSET)
    for logger, each in _filters:
        logger.removeFilter(each)
    others = {logger.name: logger.filters[:] for logger in loggers}
    try:
        if isinstance(content, configparser.RawConfigParser):
            names = _ini_names(content)
            logging.config.fileConfig(content, disable_existing_loggers=False)
        else:
            content.setdefault("disable_existing_loggers", False)
            names = set(content.get("loggers") or ())
            logging.config.dictConfig(content)
    except Exception as error:  # whatever the code that it names may raise
        advice = "correct it there"
        if isinstance(content, dict) and content.get("root") is _GUNICORNS_DEFAULTS["root"]:
            advice += ", or write a root of its own: this one is gunicorn's, with the handler console"
        raise UsageError(f"{where}: {_reason(error)}: {advice}") from error
    _filters[:] = [
        (logger, each) for logger in loggers for each in logger.filters if each not in others[logger.name]
    ]
    return Applied(
        next((name for name in ERROR_NAMES if name in names), None),
        next((name for name in ACCESS_NAMES if name in names), None),
        frozenset(names),
    )


def file_handlers() -> list[logging.FileHandler]:
    """Return the handlers of all loggers that write to files."""
    loggers = [logging.root, *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    found = {id(each): each for logger in loggers for each in logger.handlers}
    return [each for each in found.values() if isinstance(each, logging.FileHandler)]


def _read(settings: Settings) -> tuple[str, Content]:
    """Return the configuration that holds, and how messages call its place."""
    if settings.log_config_dict:
        return "--log-config-dict", {**_GUNICORNS_DEFAULTS, **settings.log_config_dict}
    if settings.log_config_json:
        where = f"--log-config-json: {settings.log_config_json}"
        content = _parse(where, settings.log_config_json, "JSON")
        assert isinstance(content, dict)
        return where, {**_GUNICORNS_DEFAULTS, **content}
    assert settings.log_config is not None
    where = f"--log-config: {settings.log_config}"
    kind = _FORMATS.get(Path(settings.log_config).suffix.lower(), "INI")
    return where, _parse(where, settings.log_config, kind)


def _parse(where: str, path: str, kind: str) -> Content:
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise UsageError(f"{where}: cannot be read: {error.strerror}: name a file that is there") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: is not in UTF-8 at byte {error.start}: write it in that") from error
    if kind == "INI":
        return _ini(where, path, text)
    content = _load(where, text, kind)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"{where}: is no table of settings: begin with 'version' and 'loggers'")
    content.setdefault("version", 1)
    return content


def _load(where: str, text: str, kind: str) -> object:
    if kind == "JSON":
        try:
            return json.loads(text)
        except ValueError as error:
            raise UsageError(f"{where}: is no JSON: {error}") from error
    if kind == "TOML":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{where}: is no TOML: {error}") from error
    try:
        import yaml  # an extra
    except ImportError:
        raise UsageError(
            f"{where}: to read YAML, install the extra: pip install 'aserve-server[yaml]'"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: is no YAML: {' '.join(str(error).split())}") from error


def _ini(where: str, path: str, text: str) -> configparser.RawConfigParser:
    folder = os.path.dirname(os.path.abspath(path))
    places = {"here": folder, "__file__": path}  # as in gunicorn and Paste
    parser = configparser.ConfigParser({name: value.replace("%", "%%") for name, value in places.items()})
    try:
        parser.read_string(text, source=path)
    except configparser.Error as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from error
    missing = [name for name in ("loggers", "handlers", "formatters") if not parser.has_section(name)]
    if missing:
        raise UsageError(
            f"{where}: has no section [{missing[0]}]: write loggers, handlers and formatters as "
            "logging.config.fileConfig wants them, or give the file the ending .json, .yaml or .toml"
        )
    return parser


def _ini_names(parser: configparser.RawConfigParser) -> set[str]:
    keys = [key.strip() for key in parser.get("loggers", "keys", fallback="").split(",")]
    return {parser.get(f"logger_{key}", "qualname", fallback="") for key in keys if key != "root"}


def _reason(error: Exception) -> str:
    """Return an exception and what it comes of in one line."""
    texts: list[str] = []
    step: BaseException | None = error
    while step is not None:
        text = " ".join(str(step).split())
        if not text or not any(text in before for before in texts):
            named = isinstance(step, (ValueError, configparser.Error)) and text
            texts.append(text if named else f"{type(step).__name__}: {text}")
        step = step.__cause__
    return ": ".join(texts)
