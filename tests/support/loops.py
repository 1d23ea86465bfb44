"""Running a test's coroutine on each of the event loops that the server runs on."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.SelectorEventLoop,
}


def every_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make of a test that is a coroutine one that runs on each loop in turn."""

    @functools.wraps(test)
    def run(*, loop_name: str, **arguments: Any) -> None:
        with asyncio.Runner(loop_factory=FACTORIES[loop_name]) as runner:
            runner.run(test(**arguments))

    # pytest looks for fixtures here; `wraps` alone would show it the coroutine.
    del run.__wrapped__
    signature = inspect.signature(test)
    added = inspect.Parameter("loop_name", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), added]
    )
    marked: Callable[..., None] = pytest.mark.parametrize("loop_name", list(FACTORIES))(run)
    return marked
