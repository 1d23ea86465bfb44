"""Each parser in turn."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> str:
    """The parsers' names, as the option `http` has them."""
    return str(request.param)
