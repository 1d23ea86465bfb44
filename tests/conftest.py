"""Fixtures for every test: servers of one's own, and servers shared with others."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support import report
from tests.support.pool import ServerPool
from tests.support.process import ServerProcess


def pytest_configure() -> None:
    """Let SIGTERM end a run as Ctrl-C does: fixtures are torn down, no server is left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell has those ignored in what it puts in the background, and they stay so in what is started there.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # Not at the top level, where Hypothesis would put it.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", "build/hypothesis")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the test's servers wrote to the report of its failure."""
    made = yield
    if made.when == "call" and made.failed:
        made.sections += report.sections(item)
    return made


class Serve(Protocol):
    """Starts a server for one test; the arguments are those of ServerProcess."""

    def __call__(
        self,
        *args: str,
        cwd: Path | None = None,
        bind: str | None = "127.0.0.1:0",
        env: dict[str, str] | None = None,
        ready: bool = True,
    ) -> ServerProcess: ...


@pytest.fixture
def app_dir(tmp_path: Path) -> Path:
    """An empty folder for applications that a test writes itself; `serve` starts there."""
    folder = tmp_path / "app"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(app_dir: Path, request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Start servers; after the test they are stopped, unless it did that, and checked."""
    with contextlib.ExitStack() as started:

        def start(
            *args: str,
            cwd: Path | None = None,
            bind: str | None = "127.0.0.1:0",
            env: dict[str, str] | None = None,
            ready: bool = True,
        ) -> ServerProcess:
            server = ServerProcess(*args, cwd=cwd or app_dir, bind=bind, env=env)
            report.watch(request, server)
            started.callback(server.finish)
            return server.start(ready=ready)

        yield start


@pytest.fixture(scope="session")
def pool() -> Iterator[ServerPool]:
    """The servers that tests share."""
    servers = ServerPool()
    yield servers
    servers.close()
