"""The command `aserve`, run to its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.process import clean_environment

TIMEOUT = 30.0
"""Seconds that a command may take; none needs more than one or two."""


class Ended(NamedTuple):
    """Its exit status and what it wrote."""

    status: int
    out: str
    err: str


def aserve(*args: str, cwd: Path, env: Mapping[str, str] | None = None) -> Ended:
    """Run `python -m aserve` with `args` in the folder `cwd`, `env` added to a clean environment."""
    done = subprocess.run(
        [sys.executable, "-m", "aserve", *args],
        cwd=cwd,
        env=clean_environment() | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def refused(*args: str, cwd: Path, env: Mapping[str, str] | None = None, status: int = 2) -> str:
    """Run it, expecting exit status `status` and one line on standard error; return that line's message."""
    ended = aserve(*args, cwd=cwd, env=env)
    assert ended.status == status, ended
    assert ended.out == "", ended
    line, newline, rest = ended.err.partition("\n")
    assert newline == "\n", ended
    assert rest == "", ended
    assert line.startswith("aserve: error: "), ended
    return line.removeprefix("aserve: error: ")
