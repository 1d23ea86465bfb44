"""Compiled modules of a moment in which their source has changed (server/bytecode.py)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from tests.support.process import clean_environment

_LOAD = """
from aserve import bytecode
bytecode.distrust_recent()
import shop
print(shop.VERSION)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "shop.py"


def run(program: str, folder: Path) -> str:
    environment = clean_environment() | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def write(source: Path, version: int, moment: float) -> None:
    source.write_text(f"VERSION = {version}\n")
    os.utime(source, (moment, moment))


def test_python_itself_believes_them(source: Path) -> None:
    """What all this is for. If it fails, it is not needed any more."""
    moment = int(time.time())
    write(source, 1, moment)
    assert run("import shop; print(shop.VERSION)", source.parent) == "1"
    write(source, 2, moment + 0.5)
    assert run("import shop; print(shop.VERSION)", source.parent) == "1"
    assert run(_LOAD, source.parent) == "2"


def test_none_is_made_of_a_source_that_has_just_changed(source: Path) -> None:
    write(source, 1, int(time.time()))
    assert run(_LOAD, source.parent) == "1"
    assert not os.path.exists(cache_from_source(str(source)))


def test_those_of_older_sources_are_made_and_used(source: Path) -> None:
    moment = int(time.time()) - 60
    write(source, 1, moment)
    assert run(_LOAD, source.parent) == "1"
    assert os.path.exists(cache_from_source(str(source)))
    write(source, 2, moment)  # with a time that is wrong: so it can be seen that the compiled one is used
    assert run(_LOAD, source.parent) == "1"


def test_one_that_somebody_else_has_made_in_that_moment_is_not_used_later(source: Path) -> None:
    moment = int(time.time()) - 60
    write(source, 1, moment)
    run("import shop", source.parent)
    compiled = cache_from_source(str(source))
    os.utime(compiled, (moment + 0.2, moment + 0.2))
    write(source, 2, moment + 0.5)
    assert run(_LOAD, source.parent) == "2"
