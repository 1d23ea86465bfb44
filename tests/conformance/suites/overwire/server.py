"""The server, in a thread: one event loop for all the applications that a suite makes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Literal, TypeVar

from aserve.adapters import ExchangeAdapter, make_adapter, make_runner
from aserve.adapters.runner import RunnerOptions
from aserve.loops import LoopName, new_loop
from aserve.protocols.options import ConnectionOptions
from aserve.protocols.serving import Group

from .client import Connection
from .passage import TIMEOUT, Passage, Passages

T = TypeVar("T")

KEEP_ALIVE = 60.0
"""Seconds: longer than any test, so that a connection in the pool is open."""


class ServerThread:
    """The thread and its loop. parser: the option `http`. loop_name: the option `loop`."""

    def __init__(self, parser: str, loop_name: LoopName) -> None:
        # Options for what the suites do not expect of a server: fields of its own, and protection of
        # applications that have no way to tell X_Name from X-Name.
        self.options = ConnectionOptions(
            http=parser,
            keep_alive=KEEP_ALIVE,
            server_header=None,
            date_header=False,
            header_map="dangerous",
        )
        self.loop = new_loop(loop_name)
        threading.Thread(target=self._run, name="server", daemon=True).start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` there and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(3 * TIMEOUT)


class WireServer:
    """One application, served on a port of 127.0.0.1 from `start` to `stop`.

    interface: "asgi3" or "wsgi". lifespan: "on" or "off". root_path: the option of that name.
    """

    def __init__(
        self,
        thread: ServerThread,
        app: Any,
        interface: Literal["asgi3", "wsgi"],
        *,
        lifespan: str = "off",
        root_path: str = "",
    ) -> None:
        self.passages = Passages()
        self._thread = thread
        self._app = self.passages.wsgi(app) if interface == "wsgi" else self.passages.asgi(app)
        self._interface = interface
        self._lifespan = lifespan
        self._root_path = root_path
        self._idle: list[Connection] = []
        self._connections: list[Connection] = []  # all, as tests leave responses unread
        self._adapter: ExchangeAdapter
        self._group: Group
        self._server: asyncio.Server
        self._address: tuple[str, int]

    @property
    def state(self) -> dict[str, Any]:
        """What the application has put into the state of its lifespan."""
        state: dict[str, Any] = self._adapter.lifespan.state  # type: ignore[attr-defined]
        return state

    def start(self) -> None:
        """Serve; raises LifespanError."""
        self._thread.call(self._start())

    def stop(self) -> None:
        """End all requests, then the application's lifespan; raises what that raises."""
        for connection in self._connections:
            connection.close()
        self._thread.call(self._stop())
        if self.passages.lifespan_error is not None:
            raise self.passages.lifespan_error

    def connect(self, passage: Passage, *, fresh: bool = False) -> Connection:
        """A connection for one request; an open one that has no other to answer, unless `fresh`."""
        if self._idle and not fresh:
            connection = self._idle.pop()
        else:
            connection = Connection(self._address)
            self._connections.append(connection)
        self.passages[connection.name] = passage
        return connection

    def give_back(self, connection: Connection) -> None:
        """The response is complete: the connection may be used again, if both sides say so."""
        if connection.reusable():
            self._idle.append(connection)
        else:
            connection.close()

    async def _start(self) -> None:
        loop = self._thread.loop
        runner = make_runner("wsgi", loop, RunnerOptions(threads=4)) if self._interface == "wsgi" else None
        self._adapter = make_adapter(
            self._app,
            self._interface,
            loop=loop,
            lifespan=self._lifespan,
            root_path=self._root_path,
            runner=runner,
        )
        await self._adapter.startup()
        self._group = group = self._adapter.group(loop, self._thread.options, None)
        self._server = await loop.create_server(
            group.connection,  # type: ignore[attr-defined]
            "127.0.0.1",
            0,
        )
        self._address = self._server.sockets[0].getsockname()
        group.start()

    async def _stop(self) -> None:
        self._server.close()
        self._group.abort()
        async with asyncio.timeout(TIMEOUT):
            await self._group.wait_closed()
            await self._adapter.shutdown()
        self._group.stop()
