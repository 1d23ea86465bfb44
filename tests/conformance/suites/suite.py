"""The suites: how each is run, and the list of its tests that cannot pass over the wire."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conformance.suites.environment import Environment

TIME: Final = 500
TEST_TIME: Final = 30


@dataclass(frozen=True)
class Limit:
    """Why a test cannot pass over the wire. varies: now and then it does."""

    reason: str
    varies: bool


@dataclass(frozen=True)
class Suite:
    """One of the suites.

    name: of the distribution, and of the file with its list. interface: of its applications. arguments:
    for pytest.
    """

    name: str
    interface: str
    arguments: tuple[str, ...] = ()

    def limits(self) -> dict[str, Limit]:
        """The tests that pass in process but not over the wire."""
        declared = tomllib.loads((Path(__file__).parent / f"{self.name}.toml").read_text())
        return {
            test: Limit(entry["reason"], entry.get("varies", False))
            for entry in declared["limit"]
            for test in entry["tests"]
        }

    def run(self, environment: Environment, *arguments: str, outcomes: Path) -> dict[str, str]:
        """Return the outcome, "passed", "failed" or "skipped", of each test that pytest runs so."""
        command = [
            *(str(environment.python), "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "overwire.plugin"),
            *(f"--timeout={TEST_TIME}", f"--outcomes={outcomes}", "--tb=short", *arguments),
        ]
        done = subprocess.run(
            command,
            cwd=environment.sources[self.name],
            env=_environ() | {"PYTHONPATH": environment.path},
            capture_output=True,
            text=True,
            timeout=TIME,
            check=False,
        )
        assert done.returncode in (0, 1), done.stdout[-3000:] + done.stderr[-3000:]
        outcomes.with_suffix(".log").write_text(done.stdout)
        read: dict[str, str] = json.loads(outcomes.read_text())
        return read

    def over_wire(self, environment: Environment, *arguments: str, outcomes: Path) -> dict[str, str]:
        """As `run`, for the whole suite, with all requests to a server."""
        wire = f"--over-wire={self.interface}"
        return self.run(environment, wire, *self.arguments, *arguments, outcomes=outcomes)

    def in_process(self, environment: Environment, tests: Iterable[str], outcomes: Path) -> dict[str, str]:
        """As `run`, for some tests, with the framework's own test client."""
        return self.run(environment, *tests, outcomes=outcomes)


# The server has no trio, so that half of Starlette's tests would be the other half again.
SUITES: Final = (
    Suite("starlette", "asgi", ("-k", "not trio", "-n", "2")),
    Suite("fastapi", "asgi", ("-n", "2")),
    Suite("flask", "wsgi"),
)


def _environ() -> dict[str, str]:
    """Ours, without what pytest and its plugins have put there."""
    ours = ("PYTEST_", "COV_", "COVERAGE_", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
