"""The limit of what a Python server on uvloop and httptools can reach: limit_probe.py PORT.

Every request is parsed, and a constant is written. There is no scope, no task, no application, no check, no
deadline and no flow control, so no complete server on the same parts can be faster. How far a server is
away from it is the price of what it does on top.
"""

import asyncio
import importlib
import sys
from collections.abc import Callable
from typing import Any, cast

RESPONSE = (
    b"HTTP/1.1 200 OK\r\nserver: limit\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"content-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, World!"
)


class ConstantAnswer(asyncio.Protocol):
    """Answers every complete request with the same bytes."""

    __slots__ = ("feed", "write")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make a parser for this connection; it calls back into this object."""
        self.write: Callable[[bytes], None] = cast(asyncio.WriteTransport, transport).write
        parser: Any = importlib.import_module("httptools").HttpRequestParser(self)
        self.feed: Callable[[bytes], None] = parser.feed_data

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self.feed(data)

    # The parser calls whichever callbacks exist. These are the ones that a server cannot do without.
    def on_url(self, url: bytes) -> None:
        """Take the request target."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field."""

    def on_message_complete(self) -> None:
        """Answer."""
        self.write(RESPONSE)


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until the process is ended."""
    server = await asyncio.get_running_loop().create_server(ConstantAnswer, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    importlib.import_module("uvloop").run(serve(int(sys.argv[1])))
