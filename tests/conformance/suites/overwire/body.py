"""A response's body on its way to a test client."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import h11

from .client import Connection
from .passage import Passage
from .server import WireServer


class Body:
    """The body, as it comes, and then what the application has raised, if the client `raises` that.

    on_end: called when the response has been read, or is not wanted any more.
    """

    def __init__(
        self,
        server: WireServer,
        connection: Connection,
        passage: Passage,
        *,
        raises: bool = True,
        on_end: Callable[[Body], None] | None = None,
    ) -> None:
        self._server = server
        self._connection = connection
        self._passage = passage
        self._raises = raises
        self._on_end = on_end
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        if not self._open:
            return
        broken: Exception | None = None
        try:
            yield from self._connection.body()
        except h11.RemoteProtocolError as error:
            broken = error
        self._end(broken, complete=broken is None)

    def close(self) -> None:
        """The client wants no more of it."""
        if self._open:
            self._connection.close()
            self._end(None, complete=False)

    def _end(self, broken: Exception | None, *, complete: bool) -> None:
        self._open = False
        if self._on_end is not None:
            self._on_end(self)
        error = self._passage.wait()
        if complete:
            self._server.give_back(self._connection)
        else:
            self._connection.close()
        if error is not None and self._raises:
            raise error
        if broken is not None and error is None:
            raise broken
