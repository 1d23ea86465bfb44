"""The plugin: `-p overwire.plugin --over-wire=asgi`, and a file of outcomes with `--outcomes`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

RANKS: Final = ("passed", "skipped", "failed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("over the wire")
    group.addoption("--over-wire", choices=["asgi", "wsgi"], help="whose test client goes over the wire")
    group.addoption("--wire-http", default="httptools", help="the server's parser")
    group.addoption("--wire-loop", default="uvloop", help="the server's event loop")
    group.addoption("--outcomes", help="file for the outcome of each test, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Replace the clients' transport."""
    outcomes = config.getoption("--outcomes")
    if outcomes and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(Path(outcomes)))
    interface = config.getoption("--over-wire")
    if interface is None:
        return
    from .running import Running
    from .server import ServerThread

    running = Running(ServerThread(config.getoption("--wire-http"), config.getoption("--wire-loop")))
    if interface == "asgi":
        from .asgi import patch
    else:
        from .wsgi import patch
    patch(running)
    config.pluginmanager.register(Ending(running))


class Ending:
    """Each test's servers end with it."""

    def __init__(self, running: object) -> None:
        self._running = running

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        """After the test's own fixtures have been torn down."""
        try:
            return (yield)
        finally:
            self._running.stop()  # type: ignore[attr-defined]


class Outcomes:
    """Notes the outcomes: the worst of a test's phases."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for each phase, in the process that controls the others."""
        before = self._outcomes.get(report.nodeid, "passed")
        self._outcomes[report.nodeid] = max(before, report.outcome, key=RANKS.index)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module that cannot be imported has failed as a whole."""
        if report.failed:
            self._outcomes[report.nodeid] = "failed"

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        self._path.write_text(json.dumps(self._outcomes, indent=1))
