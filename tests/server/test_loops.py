"""Event loops by name (server/loops.py)."""

from __future__ import annotations

import asyncio
import sys

import pytest
import uvloop

from aserve import loops


def test_auto_is_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loops.choose("auto") == "uvloop"
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert loops.choose("auto") == "asyncio"


@pytest.mark.parametrize("name", ["uvloop", "asyncio"])
def test_who_asks_for_a_loop_gets_it(name: loops.LoopName) -> None:
    assert loops.choose(name) == name
    loop = loops.new_loop(name)
    assert isinstance(loop, uvloop.Loop if name == "uvloop" else asyncio.SelectorEventLoop)
    loop.close()
