"""Servers that many tests share: one per application, parser and loop, started when first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

import pytest

from tests.support.process import ServerProcess

TESTS = Path(__file__).parent.parent
"""The folder from which the test applications are imported, as `apps.NAME`."""


@dataclass(frozen=True, slots=True)
class Flavour:
    """A parser and an event loop, and the worker class if it is a certain one."""

    http: str
    loop: str
    worker_class: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.http, self.loop, self.worker_class)))

    @property
    def options(self) -> tuple[str, ...]:
        """The command-line options that choose it."""
        place = ("-k", self.worker_class) if self.worker_class else ()
        return ("--http", self.http, "--loop", self.loop, *place)


FLAVOURS = (Flavour("httptools", "uvloop"), Flavour("h11", "asyncio"))
"""Each parser and each loop once: enough where the framework is what varies."""

ALL_FLAVOURS = (*FLAVOURS, Flavour("httptools", "asyncio"), Flavour("h11", "uvloop"))
"""Every combination: for what depends on the parser or the loop."""

GREENLETS = (
    Flavour("httptools", "uvloop", "gevent"),
    Flavour("httptools", "uvloop", "eventlet"),
    pytest.param(Flavour("h11", "asyncio", "gevent"), marks=pytest.mark.slow),
    pytest.param(Flavour("h11", "asyncio", "eventlet"), marks=pytest.mark.slow),
)
"""WSGI applications in greenlets."""


class ServerPool:
    """The shared servers; `close` stops and checks them all."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, ...], ServerProcess] = {}

    def get(self, app: str, flavour: Flavour, *options: str) -> ServerProcess:
        """Return the running server of `app` (`asgi_app:app`: from tests/apps) with these options."""
        key = (*flavour.options, *options, app)
        server = self._servers.get(key)
        if server is None:
            server = ServerProcess(*options, *flavour.options, f"apps.{app}", cwd=TESTS).start()
            self._servers[key] = server
        elif not server.running:
            raise AssertionError(f"a shared server has died\n{server.output()}")
        return server

    def close(self) -> None:
        """Stop every server; raise what was wrong with any of them."""
        errors: list[Exception] = []
        for server in self._servers.values():
            if server.running:
                server.signal(SIGTERM)  # so that they all stop at once
        for server in self._servers.values():
            try:
                server.stop(0)
            except (AssertionError, OSError) as error:
                errors.append(error)
        self._servers.clear()
        if errors:
            raise ExceptionGroup("shared servers did not end well", errors)
