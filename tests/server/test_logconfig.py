"""Configurations of logging: their formats, mistakes in them, and whose loggers hold for ours."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from aserve.logchoices import level, mapping, statsd_address
from tests.server.command import refused
from tests.server.conftest import Script

# Applies the configuration that the arguments name, and logs a line with each of the loggers.
_PROGRAM = """
import logging, os
from aserve import logs
from aserve.options import Settings

settings = Settings(app="main:app", {settings})
log = logs.configure(settings)
log.debug("error log, debug")
log.info("error log, info")
logging.getLogger("myapp").warning("application")
print(logs.access_logger(settings))
"""

JSON: dict[str, Any] = {
    "version": 1,
    "formatters": {"short": {"format": "%(name)s|%(levelname)s|%(message)s"}},
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "the.log", "formatter": "short"}},
}

YAML = """
version: 1
formatters: {short: {format: "%(name)s|%(levelname)s|%(message)s"}}
handlers: {file: {class: logging.FileHandler, filename: the.log, formatter: short}}
loggers: {aserve: {level: DEBUG, handlers: [file], propagate: false}}
"""

TOML = """
version = 1
[formatters.short]
format = "%(name)s|%(levelname)s|%(message)s"
[handlers.file]
class = "logging.FileHandler"
filename = "the.log"
formatter = "short"
[loggers.aserve]
level = "DEBUG"
handlers = ["file"]
propagate = false
"""

INI = """
[loggers]
keys = root, ours
[handlers]
keys = file
[formatters]
keys = short
[logger_root]
handlers =
[logger_ours]
qualname = {name}
level = DEBUG
handlers = file
propagate = 0
[handler_file]
class = FileHandler
args = ("%(here)s/the.log",)
formatter = short
[formatter_short]
format = %(name)s|%(levelname)s|%(message)s
"""

BOTH = "aserve|DEBUG|error log, debug\naserve|INFO|error log, info\n"


def configured(script: Script, folder: Path, **settings: object) -> tuple[str, str, str]:
    """Return the log file, and the standard streams, after such a configuration."""
    given = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    done = script(_PROGRAM.format(settings=given))
    assert done.status == 0, done
    file = folder / "the.log"
    return file.read_text() if file.exists() else "", done.out, done.err


def with_loggers(**loggers: dict[str, Any]) -> dict[str, Any]:
    return {**JSON, "loggers": {name.replace("_", "."): each for name, each in loggers.items()}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "log.json",
            json.dumps(with_loggers(aserve={"level": "DEBUG", "handlers": ["file"], "propagate": 0})),
        ),
        ("log.yaml", YAML),
        ("log.yml", YAML),
        ("log.toml", TOML),
        ("log.ini", INI.format(name="aserve")),
        ("logging.conf", INI.format(name="gunicorn.error")),
    ],
)
def test_each_format(name: str, text: str, script: Script, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    log, _, err = configured(script, tmp_path, log_config=name)
    assert log == (BOTH.replace("aserve", "gunicorn.error") if name == "logging.conf" else BOTH)
    assert "error log" not in err


@pytest.mark.parametrize("name", ["aserve", "gunicorn_error", "uvicorn_error", "uvicorn"])
def test_what_holds_for_the_error_log(name: str, script: Script, tmp_path: Path) -> None:
    given = with_loggers(**{name: {"level": "DEBUG", "handlers": ["file"], "propagate": False}})
    (tmp_path / "log.json").write_text(json.dumps(given))
    log, out, err = configured(script, tmp_path, log_config="log.json")
    assert log == BOTH.replace("aserve", name.replace("_", "."))  # which formatters and filters look for
    assert "error log" not in err
    assert out == "None\n"


def test_ours_wins_over_other_servers(script: Script, tmp_path: Path) -> None:
    given = with_loggers(aserve={"handlers": ["file"], "propagate": False}, uvicorn={"level": "CRITICAL"})
    (tmp_path / "log.json").write_text(json.dumps(given))
    log, _, _ = configured(script, tmp_path, log_config="log.json")
    assert log == "aserve|INFO|error log, info\n"  # and --log-level holds where no level is named


def test_levels_of_parents_hold(script: Script, tmp_path: Path) -> None:
    """As in uvicorn's own configuration: the handler is the parent's."""
    given = with_loggers(uvicorn={"level": "DEBUG", "handlers": ["file"]}, uvicorn_error={})
    (tmp_path / "log.json").write_text(json.dumps(given))
    assert configured(script, tmp_path, log_config="log.json")[0] == BOTH.replace("aserve", "uvicorn.error")


def test_without_our_loggers_our_log_is_as_without_a_configuration(script: Script, tmp_path: Path) -> None:
    given = {**JSON, "root": {"level": "INFO", "handlers": ["file"]}}
    (tmp_path / "log.json").write_text(json.dumps(given))
    log, _, err = configured(script, tmp_path, log_config="log.json")
    assert log == "myapp|WARNING|application\n"
    assert re.fullmatch(r"\[.*\] \[\d+\] \[INFO\] error log, info\n", err)


def test_a_logger_that_nobody_hears_does_not_silence_our_log(script: Script, tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(json.dumps(with_loggers(aserve={"propagate": False})))
    assert "error log, info" in configured(script, tmp_path, log_config="log.json")[2]


@pytest.mark.parametrize("name", ["aserve_access", "gunicorn_access", "uvicorn_access"])
def test_what_holds_for_the_access_log(name: str, script: Script, tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(json.dumps(with_loggers(**{name: {"handlers": ["file"]}})))
    assert configured(script, tmp_path, log_config="log.json")[1] == name.replace("_", ".") + "\n"


def test_gunicorns_dictionary_may_leave_out_what_gunicorn_adds(script: Script, tmp_path: Path) -> None:
    given = {"formatters": {"generic": {"format": "mine %(message)s"}}}
    log, out, err = configured(script, tmp_path, log_config_dict=given)
    assert (log, out, err) == ("", "mine application\ngunicorn.access\n", "mine error log, info\n")
    (tmp_path / "log.json").write_text(json.dumps(given))
    assert configured(script, tmp_path, log_config_json="log.json") == (log, out, err)


def test_mistakes_get_one_line(tmp_path: Path) -> None:
    files = {
        "no.json": None,
        "bad.json": '{"version": 1,',
        "list.json": "[]",
        "bad.yaml": "a: [",
        "bad.toml": "a =",
        "bad.ini": "[loggers]\nkeys=root\n",
        "text.ini": "hello",
        "class.json": json.dumps({"version": 1, "handlers": {"a": {"class": "nowhere.Handler"}}}),
        "handler.json": json.dumps({"version": 1, "root": {"handlers": ["missing"]}}),
    }
    messages = {
        "no.json": "--log-config: no.json: cannot be read: No such file or directory: name a file",
        "bad.json": "--log-config: bad.json: is no JSON: ",
        "list.json": "--log-config: list.json: is no table of settings",
        "bad.yaml": "--log-config: bad.yaml: is no YAML: ",
        "bad.toml": "--log-config: bad.toml: is no TOML: ",
        "bad.ini": "--log-config: bad.ini: has no section [handlers]: write loggers, handlers and formatters",
        "text.ini": "--log-config: text.ini: File contains no section headers",
        "class.json": "--log-config: class.json: Unable to configure handler 'a': Cannot resolve "
        "'nowhere.Handler': No module named 'nowhere': correct it there",
        "handler.json": "--log-config: handler.json: Unable to configure root logger: ",
    }
    for name, text in files.items():
        if text is not None:
            (tmp_path / name).write_text(text)
        message = refused("--log-config", name, "main:app", cwd=tmp_path)
        assert message.startswith(messages[name]), message


def test_yaml_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aserve import logconfig
    from aserve.errors import UsageError
    from aserve.options import Settings

    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "log.yaml").write_text(YAML)
    with pytest.raises(
        UsageError, match=r"to read YAML, install the extra: pip install 'aserve-server\[yaml\]'"
    ):
        logconfig.check(Settings(app="main:app", log_config=str(tmp_path / "log.yaml")))


def test_a_handler_that_raises_is_told_once(script: Script, tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(
        "import logging\nclass Bad(logging.Handler):\n    def emit(self, record): raise RuntimeError('no')\n"
    )
    given = {"version": 1, "handlers": {"bad": {"class": "handlers.Bad"}}, "loggers": {}}
    given["loggers"] = {"aserve": {"handlers": ["bad"], "level": "DEBUG", "propagate": False}}
    (tmp_path / "log.json").write_text(json.dumps(given))
    err = configured(script, tmp_path, log_config="log.json")[2]
    assert err.count("a log handler failed: RuntimeError('no'); this is told once\n") == 1
    assert "Traceback" not in err


def test_levels_have_the_names_of_both_servers() -> None:
    assert [level(name) for name in ("DEBUG", "trace", "warn", "warning")] == [
        "debug",
        "debug",
        "warning",
        "warning",
    ]
    with pytest.raises(
        ValueError, match="'loud' is not known: write debug, info, warning, error or critical"
    ):
        level("loud")


def test_dictionaries_come_as_such_or_as_json() -> None:
    assert mapping('{"version": 1}') == mapping({"version": 1}) == {"version": 1}
    assert mapping({}) is None
    for value in ("{", "[]", 3):
        with pytest.raises(ValueError, match=r"is no (JSON|dictionary)"):
            mapping(value)


def test_addresses_of_statsd() -> None:
    given = ("localhost:8125", "stats.local", "[::1]:9", "unix:///run/x.sock", "unix:/run/x", ("h", 1))
    assert [statsd_address(value) for value in given] == [
        ("localhost", 8125),
        ("stats.local", 8125),
        ("::1", 9),
        "/run/x.sock",
        "/run/x",
        ("h", 1),
    ]
    for value in ("unix://", ":8125", "h:0", "h:x", "", "/run/x"):
        with pytest.raises(ValueError, match="write"):
            statsd_address(value)


def test_loggers_of_other_servers_lead_to_our_log(script: Script) -> None:
    done = script("""
        import logging
        from aserve import logs
        from aserve.options import Settings
        logs.configure(Settings(app="main:app"))
        logging.basicConfig(format="root %(message)s")
        for name in ("gunicorn.error", "uvicorn", "uvicorn.error"):
            logging.getLogger(name).info("by %s", name)
        flask = logging.getLogger("app")  # as many applications do
        flask.handlers = logging.getLogger("gunicorn.error").handlers
        flask.setLevel(logging.getLogger("gunicorn.error").level)
        flask.propagate = False
        flask.info("by flask")
    """)
    assert [line.split("] ")[-1] for line in done.err.splitlines()] == [
        "by gunicorn.error",
        "by uvicorn",
        "by uvicorn.error",
        "by flask",
    ]


def test_access_loggers_of_other_servers_have_a_handler(script: Script) -> None:
    """Applications give the first one of them another format when they start; it is not the access log's."""
    done = script("""
        import logging
        from aserve import logs
        from aserve.options import Settings
        settings = Settings(app="main:app")
        logs.configure(settings)
        logs.configure(settings)
        logging.basicConfig(format="root %(message)s")
        for name in ("gunicorn.access", "uvicorn.access"):
            [handler] = logging.getLogger(name).handlers
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            logging.getLogger(name).warning("by the application")  # uvicorn's leads to the error log
        given = {"version": 1, "loggers": {"uvicorn.access": {"level": "INFO"}}}
        logs.configure(Settings(app="main:app", log_config_dict=given))
        print([logging.getLogger(name).handlers for name in ("uvicorn.access", "aserve.access")])
    """)
    assert done.status == 0
    assert re.fullmatch(r"root by the application\n\[.*\] \[WARNING\] by the application\n", done.err)
    assert done.out == "[[], []]\n"


def test_gunicorns_root_needs_gunicorns_handler(tmp_path: Path) -> None:
    """gunicorn ends as well; which root is meant stands nowhere in the user's own file."""
    handlers = {"a": {"class": "logging.StreamHandler"}}
    (tmp_path / "handlers.json").write_text(json.dumps({"version": 1, "handlers": handlers}))
    message = refused("--log-config-json", "handlers.json", "main:app", cwd=tmp_path)
    assert "or write a root of its own: this one is gunicorn's" in message
