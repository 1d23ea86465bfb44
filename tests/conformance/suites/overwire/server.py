"""The server, in a thread: one event loop for all the applications that a suite makes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, Literal, TypeVar

import aserve
from aserve.loops import LoopName, new_loop

from .client import Connection
from .passage import TIMEOUT, Passage, Passages

T = TypeVar("T")

KEEP_ALIVE = 60.0
"""Seconds: longer than any test, so that a connection in the pool is open."""


class ServerThread:
    """The thread and its loop. parser: the option `http`. loop_name: the option `loop`."""

    def __init__(self, parser: Literal["httptools", "h11"], loop_name: LoopName) -> None:
        self.parser: Final = parser
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

    interface: "asgi" or "wsgi". lifespan: "on" or "off". root_path: the option of that name.
    """

    def __init__(
        self,
        thread: ServerThread,
        app: Any,
        interface: Literal["asgi", "wsgi"],
        *,
        lifespan: Literal["on", "off"] = "off",
        root_path: str = "",
    ) -> None:
        self.passages = Passages()
        self._thread = thread
        # With options for what the suites do not expect of a server: fields of its own, and protection of
        # applications that have no way to tell X_Name from X-Name.
        self._server = aserve.Server(
            self.passages.wsgi(app) if interface == "wsgi" else self.passages.asgi(app),
            bind="127.0.0.1:0",
            worker_class=interface,
            threads=4,
            lifespan=lifespan,
            root_path=root_path,
            http=thread.parser,
            keep_alive=KEEP_ALIVE,
            no_server_header=True,
            no_date_header=True,
            header_map="dangerous",
        )
        self._idle: list[Connection] = []
        self._connections: list[Connection] = []  # all, as tests leave responses unread

    @property
    def state(self) -> dict[str, Any]:
        """What the application has put into the state of its lifespan."""
        return self._server.state

    def start(self) -> None:
        """Serve; raises BootError."""
        self._thread.call(self._server.start())

    def stop(self) -> None:
        """End all requests, then the application's lifespan; raises what that raises."""
        for connection in self._connections:
            connection.close()
        self._thread.call(self._server.stop(at_once=True))
        if self.passages.lifespan_error is not None:
            raise self.passages.lifespan_error

    def connect(self, passage: Passage, *, fresh: bool = False) -> Connection:
        """A connection for one request; an open one that has no other to answer, unless `fresh`."""
        if self._idle and not fresh:
            connection = self._idle.pop()
        else:
            connection = Connection(("127.0.0.1", self._server.port))
            self._connections.append(connection)
        self.passages[connection.name] = passage
        return connection

    def give_back(self, connection: Connection) -> None:
        """The response is complete: the connection may be used again, if both sides say so."""
        if connection.reusable():
            self._idle.append(connection)
        else:
            connection.close()
