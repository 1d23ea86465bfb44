"""The lines of the log that docs/logging.md promises: they are there, and they stay.

stable_lines.txt has them as well. Whoever changes one of them breaks somebody's scripts: that takes a
new major version. New ones are added to both.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "logging.md"
PROMISED = Path(__file__).with_name("stable_lines.txt")

_ROW = re.compile(r"\| (INFO|WARNING|ERROR) \| (`.*`) \| .* \|")
_DIRECTIVE = re.compile(r"%(?:\.\d+)?[sdrgf]")
_VARIES = re.compile(r"[A-Z]{2,}|\bN\b")
_METHODS = ("info", "warning", "error", "critical", "log")
_FEWEST_LETTERS = 6
"""Letters that a text of the source has to have to be told from others."""


class Text(NamedTuple):
    """A text of the source: as a pattern, and where it stands; `level` if it is logged with that one."""

    pattern: re.Pattern[str]
    sample: str
    letters: int
    level: str
    place: str


def documented() -> list[str]:
    """Return `LEVEL line` for each line of the page's tables."""
    rows = filter(None, map(_ROW.fullmatch, PAGE.read_text().splitlines()))
    return [f"{row[1]} {line}" for row in rows for line in re.findall(r"`([^`]+)`", row[2])]


def texts() -> Iterator[Text]:
    """Yield every text of the source that could be (a part of) a line."""
    for folder in ("server", "adapters", "protocols"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            place = file.relative_to(ROOT)
            if file.name == "workeroverseer.py":
                continue  # writes into gunicorn's log
            tree = ast.parse(file.read_text())
            logged = {id(text): level for level, text in _logged(tree)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    parts = _DIRECTIVE.split(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = [each.value if isinstance(each, ast.Constant) else None for each in node.values]
                    parts = _joined(parts)
                else:
                    continue
                pattern = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
                letters = sum(each.isalpha() for each in "".join(parts))
                yield Text(
                    pattern, "0".join(parts), letters, logged.get(id(node), ""), f"{place}:{node.lineno}"
                )


def _joined(values: list[object]) -> list[str]:
    parts = [""]
    for value in values:
        if isinstance(value, str):
            parts[-1] += value
        else:
            parts.append("")
    return parts


def _logged(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield level and format of each call of a logger's method."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        name, owner = node.func.attr, node.func.value
        if name == "log" and len(node.args) < 2:
            continue  # an access log's
        if name in _METHODS and isinstance(owner, ast.Name) and owner.id in ("_log", "logger", "log"):
            yield ("any", node.args[1]) if name == "log" else (name.upper(), node.args[0])


def test_promised_lines_are_documented() -> None:
    promised = PROMISED.read_text().splitlines()
    missing = [line for line in promised if line not in documented()]
    assert not missing, "docs/logging.md has changed or lost them"


def test_documented_lines_are_promised() -> None:
    promised = PROMISED.read_text().splitlines()
    missing = [line for line in documented() if line not in promised]
    assert not missing, f"add them to {PROMISED.name}"


def matches(text: Text, line: str) -> bool:
    """Tell whether a line of the page is that text; what varies may be on either side."""
    if text.pattern.fullmatch(line) or (not text.level and text.pattern.fullmatch(line.rpartition(": ")[0])):
        return True
    return re.fullmatch(_VARIES.sub(".+", re.escape(line)), text.sample, re.DOTALL) is not None


_here = pytest.mark.skipif(not (ROOT / "server").is_dir(), reason="the source is not here")


@_here
def test_the_source_has_each_documented_line() -> None:
    known = [text for text in texts() if text.letters >= _FEWEST_LETTERS or (text.level and text.letters)]
    missing = []
    for entry in documented():
        level, _, line = entry.partition(" ")
        if not any(text.level in ("", "any", level) and matches(text, line) for text in known):
            missing.append(entry)
    assert not missing, "no such lines in the source, or of another level"


@_here
def test_each_line_of_the_source_is_documented() -> None:
    lines = [entry.partition(" ")[2] for entry in documented()]
    missing = [
        f"{text.place}: {text.sample}"
        for text in texts()
        if text.level and text.letters >= _FEWEST_LETTERS and not any(matches(text, line) for line in lines)
    ]
    assert not missing, "add them to docs/logging.md"
