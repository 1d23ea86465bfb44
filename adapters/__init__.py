"""Messages to applications: ASGI, lifespan and WSGI, and loading them.

Nothing in this package knows of sockets, parsers or processes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import asyncio

    from aserve.adapters.interfaces import Interface
    from aserve.adapters.runner import Runner, RunnerOptions
    from aserve.protocols.group import ExchangeFactory

RUNNERS: Final = {
    "wsgi": "pool.ThreadPool",
    "gevent": "gevent_runner.GeventRunner",
    "eventlet": "eventlet_runner.EventletRunner",
}
"""Where WSGI applications run, by the worker class that asks for it: module and class in this package."""

GREENLETS: Final = ("gevent", "eventlet")
"""Those that need an extra of the same name, whose package replaces parts of the standard library."""


class Adapter(Protocol):
    """Serves one application."""

    exchange_factory: ExchangeFactory

    async def startup(self) -> None:
        """Make the application ready; raises `LifespanError`."""

    async def shutdown(self) -> None:
        """Let the application clean up, after its last request."""

    def describe(self) -> str:
        """The interface as the log names it."""


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
) -> Adapter:
    """The adapter for an application.

    interface: what `interfaces.detect` said. loop: the event loop that will serve it.
    lifespan: "auto", "on" or "off" (ASGI). root_path: where the application is mounted.
    runner: where it runs, a pool of threads unless given (WSGI). multiprocess: whether other
    processes may serve the same application at the same time (WSGI).
    """
    if interface == "wsgi":
        from aserve.adapters.wsgi import WSGIAdapter

        runner = runner or make_runner("wsgi", loop)
        return WSGIAdapter(app, runner, root_path=root_path, multiprocess=multiprocess)
    from aserve.adapters.asgi import ASGIAdapter

    return ASGIAdapter(app, interface, loop=loop, lifespan=lifespan, root_path=root_path)
