"""What a record looks like: lines for people, JSON, colours, and nothing that a client could forge."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import pytest

from aserve.loglines import JSONFormatter, LineFormatter, harmless, wants_colours

BREAKS = ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
"""Whatever some reader takes for the end of a line."""


def record(message: str, *args: object, level: int = logging.INFO, **others: Any) -> logging.LogRecord:
    made = logging.LogRecord("aserve", level, __file__, 1, message, args, others.pop("exc_info", None))
    vars(made).update(others)
    return made


def failure(text: str) -> Any:
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


@pytest.mark.parametrize("ending", BREAKS)
def test_no_further_line_looks_like_a_record(ending: str) -> None:
    forged = f"x{ending}[2026-11-25 00:00:00 +0000] [1] [INFO] stopped"
    formatter = LineFormatter()
    for made in (record("refused: %s", forged), record("failed", exc_info=failure(forged))):
        lines = formatter.format(made).splitlines()
        assert [number for number, line in enumerate(lines) if line.startswith("[")] == [0]


def test_control_characters_are_visible() -> None:
    assert harmless("a\x1b[31m\x00\x7f\x9b\u202e\tb") == "a\\x1b[31m\\x00\\x7f\\x9b\\u202e\tb"
    assert harmless("Grüße 日本\r\nnext") == "Grüße 日本\nnext"


def test_json_has_the_documented_fields() -> None:
    text = JSONFormatter().format(record("worker=%d ready", 0))
    fields = json.loads(text)
    assert list(fields) == ["time", "level", "logger", "pid", "message"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert fields["pid"] > 0
    assert (fields["level"], fields["logger"], fields["message"]) == ("INFO", "aserve", "worker=0 ready")


def test_json_has_tracebacks_and_what_stands_below_a_line() -> None:
    fields = json.loads(JSONFormatter().format(record("failed", exc_info=failure("a\nb"))))
    assert fields["exception"] == "ValueError"
    assert fields["details"].startswith("Traceback (most recent call last):\n")
    assert fields["details"].endswith("ValueError: a\nb")
    fields = json.loads(JSONFormatter().format(record("not started: reason%s", "\nTraceback\n  x")))
    assert (fields["message"], fields["details"]) == ("not started: reason", "Traceback\n  x")


@pytest.mark.parametrize("ending", BREAKS)
def test_a_record_in_json_is_one_line(ending: str) -> None:
    text = JSONFormatter().format(record("a%sb\x1b\udcff", ending))
    assert len(text.splitlines()) == 1
    assert text.isascii() and text.isprintable()


def test_text_of_an_application_is_marked_in_json() -> None:
    fields = json.loads(JSONFormatter().format(record("two\nlines", verbatim=True)))
    assert (fields["message"], fields["source"]) == ("two\nlines", "wsgi.errors")


def test_the_level_has_the_colour_and_nothing_else() -> None:
    text = LineFormatter(colours=True).format(record("[INFO] x", level=logging.ERROR))
    assert text.endswith("] [\x1b[31mERROR\x1b[0m] [INFO] x")


@pytest.mark.parametrize(
    ("choice", "environment", "wanted"),
    [
        ("auto", {}, False),  # no terminal
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ("on", {"NO_COLOR": "1"}, True),
        ("off", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_who_wants_colours(
    choice: str, environment: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with open("/dev/null", "wb") as file:
        assert wants_colours(choice, file.fileno()) is wanted


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import pty

    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    try:
        assert wants_colours("auto", theirs)
        monkeypatch.setenv("TERM", "dumb")
        assert not wants_colours("auto", theirs)
    finally:
        os.close(ours)
        os.close(theirs)
