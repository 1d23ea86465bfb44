"""A response that comes before the request's end: the client sees all of it, and no reset.

A client may well send everything before it reads a byte. If the server closed the connection
meanwhile, the kernel would answer what still comes with a reset, and the response would be lost
(RFC 9112 §9.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

from tests.support import report
from tests.support.badclients import Interface
from tests.support.client import RawClient, request
from tests.support.pool import FLAVOURS, Flavour, ServerPool
from tests.support.process import ServerProcess
from tests.support.wire import Response

LIMITS = (
    "--limit-request-body",
    "4000000",
    "--header-timeout",
    "2",
    "--body-timeout",
    "2",
    "--keep-alive",
    "1",
)
APPS: dict[Interface, str] = {"asgi": "asgi_heavy:app", "wsgi": "wsgi_heavy:application"}

CHUNK = b"%x\r\n" % 50_000 + bytes(50_000) + b"\r\n"
CHUNKED = ("Transfer-Encoding", "chunked")


@pytest.fixture(
    params=[(interface, flavour) for interface in APPS for flavour in FLAVOURS],
    ids=lambda stack: f"{stack[0]}-{stack[1]}",
)
def server(request: pytest.FixtureRequest, pool: ServerPool) -> ServerProcess:
    """Each application on each parser and each loop."""
    interface: Interface
    flavour: Flavour
    interface, flavour = request.param
    found = pool.get(APPS[interface], flavour, *LIMITS)
    report.watch(request, found)
    return found


@dataclass(frozen=True, slots=True)
class Early:
    """A request that is answered early, and with what."""

    name: str
    path: str
    status: int
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.name

    def head(self, *framing: tuple[str, str]) -> bytes:
        """The request's head."""
        return request("POST", self.path, [*self.headers, *framing])


UNREAD = Early("unread", "/unread", 401)
UNREAD_CLOSE = Early("unread-close", "/unread", 401, (("Connection", "close"),))
UNREAD_LATE = Early("unread-late", "/late-unread", 401)
REFUSED = Early("refused", "/swallow/a", 400, (("Bad Header", "x"),))
EXPECTING = Early("expecting", "/swallow/a", 417, (("Expect", "the unexpected"),))


def check_end(client: RawClient, response: Response, status: int) -> None:
    """The connection goes on, or it has been said that it ends; it does so without a reset."""
    assert response.status == status
    if "close" in response.connection:
        assert client.read_until_closed() == b""
    else:
        assert client.ask(request()).text == "hello"


@pytest.mark.parametrize(
    ("early", "size"),
    [
        *product([UNREAD_CLOSE, REFUSED, EXPECTING], [100, 70_000, 3_500_000]),
        *product([UNREAD, UNREAD_LATE], [100, 70_000]),
        (UNREAD, 3_500_000),
        (UNREAD_LATE, 3_500_000),
    ],
    ids=str,
)
def test_an_upload_that_is_answered_early(server: ServerProcess, early: Early, size: int) -> None:
    """All of it is sent before the first byte of the response is read."""
    with RawClient(server.target) as client:
        client.send(early.head(("Content-Length", str(size))) + bytes(size))
        check_end(client, client.read("POST"), early.status)


@pytest.mark.parametrize("size", [70_000, 3_500_000])
@pytest.mark.parametrize("early", [UNREAD_CLOSE, REFUSED], ids=str)
def test_a_chunked_upload_that_is_answered_early(server: ServerProcess, early: Early, size: int) -> None:
    with RawClient(server.target) as client:
        client.send(early.head(CHUNKED))
        for _ in range(size // len(CHUNK)):
            client.send(CHUNK)
        client.send(b"0\r\n\r\n")
        check_end(client, client.read("POST"), early.status)


@pytest.mark.parametrize("size", [5_000_000, 50_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_that_is_too_large(server: ServerProcess, framing: str, size: int) -> None:
    """413, found in the head or on the way, with nearly everything still to come."""
    with RawClient(server.target) as client:
        if framing == "length":
            client.send(request("POST", "/swallow/a", [("Content-Length", str(size))]))
            client.send(bytes(size))
        else:
            client.send(request("POST", "/swallow/a", [CHUNKED]))
            for _ in range(size // len(CHUNK)):
                client.send(CHUNK)
            client.send(b"0\r\n\r\n")
        response = client.read("POST")
        assert "close" in response.connection
        check_end(client, response, 413)


def test_a_large_response_to_an_upload_that_nobody_reads(server: ServerProcess) -> None:
    """Both directions are full, and each side waits for the other: the server gives way."""
    with RawClient(server.target, receive_buffer=65_536) as client:
        client.send(request("POST", "/whole?size=10000000", body=bytes(1_500_000)))
        response = client.read("POST")
        assert len(response.body) == 10_000_000
        check_end(client, response, 200)


def test_a_head_that_is_too_large(server: ServerProcess) -> None:
    with RawClient(server.target) as client:
        client.send(request(headers=[("X-Large", "x" * 10_000)] * 300))
        assert client.read().status == 431
        assert client.read_until_closed() == b""


def test_requests_behind_a_refused_one(server: ServerProcess) -> None:
    """They are dropped, and take nothing away from the response."""
    with RawClient(server.target) as client:
        client.send(request() + request(headers=[("Bad Header", "x")]) + request() * 50_000)
        assert client.read().text == "hello"
        assert client.read().status == 400
        assert client.read_until_closed() == b""
