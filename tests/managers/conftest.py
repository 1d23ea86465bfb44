"""What the tests of managers share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.managers.manager import Manager, Site, Start
from tests.managers.manager import site as make_site
from tests.reliability.conftest import Code, code
from tests.support import report

__all__ = ["code"]


@pytest.fixture
def site(code: Code) -> Iterator[Site]:
    """An application and its surroundings; it answers with `one` until a test writes another."""
    code.asgi()
    with make_site(code) as made:
        yield made


@pytest.fixture
def manage(site: Site, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start managers; after the test they are stopped, and nothing may be left of them."""
    with contextlib.ExitStack() as started:

        def start(*command: str, **more: Any) -> Manager:
            manager = Manager(command, **{"cwd": site.folder, **more})
            report.watch(request, manager)
            started.callback(manager.finish)
            manager.start(ready=False)
            return manager

        yield start
    site.check()
