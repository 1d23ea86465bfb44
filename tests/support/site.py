"""A running test application as one test sees it: an httpx client, raw clients, the journal."""

from __future__ import annotations

import uuid
from types import TracebackType
from typing import Self

import httpx

from tests.support.client import TIMEOUT, AsyncRawClient, Target
from tests.support.process import ServerProcess
from tests.support.wire import Response


class Site:
    """What a test needs to talk to a server. Use it with `async with`.

    `key` is of this test's own, for routes and journal entries. When the test is over, the
    server's output since its beginning is checked for tracebacks that nobody has planned.
    """

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.key = uuid.uuid4().hex
        self.since = server.mark()
        self.http = httpx.AsyncClient(
            base_url=server.url,
            timeout=TIMEOUT,
            trust_env=False,
            transport=httpx.AsyncHTTPTransport(uds=server.uds, verify=False),
        )

    async def __aenter__(self) -> Self:
        await self.http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.http.__aexit__(kind, error, traceback)
        if error is None:
            self.server.check(self.since)

    @property
    def target(self) -> Target:
        """Where raw clients connect to."""
        return self.server.target

    def raw(self, *, receive_buffer: int | None = None) -> AsyncRawClient:
        """Return a new raw client of this server, to be entered."""
        return AsyncRawClient(self.target, receive_buffer=receive_buffer)

    async def ask(self, data: bytes, method: str = "GET", version: str = "1.1") -> Response:
        """Send `data` on a connection of its own and return the response."""
        async with self.raw() as client:
            return await client.ask(data, method, version)

    async def note(self, name: str) -> None:
        """Add a note `NAME-KEY` to the application's journal."""
        response = await self.http.post(f"/journal/{name}-{self.key}")
        assert response.is_success, response

    async def notes(self, name: str, count: int = 1) -> list[str]:
        """Return the notes `NAME-KEY` once there are `count`; fewer, if that takes too long."""
        response = await self.http.get(f"/journal/{name}-{self.key}", params={"count": count})
        found: list[str] = response.json()
        return found

    async def wait(self, name: str, count: int = 1) -> list[str]:
        """Return the notes `NAME-KEY`, of which there must be `count` soon."""
        found = await self.notes(name, count)
        assert len(found) >= count, f"no {name} in time\n{self.server.output()}"
        return found

    def tracebacks(self) -> list[str]:
        """Return the tracebacks since the test's beginning."""
        return self.server.tracebacks(self.since)
