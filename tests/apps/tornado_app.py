"""A Tornado application: plain answers, streams in both directions, WebSockets, errors."""

from __future__ import annotations

import hashlib
from typing import Any

import tornado.web
import tornado.websocket
from tornado.iostream import StreamClosedError

from .shared import DeliberateError, block, journal


class Handler(tornado.web.RequestHandler):
    """An answer in text."""

    def prepare(self) -> None:
        self.set_header("Content-Type", "text/plain")


class Root(Handler):
    def get(self) -> None:
        self.set_header("X-Answer", "yes")
        self.write("hello")

    def head(self) -> None:
        self.get()


class Origin(Handler):
    """Where the request comes from, as Tornado has it."""

    def get(self) -> None:
        request = self.request
        self.write(
            {"remote_ip": request.remote_ip, "protocol": request.protocol, "host": self.request.host}
            | {"url": request.full_url()}
        )


class Stream(Handler):
    """`count` pieces of `size` bytes, each flushed."""

    async def get(self) -> None:
        size = int(self.get_argument("size", "10"))
        for number in range(int(self.get_argument("count", "3"))):
            self.write(block(size, number))
            await self.flush()


class Echo(Handler):
    """The body in one piece."""

    def post(self) -> None:
        self.write(self.request.body)


@tornado.web.stream_request_body
class Digest(Handler):
    """A body that is never held as a whole."""

    def initialize(self) -> None:
        self.sum = hashlib.sha256()
        self.length = 0

    def prepare(self) -> None:
        self.request.connection.set_max_body_size(1 << 30)  # type: ignore[union-attr]

    async def data_received(self, chunk: bytes) -> None:
        self.sum.update(chunk)
        self.length += len(chunk)

    def put(self) -> None:
        self.write(f"{self.length} {self.sum.hexdigest()}")


class Form(Handler):
    """Fields and files of a form, by Tornado's own parser."""

    def post(self) -> None:
        files = {name: len(items[0]["body"]) for name, items in self.request.files.items()}
        self.write({"name": self.get_body_argument("name"), "files": files})


class Boom(Handler):
    def get(self) -> None:
        raise DeliberateError("in a handler")


class Backend(Handler):
    """Some other connection was closed, not the client's."""

    async def get(self) -> None:
        self.write("begun")
        await self.flush()
        raise StreamClosedError(DeliberateError("a database has gone"))


class Gone(Handler):
    """Waits until the test lets go, and notes that the client has left."""

    def on_connection_close(self) -> None:
        journal.note(f"closed-{self.get_argument('key')}")

    async def get(self) -> None:
        journal.note(f"begun-{self.get_argument('key')}")
        await journal.wait_async(f"go-{self.get_argument('key')}")
        await self.flush()


class Journal(Handler):
    """See shared.py."""

    async def get(self, name: str) -> None:
        self.write({"notes": await journal.wait_async(name, int(self.get_argument("count", "1")))})

    def post(self, name: str) -> None:
        journal.note(name, self.request.body.decode())


class Socket(tornado.websocket.WebSocketHandler):
    """Says what it hears."""

    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        journal.note(f"websocket-{self.get_argument('key', '')}", str(self.close_code))


ROUTES: list[Any] = [
    ("/", Root),
    ("/origin", Origin),
    ("/stream", Stream),
    ("/echo", Echo),
    ("/digest", Digest),
    ("/form", Form),
    ("/boom", Boom),
    ("/backend", Backend),
    ("/gone", Gone),
    ("/journal/(.+)", Journal),
    ("/socket", Socket),
]

app = tornado.web.Application(ROUTES)
