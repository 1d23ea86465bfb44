"""The pytest plugin: servers for tests, each in a thread, on a free port. See docs/embedding.md.

It is loaded in every run of pytest where the distribution is installed, so it imports nothing of the
server until a test asks for one. Its name among pytest's plugins is its module's, so that -p with that
name does not load it a second time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

import pytest

if TYPE_CHECKING:
    from typing import Unpack

    from aserve.keywords import ServerOptions
    from aserve.serverthread import ServerThread

BIND: Final = "127.0.0.1:0"
"""Where servers listen unless a test says otherwise: on any free port."""

GRACEFUL_TIMEOUT: Final = 5.0
"""Seconds that requests have to end at the end of a test, unless it says otherwise."""


class AserveServer(Protocol):
    """What the fixtures are: starts a server for `app`, which is stopped when the fixture ends.

    The keywords are those of `aserve.Server`. Returns what serves: `url`, `port`, `addresses`, `stop()`.
    Raises what `Server.start` raises.
    """

    def __call__(self, app: Any, **options: Unpack[ServerOptions]) -> ServerThread: ...


@pytest.fixture
def aserve_server() -> Iterator[AserveServer]:
    """Serve an application for one test: `server = aserve_server(app)`, and then ask `server.url`."""
    with _servers() as serve:
        yield serve


@pytest.fixture(scope="session")
def aserve_session_server() -> Iterator[AserveServer]:
    """As `aserve_server`, but until the end of the session: for fixtures of a wider scope."""
    with _servers() as serve:
        yield serve


@contextlib.contextmanager
def _servers() -> Iterator[AserveServer]:
    with contextlib.ExitStack() as running:

        def serve(app: Any, **options: Unpack[ServerOptions]) -> ServerThread:
            from aserve.embedding import Server  # with uvloop and all the rest

            if "sockets" not in options:
                options.setdefault("bind", BIND)
            options.setdefault("graceful_timeout", GRACEFUL_TIMEOUT)
            return running.enter_context(Server(app, **options).in_thread())

        yield serve
