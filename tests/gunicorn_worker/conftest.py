"""gunicorns of the newest and the oldest version, and applications for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.gunicorn_worker.process import GunicornProcess, oldest
from tests.reliability.conftest import Code
from tests.support import report


class Gunicorn(Protocol):
    """Starts gunicorn for one test; the arguments are those of GunicornProcess."""

    def __call__(
        self,
        *args: str,
        interface: str = "",
        cwd: Path | None = None,
        bind: str | None = "127.0.0.1:0",
        env: dict[str, str] | None = None,
        ready: bool = True,
    ) -> GunicornProcess: ...


PAIRS = (
    ("newest", "asgi"),
    ("oldest", "wsgi"),
    pytest.param("newest", "wsgi", marks=pytest.mark.slow),
    pytest.param("oldest", "asgi", marks=pytest.mark.slow),
)
"""Versions of gunicorn and interfaces: for `with_both`."""

with_both = pytest.mark.parametrize(("version", "interface"), PAIRS, indirect=["version"])


@pytest.fixture(params=["newest", pytest.param("oldest", marks=pytest.mark.slow)])
def version(request: pytest.FixtureRequest) -> str:
    """Both ends of what is supported; the oldest one is for the slow run, unless a test asks for it."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def gunicorn(
    app_dir: Path, tmp_path: Path, version: str, request: pytest.FixtureRequest
) -> Iterator[Gunicorn]:
    """Start gunicorns of that version; after the test they are stopped, unless it did that, and checked."""
    path = oldest(request.config) if version == "oldest" else None
    with contextlib.ExitStack() as started:

        def start(
            *args: str,
            interface: str = "",
            cwd: Path | None = None,
            bind: str | None = "127.0.0.1:0",
            env: dict[str, str] | None = None,
            ready: bool = True,
        ) -> GunicornProcess:
            server = GunicornProcess(
                *args,
                cwd=cwd or app_dir,
                home=tmp_path,
                interface=interface,
                path=path,
                bind=bind,
                env=env,
                careful=ready,
            )
            report.watch(request, server)
            started.callback(server.finish)
            return server.start(ready=ready)

        yield start


@pytest.fixture
def code(app_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Code:
    """The test's application, `main:app`; it is compiled at every import."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return Code(app_dir)
