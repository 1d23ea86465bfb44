"""Programs that start a server themselves."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support import report
from tests.support.process import ServerProcess


class Script(Protocol):
    """Runs `source` as main.py of `app_dir`, and waits until its server is ready (or not)."""

    def __call__(
        self, source: str, *, ready: bool = True, env: dict[str, str] | None = None
    ) -> ServerProcess: ...


@pytest.fixture
def script(app_dir: Path, request: pytest.FixtureRequest) -> Iterator[Script]:
    """Run programs, and stop what is left of them after the test."""
    with contextlib.ExitStack() as started:

        def start(source: str, *, ready: bool = True, env: dict[str, str] | None = None) -> ServerProcess:
            (app_dir / "main.py").write_text(source)
            program = ServerProcess(cwd=app_dir, bind=None, env=env)
            program.command = [sys.executable, "-W", "always::ResourceWarning", "main.py"]
            report.watch(request, program)
            started.callback(program.finish)
            return program.start(ready=ready)

        yield start
