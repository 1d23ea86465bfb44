"""`wsgi.early_hints`, as gunicorn has it: 103 responses (RFC 8297) before the response itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse

import pytest

from tests.support.client import request
from tests.support.inprocess_wsgi import Environ, serving_wsgi

LINK = ("Link", "</style.css>; rel=preload; as=style")


async def test_hints_come_first() -> None:
    """As many as there are calls, in bytes or strings; one with nothing in it is left out."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hint = environ["wsgi.early_hints"]
        hint([LINK, ("Link", "</app.js>; rel=preload")])
        hint([])
        hint(((b"Link", b"</font>"),))
        start_response("200 OK", [])
        hint([("X-After", "start_response, before the head has left")])
        return [b"hinted"]

    async with serving_wsgi(app) as served, served.client() as client:
        for _ in range(2):
            response = await client.ask(request())
            assert response.text == "hinted"
            assert [interim.status for interim in response.interim] == [103, 103, 103]
            first, second, third = response.interim
            assert first.all("link") == [LINK[1], "</app.js>; rel=preload"]
            assert second.all("link") == ["</font>"]
            assert third.all("x-after") == ["start_response, before the head has left"]


async def test_a_hint_does_not_wait_for_the_response() -> None:
    """It is there while the application is still at work: that is all it is for."""
    go = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([LINK])
        go.wait(10)
        start_response("200 OK", [])
        return [b"x"]

    async with serving_wsgi(app) as served, served.client() as client:
        await client.send(request())
        assert (await client.read_head()).status == 103
        go.set()
        assert (await client.read()).status == 200


async def test_too_late() -> None:
    """Behind the head they are ignored: HTTP has no place for them."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one, "
        environ["wsgi.early_hints"]([LINK])
        yield b"two"

    async with serving_wsgi(app) as served:
        response = await served.ask(request())
    assert (response.text, response.interim) == ("one, two", [])


async def test_not_for_http_1_0() -> None:
    """Such a client would take the hint for the response (RFC 9110 §15.2)."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.early_hints"]([LINK])
        start_response("200 OK", [])
        return [b"plain"]

    async with serving_wsgi(app) as served:
        response = await served.ask(request(version="1.0"), version="1.0")
    assert response.text == "plain"


@pytest.mark.parametrize(
    "fields",
    [
        [("Link", "a\r\nSet-Cookie: evil=1")],
        [("Li nk", "a")],
        [("Transfer-Encoding", "chunked")],
        [("Content-Length", "5")],
        [("Link", "\u0151")],
        [("Link", 1)],
        [("Link",)],
        ["ab", "c"],
        1,
    ],
)
async def test_what_is_no_hint(fields: Any) -> None:
    """It raises where the application is, and nothing of it is sent."""
    raised: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            environ["wsgi.early_hints"](fields)
        except Exception as error:
            raised.append(type(error).__name__)
        start_response("200 OK", [])
        return [b"x"]

    async with serving_wsgi(app) as served:
        response = await served.ask(request())
    assert raised == ["ResponseError"]
    assert response.interim == []


async def test_to_a_client_that_has_gone() -> None:
    """Nobody is there to be told; the application finds out when it answers."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read()
        environ["wsgi.early_hints"]([LINK])
        start_response("200 OK", [])
        return [b"x"]

    async with serving_wsgi(app) as served:
        async with served.client() as client:
            await client.send(request("POST", "/", body=b"x"))
            client.reset()
        await served.idle()
