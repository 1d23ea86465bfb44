"""Python, run to its end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.process import clean_environment

TIMEOUT = 60.0
"""Seconds that a program may take."""


def python(
    folder: Path, *args: str, timeout: float = TIMEOUT, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python with `args` in `folder`, `env` added to a clean environment."""
    return subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env=clean_environment() | (env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
