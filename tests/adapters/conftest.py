"""Fixtures for adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.messages import content


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[[int], Path]:
    """Make a file of so many bytes."""

    def make(size: int) -> Path:
        path = tmp_path / f"file-{size}"
        path.write_bytes(content(size))
        return path

    return make
