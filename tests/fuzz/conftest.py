"""The harness that all tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.harness import Harness


@pytest.fixture(scope="session")
def harness() -> Iterator[Harness]:
    """An event loop to run connections in."""
    harness = Harness()
    yield harness
    harness.close()
