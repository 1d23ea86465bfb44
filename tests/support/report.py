"""The output of a test's servers, for the report of its failure."""

from __future__ import annotations

import pytest

from tests.support.process import ServerProcess

_Watched = list[tuple[ServerProcess, int]]
_WATCHED = pytest.StashKey[_Watched]()


def watch(request: pytest.FixtureRequest, server: ServerProcess) -> None:
    """Show what `server` writes from now on, should the test fail."""
    watched = request.node.stash.setdefault(_WATCHED, [])
    watched.append((server, server.mark()))


def sections(item: pytest.Item) -> list[tuple[str, str]]:
    """Return the report sections of the servers that the test `item` watches."""
    nothing: _Watched = []
    return [("server output", server.output(since)) for server, since in item.stash.get(_WATCHED, nothing)]
