"""Scripts: code that forks or changes signal handlers runs in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from tests.reliability.conftest import code as code

ROOT = Path(__file__).parents[2]

TIMEOUT = 30.0
"""Seconds that a script may take; none needs more than one or two."""


class Ended(NamedTuple):
    """How a script has ended: its exit status (negative: the signal) and what it wrote."""

    status: int
    out: str
    err: str


Script: TypeAlias = Callable[[str], Ended]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run Python source (dedented) in a fresh interpreter without threads, warnings being errors."""

    def run(source: str) -> Ended:
        file = tmp_path / "script.py"
        file.write_text(textwrap.dedent(source))
        command = [sys.executable, "-W", "error", str(file)]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},  # for what tests share
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run
