"""A case of the other direction: what an application answers, and what has to come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support.wire import Framing

Fields = tuple[tuple[bytes, bytes], ...]
End = Literal["goes on", "closes", "breaks off"]


@dataclass(frozen=True)
class Answer:
    """An answer, and what the client has to read.

    section, what: as in a `Case`.
    status, headers, pieces: the application's; each piece of the body is written for itself.
    method, version, connection: the request's; connection is its Connection header, b"" for none.

    comes: the status that comes. framing, body: how the body comes, and what of it; a framing of
    None leaves both open. length: the content-length. named: the options of the Connection header.
    fields: all other headers but Date and Server.
    end: what becomes of the connection; "breaks off" is in the middle of the body.
    options: of `ConnectionOptions`.
    """

    section: str
    what: str
    status: Any = 200
    headers: Any = ()
    pieces: tuple[bytes, ...] = (b"abc",)
    method: str = "GET"
    version: str = "1.1"
    connection: bytes = b""
    comes: int = 200
    framing: Framing | None = "length"
    body: bytes = b"abc"
    length: str | None = "3"
    named: frozenset[str] = frozenset()
    fields: Fields = ()
    end: End = "goes on"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.section}: {self.what}"

    def request(self) -> bytes:
        """The request that is answered."""
        target = "b.example:443" if self.method == "CONNECT" else "/"
        head = f"{self.method} {target} HTTP/{self.version}\r\nHost: a\r\n".encode()
        return head + (b"Connection: %b\r\n" % self.connection if self.connection else b"") + b"\r\n"
