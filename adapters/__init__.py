"""Messages to applications: ASGI, lifespan and WSGI, and loading them.

Nothing in this package knows of sockets, parsers or processes.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from aserve.adapters.interfaces import Interface
from aserve.protocols.group import ExchangeFactory


class Adapter(Protocol):
    """Serves one application."""

    exchange_factory: ExchangeFactory

    @property
    def websocket_factory(self) -> ExchangeFactory | None:
        """What makes the exchange of a request that begins a WebSocket; None if there are none."""

    async def startup(self) -> None:
        """Make the application ready; raises `LifespanError`."""

    async def shutdown(self) -> None:
        """Let the application clean up, after its last request."""

    def describe(self) -> str:
        """The interface as the log names it."""


def make_adapter(
    app: Any,
    interface: Interface,
    *,
    loop: asyncio.AbstractEventLoop,
    lifespan: str = "auto",
    root_path: str = "",
    threads: int = 8,
    multiprocess: bool = True,
) -> Adapter:
    """The adapter for an application.

    interface: what `interfaces.detect` said. loop: the event loop that will serve it.
    lifespan: "auto", "on" or "off" (ASGI). root_path: where the application is mounted.
    threads: size of the pool (WSGI). multiprocess: whether other processes may serve the same
    application at the same time (WSGI).
    """
    if interface == "wsgi":
        from aserve.adapters.wsgi import WSGIAdapter

        return WSGIAdapter(app, loop=loop, root_path=root_path, threads=threads, multiprocess=multiprocess)
    from aserve.adapters.asgi import ASGIAdapter

    return ASGIAdapter(app, interface, loop=loop, lifespan=lifespan, root_path=root_path)
