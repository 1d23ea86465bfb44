"""Fixtures: a group of connections on a real listening socket, with a scripted application."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.scripted import Host, ScriptedExchange, answer, echo, scripted

__all__ = ["Host", "ScriptedExchange", "Serving", "answer", "echo"]

Serving = Callable[..., Any]


@pytest.fixture(params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest) -> str:
    """Each parser in turn."""
    return str(request.param)


@pytest.fixture
def serving(parser: str) -> Serving:
    """`async with serving(script, early=False, **options) as host`: see `scripted`."""
    return partial(scripted, parser)
