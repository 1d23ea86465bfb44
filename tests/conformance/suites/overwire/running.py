"""The servers that run at present."""

from __future__ import annotations

from typing import Any, Literal

from .server import ServerThread, WireServer


class Running:
    """One server for each test client, or application, that a test uses; all of them end with the test."""

    def __init__(self, thread: ServerThread) -> None:
        self.thread = thread
        self._servers: dict[int, tuple[object, WireServer]] = {}

    def server(
        self, owner: object, app: Any, interface: Literal["asgi", "wsgi"], *, root_path: str = ""
    ) -> WireServer:
        """The server of `owner`, which is started if there is none."""
        if id(owner) not in self._servers:
            server = WireServer(self.thread, app, interface, root_path=root_path)
            server.start()
            self._servers[id(owner)] = owner, server  # kept, so that nobody else gets its id
        return self._servers[id(owner)][1]

    def stop(self) -> None:
        """End them."""
        servers, self._servers = self._servers, {}
        for _, server in servers.values():
            server.stop()
