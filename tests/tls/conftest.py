"""Servers with TLS that many tests share, and what clients need to trust them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import report
from tests.support.certificates import Files, issue, write_authority
from tests.support.pool import Flavour, ServerPool
from tests.support.process import ServerProcess

Secure = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared certificates are."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="session")
def files(folder: Path) -> Files:
    """The certificate that shared servers have."""
    return issue(folder)


@pytest.fixture(scope="session")
def ca_file(folder: Path) -> Path:
    """The authority's certificate."""
    return write_authority(folder)


@pytest.fixture
def secure(pool: ServerPool, files: Files, request: pytest.FixtureRequest) -> Secure:
    """Return a shared server that has the certificate, by application, flavour and options."""

    def get(app: str, flavour: Flavour, *options: str) -> ServerProcess:
        server = pool.get(app, flavour, *files.options, *options)
        report.watch(request, server)
        return server

    return get
