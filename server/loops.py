"""The event loops that a worker can run on."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Literal, TypeAlias

LoopName: TypeAlias = Literal["uvloop", "asyncio"]


def choose(wanted: Literal["auto", "uvloop", "asyncio"]) -> LoopName:
    """Return the loop that `wanted` stands for on this machine: `auto` is uvloop where there is one."""
    if wanted != "auto":
        return wanted
    return "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"


def new_loop(name: LoopName) -> asyncio.AbstractEventLoop:
    """Return a new event loop; raises ImportError if there is no such thing here."""
    if name == "asyncio":
        return asyncio.new_event_loop()
    import uvloop  # only where it is used: it needs not be installed

    return uvloop.new_event_loop()
