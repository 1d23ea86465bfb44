"""The examples in docstrings and in docs/embedding.md."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

import aserve
from tests.embedding.conftest import Script
from tests.embedding.programs import python

DOCUMENT = Path(__file__).parents[2] / "docs" / "embedding.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def test_docstrings() -> None:
    result = doctest.testmod(importlib.import_module("aserve.embedding"), raise_on_error=True)
    assert result.attempted


def test_the_programs_of_run(script: Script) -> None:
    [example] = doctest.DocTestParser().get_examples(str(aserve.run.__doc__))
    [document] = [block for block in BLOCKS if block.startswith("# main.py")]
    head = document.partition("if __name__")[0]
    for source in (document, head + example.source):
        assert "127.0.0.1:8000" in source and "workers=4" in source
        program = script(source.replace("127.0.0.1:8000", "127.0.0.1:0"))
        assert len(program.worker_pids()) == 4
        program.stop()


@pytest.mark.parametrize(
    ("first", "printed"), [("import asyncio", "200 OK"), ("import urllib.request\nimport aserve", "Hello")]
)
def test_programs(first: str, printed: str, tmp_path: Path) -> None:
    [source] = [block for block in BLOCKS if block.startswith(first)]
    done = python(tmp_path, "-W", "error", "-c", source)
    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout


def test_a_test(tmp_path: Path) -> None:
    [source] = [block for block in BLOCKS if "def test_hello" in block]
    (tmp_path / "test_main.py").write_text(source)
    (tmp_path / "main.py").write_text(
        'def app(environ, start_response):\n    start_response("200 OK", [])\n    return [b"Hello"]\n'
    )
    done = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio")
    assert "1 passed" in done.stdout, done.stdout


def test_all_are_python() -> None:
    for block in BLOCKS:
        compile(block, str(DOCUMENT), "exec")
