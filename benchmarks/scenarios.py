"""What is measured. One declaration each; adding a scenario is adding a declaration."""

import json
from dataclasses import dataclass

from benchmarks.servers import Interface, Options, Server

HELLO = b"Hello, World!"
CHUNK = b"0123456789abcdef" * 4096
CHUNKS = 16
UPLOAD = (bytes(range(97, 123)) * 394)[:10_240]
ITEM = {"number": 7, "q": "abc", "name": "benchmark", "sizes": [1, 2, 3]}


@dataclass(frozen=True, slots=True)
class Exchange:
    """The request that is sent over and over, and the only right answer to it."""

    answer: bytes
    path: str = "/"
    method: str = "GET"
    content: bytes = b""
    json: bool = False
    """Compare the answer as JSON: frameworks differ in spaces."""
    varied: bool = False
    """Each request has another query, and the fields of an API's client."""

    def accepts(self, body: bytes) -> bool:
        """Whether the body of a response is the right one."""
        if not self.json:
            return body == self.answer
        try:
            return bool(json.loads(body) == json.loads(self.answer))
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Scenario:
    """One comparison: the same application and the same work for every server that can do it."""

    name: str
    title: str
    interface: Interface
    app: str
    """`module:attribute` in the folder apps/."""
    exchange: Exchange
    measure: str = "load"
    """Name of a measure in measures.MEASURES: how it is measured, and which columns come out."""
    options: tuple[Options, ...] = ("quiet",)
    """With which options a server is started. More than one: each server takes part with each of them."""
    constant: bool = False
    """The answer is the constant one of the limit probe, which takes part as well."""
    websocket: bool = False
    """The work comes over WebSockets; the exchange only shows that the server is there."""
    default: bool = True
    """Runs unless scenarios are named."""

    def admits(self, server: Server) -> bool:
        """Whether the server can take part."""
        if (server.constant and not self.constant) or (self.websocket and not server.websocket):
            return False
        return all(server.can(self.interface, options) for options in self.options)


HELLO_EXCHANGE = Exchange(HELLO)
VARIED_EXCHANGE = Exchange(HELLO, varied=True)
ITEM_EXCHANGE = Exchange(json.dumps(ITEM).encode(), path="/items/7?q=abc", json=True)
ASGI_HELLO = "asgi_apps:hello"
WSGI_HELLO = "wsgi_apps:hello"

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("asgi-get", "ASGI: GET, 13 bytes", "asgi", ASGI_HELLO, HELLO_EXCHANGE, constant=True),
    Scenario(
        "asgi-post",
        "ASGI: POST of 10 KB, echoed",
        "asgi",
        "asgi_apps:echo",
        Exchange(UPLOAD, "/", "POST", UPLOAD),
    ),
    Scenario(
        "asgi-stream", "ASGI: 16 x 64 KB, streamed", "asgi", "asgi_apps:stream", Exchange(CHUNK * CHUNKS)
    ),
    Scenario("fastapi-json", "FastAPI: JSON", "asgi", "fastapi_app:app", ITEM_EXCHANGE),
    Scenario("wsgi-get", "WSGI: GET, 13 bytes", "wsgi", WSGI_HELLO, HELLO_EXCHANGE, constant=True),
    Scenario("asgi-varied", "ASGI: GET with other queries, six fields", "asgi", ASGI_HELLO, VARIED_EXCHANGE),
    Scenario("wsgi-varied", "WSGI: GET with other queries, six fields", "wsgi", WSGI_HELLO, VARIED_EXCHANGE),
    Scenario("flask-json", "Flask: JSON", "wsgi", "flask_app:app", ITEM_EXCHANGE),
    Scenario(
        "access-log",
        "ASGI: GET, 13 bytes, without and with an access log in a file",
        "asgi",
        ASGI_HELLO,
        HELLO_EXCHANGE,
        options=("quiet", "access-log"),
    ),
    Scenario(
        "asgi-idle",
        "ASGI: idle keep-alive connections",
        "asgi",
        ASGI_HELLO,
        HELLO_EXCHANGE,
        measure="idle",
        options=("idle",),
    ),
    Scenario(
        "wsgi-idle",
        "WSGI: idle keep-alive connections",
        "wsgi",
        WSGI_HELLO,
        HELLO_EXCHANGE,
        measure="idle",
        options=("idle",),
    ),
    Scenario(
        "websocket-echo",
        "WebSockets: 32 bytes, echoed",
        "asgi",
        "asgi_apps:websocket",
        HELLO_EXCHANGE,
        measure="websocket-echo",
        websocket=True,
    ),
    Scenario(
        "websocket-broadcast",
        "WebSockets: 32 bytes to 100 clients",
        "asgi",
        "asgi_apps:websocket",
        HELLO_EXCHANGE,
        measure="websocket-broadcast",
        websocket=True,
    ),
    Scenario(
        "websocket-idle",
        "WebSockets that do nothing",
        "asgi",
        "asgi_apps:websocket",
        HELLO_EXCHANGE,
        measure="websocket-idle",
        options=("idle",),
        websocket=True,
    ),
    Scenario(
        "asgi-start",
        "ASGI: start-up, and memory at rest",
        "asgi",
        ASGI_HELLO,
        HELLO_EXCHANGE,
        measure="start",
    ),
    Scenario(
        "wsgi-start",
        "WSGI: start-up, and memory at rest",
        "wsgi",
        WSGI_HELLO,
        HELLO_EXCHANGE,
        measure="start",
    ),
)
