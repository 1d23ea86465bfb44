"""Sites: the test applications, each served by one process per parser and loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import pytest

from tests.support.pool import FLAVOURS, GREENLETS, Flavour, ServerPool
from tests.support.report import watch
from tests.support.site import Site


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework's application in tests/apps, and the interface that it speaks."""

    name: str
    app: str
    interface: Literal["asgi", "wsgi"]

    def __str__(self) -> str:
        return self.name


FRAMEWORKS = (
    Framework("fastapi", "fastapi_app:app", "asgi"),
    Framework("starlette", "starlette_app:app", "asgi"),
    Framework("flask", "flask_app:app", "wsgi"),
    Framework("django", "django_app:application", "wsgi"),
    Framework("django-asgi", "django_app:asgi", "asgi"),
    Framework("layered", "layered_app:app", "asgi"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what there is not: ASGI applications in greenlets."""
    items[:] = [item for item in items if not (isinstance(item, pytest.Function) and _is_nothing(item))]


def _is_nothing(item: pytest.Function) -> bool:
    values = item.callspec.params if hasattr(item, "callspec") else {}
    framework = values.get("framework")
    is_asgi = (
        "asgi" in item.fixturenames
        or values.get("raw_site") == "asgi"
        or (isinstance(framework, Framework) and framework.interface == "asgi")
    )
    flavour = values.get("flavour")
    return is_asgi and isinstance(flavour, Flavour) and bool(flavour.worker_class)


SELDOM = [pytest.param(each, marks=pytest.mark.slow) for each in GREENLETS if isinstance(each, Flavour)]


@pytest.fixture(params=[*FLAVOURS, *SELDOM], ids=str)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Each parser and each loop once; parametrise it with ALL_FLAVOURS for every combination."""
    chosen: Flavour = request.param
    return chosen


@pytest.fixture(params=FRAMEWORKS, ids=str)
def framework(request: pytest.FixtureRequest) -> Framework:
    """Each framework; parametrise it for a selection."""
    chosen: Framework = request.param
    return chosen


@pytest.fixture
async def site(
    request: pytest.FixtureRequest, pool: ServerPool, framework: Framework, flavour: Flavour
) -> AsyncIterator[Site]:
    """The common routes on a framework."""
    server = pool.get(framework.app, flavour)
    watch(request, server)
    async with Site(server) as opened:
        yield opened


@pytest.fixture
async def asgi(request: pytest.FixtureRequest, pool: ServerPool, flavour: Flavour) -> AsyncIterator[Site]:
    """The raw ASGI application."""
    server = pool.get("asgi_app:app", flavour)
    watch(request, server)
    async with Site(server) as opened:
        yield opened


@pytest.fixture
async def wsgi(request: pytest.FixtureRequest, pool: ServerPool, flavour: Flavour) -> AsyncIterator[Site]:
    """The raw WSGI application."""
    server = pool.get("wsgi_app:application", flavour)
    watch(request, server)
    async with Site(server) as opened:
        yield opened


@pytest.fixture(params=["asgi", "wsgi"])
async def raw_site(request: pytest.FixtureRequest, pool: ServerPool, flavour: Flavour) -> AsyncIterator[Site]:
    """Either raw application, for routes that both have."""
    app = {"asgi": "asgi_app:app", "wsgi": "wsgi_app:application"}[request.param]
    server = pool.get(app, flavour)
    watch(request, server)
    async with Site(server) as opened:
        yield opened
