"""What the tests of managers share."""

from __future__ import annotations

from tests.reliability.conftest import code

__all__ = ["code"]
