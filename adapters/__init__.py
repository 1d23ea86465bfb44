"""Messages to applications: ASGI, lifespan and WSGI, and loading them.

Nothing in this package knows of sockets, parsers or processes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from aserve.adapters.interfaces import Interface
    from aserve.adapters.requesthooks import RequestHooks
    from aserve.adapters.requestqueue import RequestQueue
    from aserve.adapters.runner import Runner, RunnerOptions
    from aserve.protocols.exchange import Exchange
    from aserve.protocols.group import ExchangeFactory
    from aserve.protocols.options import ConnectionOptions
    from aserve.protocols.serving import Group

RUNNERS: Final = {
    "wsgi": "pool.ThreadPool",
    "sync": "inline.InlineRunner",
    "gevent": "gevent_runner.GeventRunner",
    "eventlet": "eventlet_runner.EventletRunner",
}
"""Where WSGI applications run, by the worker class that asks for it: module and class in this package."""

GREENLETS: Final = ("gevent", "eventlet")
"""Those that need an extra of the same name, whose package replaces parts of the standard library."""


class Adapter(Protocol):
    """Serves one application."""

    async def startup(self) -> None:
        """Make the application ready; raises `LifespanError`."""

    async def shutdown(self) -> None:
        """Let the application clean up, after its last request."""

    def describe(self) -> str:
        """The interface as the log names it."""

    @property
    def held_since(self) -> float:
        """Since when one request keeps all others from being worked on (monotonic seconds), else inf."""

    @property
    def queue(self) -> RequestQueue | None:
        """The requests that wait for the application, if they do that in a queue."""

    def group(
        self,
        loop: asyncio.AbstractEventLoop,
        options: ConnectionOptions,
        access_log: Callable[[Exchange], None] | None,
    ) -> Group:
        """What serves the connections of `loop`; access_log: called with each exchange that is complete."""


class ExchangeAdapter(Adapter, Protocol):
    """Serves an application with our own HTTP, which hands it one exchange after the other."""

    exchange_factory: ExchangeFactory

    @property
    def websocket_factory(self) -> ExchangeFactory | None:
        """What makes the exchange of a request that begins a WebSocket; None if there are none."""
        return None

    def group(
        self,
        loop: asyncio.AbstractEventLoop,
        options: ConnectionOptions,
        access_log: Callable[[Exchange], None] | None,
    ) -> Group:
        """The connections of `loop`."""
        from aserve.protocols.group import ConnectionGroup

        return ConnectionGroup(
            self.exchange_factory,
            loop=loop,
            options=options,
            access_log=access_log,
            websocket_factory=self.websocket_factory if options.websocket.served else None,
        )


def make_runner(
    worker_class: str, loop: asyncio.AbstractEventLoop, options: RunnerOptions | None = None
) -> Runner:
    """The place where the WSGI applications of `worker_class` run, one of `RUNNERS`; see runner.py."""
    if options is None:
        from aserve.adapters.runner import RunnerOptions

        options = RunnerOptions()
    module, _, name = RUNNERS[worker_class].partition(".")
    place: type[Runner] = getattr(importlib.import_module(f"aserve.adapters.{module}"), name)
    return place(loop, options)


def make_adapter(
    app: Any,
    interface: Interface,
    *,
    loop: asyncio.AbstractEventLoop,
    lifespan: str = "auto",
    root_path: str = "",
    runner: Runner | None = None,
    multiprocess: bool = True,
    hooks: RequestHooks | None = None,
) -> ExchangeAdapter:
    """The adapter for an application.

    interface: what `interfaces.detect` said. loop: the event loop that will serve it.
    lifespan: "auto", "on" or "off" (ASGI). root_path: where the application is mounted.
    runner: where it runs, a pool of threads unless given (WSGI). multiprocess: whether other
    processes may serve the same application at the same time (WSGI). hooks: what to call around each
    request, if anything.
    """
    if interface == "wsgi":
        from aserve.adapters.wsgi import WSGIAdapter

        runner = runner or make_runner("wsgi", loop)
        return WSGIAdapter(app, runner, root_path=root_path, multiprocess=multiprocess, hooks=hooks)
    from aserve.adapters.asgi import ASGIAdapter

    return ASGIAdapter(app, interface, loop=loop, lifespan=lifespan, root_path=root_path, hooks=hooks)
