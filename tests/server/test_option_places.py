"""Each option can be given in every place, and is declared in one: the options table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import aserve
from aserve import config, reference
from aserve.command import command
from aserve.declaration import Option
from aserve.options import OPTIONS, Settings

SOURCES = sorted(Path(aserve.__file__).parent.glob("*.py"))

# Tried in this order until one of them is another value than the default.
SAMPLES = (
    *("2", "1", "h11", "asyncio", "poll", "debug", "none", "127.0.0.2", "10", "/x", "X-A:b", "A=1", "027"),
    *("common", "forwarded", "local7", "udp://127.0.0.1:5140", '{"version": 1}'),
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sample(option: Option) -> str:
    """Return a value for an option that is not its default, as text."""
    default = getattr(Settings(), option.name)
    words = option.metavar.split("|") if "|" in option.metavar else []
    for text in (*words, *SAMPLES):
        try:
            if option.parse(text) != default:
                return text
        except ValueError:
            continue
    raise AssertionError(f"no sample for {option.name}: add one to SAMPLES")


def resolved(option: Option, given: dict[str, object], environ: dict[str, str]) -> object:
    app = {} if option.name == "app" else {"app": "main:app"}
    return getattr(config.resolve({**app, **given}, environ), option.name)


def arguments(option: Option, text: str) -> list[str]:
    if not option.flags:
        return [text]
    return [option.flags[0]] if option.is_flag else [option.flags[0], text]


def given_on_the_command_line(option: Option, text: str) -> object:
    context = command.make_context("aserve", arguments(option, text))
    value: object = context.params[option.name]
    return value


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if option.name != "config"], ids=lambda option: option.name
)
def test_every_option_can_be_given_everywhere(option: Option) -> None:
    text = sample(option)
    expected = option.parse(text)
    assert expected != getattr(Settings(), option.name)
    assert resolved(option, {option.name: given_on_the_command_line(option, text)}, {}) == expected
    assert resolved(option, {}, {option.environment: text}) == expected
    for name, value in ((option.gunicorn, text), (option.name, text)):
        Path("aserve.toml").write_text(f"{name} = {value!r}\n")
        assert resolved(option, {}, {}) == expected
    Path("aserve.toml").unlink()
    Path("conf.py").write_text(f"{option.gunicorn} = {text!r}\n")
    assert resolved(option, {"config": "conf.py"}, {}) == expected
    page = reference.markdown()
    entry = page[page.index(f"### {option.name}\n") :].partition("\n### ")[0]
    for name in (*option.flags, option.environment, option.gunicorn, option.help, option.default_text):
        assert name in entry


def test_the_option_that_names_a_file_is_no_setting_of_one() -> None:
    (option,) = (option for option in OPTIONS if option.name == "config")
    assert given_on_the_command_line(option, "x.toml") == "x.toml"
    Path("x.toml").write_text("workers = 3")
    assert config.resolve({"app": "main:app"}, {"ASERVE_CONFIG": "x.toml"}).workers == 3


def test_the_command_line_has_no_other_options() -> None:
    context = click.Context(command)
    flags = {flag for parameter in command.get_params(context) for flag in parameter.opts}
    known = {flag for option in OPTIONS for flag in option.flags}
    assert flags - known == {"app", "-v", "--version", "-h", "--help"}
    assert known <= flags


def calls(name: str) -> Iterator[str]:
    """Yield the files in which a function of that name is called."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            function = node.func if isinstance(node, ast.Call) else None
            called = getattr(function, "id", getattr(function, "attr", ""))
            if called == name:
                yield path.stem


def test_options_are_only_declared_in_the_table() -> None:
    modules = {each.__module__.removeprefix("aserve.") for each in Settings.__mro__ if each is not object}
    assert set(calls("option")) <= modules
    assert set(calls("Option")) <= {"command"}  # click's own, made from the table
    assert set(calls("Argument")) <= {"command"}


def test_no_variable_of_ours_is_read_past_the_table() -> None:
    known = {option.environment for option in OPTIONS} | {
        *("ASERVE_", "ASERVE_HANDOVER", "ASERVE_COMPLETE"),  # a supervisor's to the next, and click's
        *("ASERVE_PORT", "ASERVE_SERVICE_HOST"),  # Kubernetes', told of in a comment
    }
    for path in SOURCES:
        found = set(re.findall(r"ASERVE_[A-Z_]*", path.read_text()))
        assert found <= known, path.name
