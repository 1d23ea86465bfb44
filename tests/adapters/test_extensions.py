"""ASGI extensions: what is announced works, and only that is announced."""

from __future__ import annotations

from typing import Any

import pytest

from aserve.protocols.errors import ResponseError
from tests.support.client import request
from tests.support.inprocess import Message, Receive, Scope, Send, serving
from tests.support.loops import every_loop
from tests.support.messages import body, hints, length, sending, start, trailers
from tests.support.wire import IncompleteResponseError

TE = [("TE", "trailers"), ("Connection", "TE")]
FILES = {"http.response.pathsend", "http.response.zerocopysend"}
# -- the scope --------------------------------------------------------------------------------


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize(
    ("version", "headers", "expected"),
    [
        ("1.1", [], FILES | {"http.response.early_hint"}),
        ("1.1", [("TE", "gzip")], FILES | {"http.response.early_hint"}),
        ("1.1", [("Connection", "close")], FILES | {"http.response.early_hint"}),
        ("1.1", TE, FILES | {"http.response.early_hint", "http.response.trailers"}),
        ("1.1", [("te", "Trailers")], FILES | {"http.response.early_hint", "http.response.trailers"}),
        (
            "1.1",
            [("TE", "gzip;q=0.5, trailers")],
            FILES | {"http.response.early_hint", "http.response.trailers"},
        ),
        ("1.0", [], FILES),
        ("1.0", TE, FILES),
    ],
)
async def test_announced(http: str, version: str, headers: list[tuple[str, str]], expected: set[str]) -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["extensions"])
        await send(start())
        await send(body())

    async with serving(app, http=http) as served, served.client() as client:
        await client.ask(request(headers=headers, version=version), version=version)
    assert set(seen[0]) == expected
    assert all(value == {} for value in seen[0].values())


async def test_announced_to_head() -> None:
    """A client that takes trailers gets none behind a response without a body."""
    seen: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["extensions"])
        await send(start())
        await send(body())

    async with serving(app) as served, served.client() as client:
        await client.ask(request("HEAD", headers=TE), "HEAD")
    assert set(seen[0]) == FILES | {"http.response.early_hint"}


async def test_a_changed_scope_is_the_requests_own() -> None:
    """What one request's middleware does is not seen by the next one on the connection."""
    seen: list[set[str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(set(scope["extensions"]))
        scope["extensions"]["mine"] = {}
        del scope["extensions"]["http.response.pathsend"]
        await send(start())
        await send(body())

    async with serving(app) as served, served.client() as client:
        for headers in ([], [], TE, TE):
            await client.ask(request(headers=headers))
    assert seen[0] == seen[1] == seen[2] - {"http.response.trailers"}
    assert seen[2] == seen[3]


@pytest.mark.parametrize("kind", ["http.response.debug", "http.response.push", "websocket.send", "x"])
async def test_other_messages_are_refused(kind: str) -> None:
    async with serving(sending(start(), {"type": kind})) as served, served.client() as client:
        assert (await client.ask(request())).status == 500
        error = await served.error()
        assert isinstance(error, ResponseError)
        assert kind in str(error)


# -- trailers ---------------------------------------------------------------------------------

WITH_TRAILERS = start((b"trailer", b"x-sum, x-more"), trailers=True)
SUM = (b"x-sum", b"17")


@pytest.mark.parametrize("bodies", [[body(b"abc")], [body(b"a", more=True), body(b"bc")]])
async def test_trailers(bodies: list[Message]) -> None:
    """RFC 9112 section 7.1.2; the connection goes on."""
    app = sending(WITH_TRAILERS, *bodies, trailers(SUM, more=True), trailers((b"X-More", b"a b")))
    async with serving(app) as served, served.client() as client:
        for _ in range(2):
            response = await client.ask(request(headers=TE))
            assert (response.framing, response.body) == ("chunked", b"abc")
            assert response.trailers == [(b"x-sum", b"17"), (b"x-more", b"a b")]
            assert response.header("trailer") == "x-sum, x-more"
    assert served.errors == []


async def test_no_trailer_fields() -> None:
    async with serving(sending(WITH_TRAILERS, body(b"abc"), trailers())) as served, served.client() as client:
        response = await client.ask(request(headers=TE))
        assert (response.body, response.trailers) == (b"abc", [])
        assert (await client.ask(request(headers=TE))).body == b"abc"


@pytest.mark.parametrize(
    ("method", "version", "headers", "fields"),
    [
        ("GET", "1.1", [], []),
        ("GET", "1.1", [("TE", "gzip")], []),
        ("GET", "1.0", [*TE, ("Connection", "keep-alive")], []),
        ("HEAD", "1.1", TE, []),
        ("GET", "1.1", TE, [length(3)]),
    ],
)
async def test_trailers_are_left_out(
    method: str, version: str, headers: list[tuple[str, str]], fields: list[tuple[bytes, bytes]]
) -> None:
    """RFC 9110 section 6.5.1: and the response ends as if there had been none."""
    app = sending({**WITH_TRAILERS, "headers": fields}, body(b"abc"), trailers(SUM))
    async with serving(app) as served, served.client() as client:
        for _ in range(2):
            response = await client.ask(request(method, headers=headers, version=version), method, version)
            assert response.framing == ("none" if method == "HEAD" else "length")
            assert response.trailers == []
        assert served.errors == []


FORBIDDEN = [
    b"Content-Length",
    b"transfer-encoding",
    b"Host",
    b"trailer",
    b"connection",
    b"te",
    b"content-type",
    b"Content-Encoding",
    b"content-range",
    b"content-security-policy",
    b"set-cookie",
    b"authorization",
    b"www-authenticate",
    b"cache-control",
    b"location",
    b"date",
    b"if-match",
]


@pytest.mark.parametrize(
    "field",
    [
        *((name, b"1") for name in FORBIDDEN),
        (b"x y", b"1"),
        (b"", b"1"),
        ("x", b"1"),
        (b"x", b"1\r\nset-cookie: a=b"),
        (b"x", b"a\nb"),
        (b"x", b"a\0b"),
        (b"x", b"a\x1bb"),
        (b"x", "1"),
    ],
)
async def test_bad_trailers(field: Any) -> None:
    """RFC 9110 section 6.5.1: an error for the application; the client sees a broken response."""
    app = sending(WITH_TRAILERS, body(b"abc"), trailers(field))
    async with serving(app) as served, served.client() as client:
        await client.send(request(headers=TE))
        with pytest.raises(IncompleteResponseError):
            await client.read()
        error = await served.error()
        assert isinstance(error, ResponseError)


@pytest.mark.parametrize("name", [b"content-digest", b"ETag", b"server-timing", b"authentication-info"])
async def test_allowed_trailers(name: bytes) -> None:
    """Fields whose definitions allow it (RFC 9530, RFC 9110 section 8.8.3, RFC 7615)."""
    app = sending(WITH_TRAILERS, body(b"x"), trailers((name, b"v")))
    async with serving(app) as served, served.client() as client:
        assert (await client.ask(request(headers=TE))).trailers == [(name.lower(), b"v")]


@pytest.mark.parametrize("when", ["before the body", "within the body", "not at all"])
async def test_misplaced_trailers(when: str) -> None:
    messages = {
        "before the body": [trailers(SUM), body(b"abc")],
        "within the body": [body(b"abc", more=True), trailers(SUM)],
        "not at all": [body(b"abc")],
    }[when]
    async with serving(sending(WITH_TRAILERS, *messages)) as served, served.client() as client:
        await client.send(request(headers=TE))
        if when == "before the body":
            assert (await client.read()).status == 500
        else:
            with pytest.raises(IncompleteResponseError):
                await client.read()
        errors = await served.left(0)
        assert [type(error) for error in errors] == ([] if when == "not at all" else [ResponseError])


async def test_body_behind_trailers_is_refused() -> None:
    app = sending(WITH_TRAILERS, body(b"abc"), body(b"def"))
    async with serving(app) as served, served.client() as client:
        await client.send(request(headers=TE))
        with pytest.raises(IncompleteResponseError) as caught:
            await client.read()
        assert caught.value.partial is not None
        assert caught.value.partial.body == b"abc"


# -- early hints ------------------------------------------------------------------------------

STYLE = b"</style.css>; rel=preload; as=style"
SCRIPT = b"</script.js>; rel=preload; as=script"


@pytest.mark.parametrize("started", [False, True], ids=["before the start", "behind the start"])
async def test_early_hints(started: bool) -> None:
    """RFC 8297: before the response itself, as often as there is something to say."""
    messages = [hints(STYLE, SCRIPT), hints(SCRIPT)]
    order = [start(), *messages] if started else [*messages, start()]
    async with serving(sending(*order, body(b"abc"))) as served, served.client() as client:
        for _ in range(2):
            response = await client.ask(request())
            assert (response.status, response.body) == (200, b"abc")
            assert [each.status for each in response.interim] == [103, 103]
            assert response.interim[0].all("link") == [STYLE.decode(), SCRIPT.decode()]
            assert response.interim[0].reason == b"Early Hints"
            assert response.interim[1].headers == [(b"link", SCRIPT)]


async def test_early_hints_arrive_early() -> None:
    """They are of no use if they wait for the response."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(hints(STYLE))
        await receive()
        await send(start())
        await send(body(b"abc"))

    async with serving(app) as served, served.client() as client:
        upload = request("POST", body=b"x")
        await client.send(upload[:-1])
        assert (await client.read_head()).status == 103
        await client.send(upload[-1:])
        assert (await client.read()).body == b"abc"


async def test_early_hints_in_the_middle_of_a_response() -> None:
    """The extension allows the message there, HTTP does not allow the interim response."""
    app = sending(start(), body(b"a", more=True), hints(STYLE), body(b"b"), hints(STYLE))
    async with serving(app) as served, served.client() as client:
        response = await client.ask(request())
        assert (response.body, response.interim) == (b"ab", [])
        await served.left(0)
        assert served.errors == []


async def test_no_early_hints_for_http_1_0() -> None:
    """RFC 9110 section 15.2: such a client would take it for the response."""
    async with serving(sending(hints(STYLE), start(), body(b"abc"))) as served, served.client() as client:
        response = await client.ask(request(version="1.0"), version="1.0")
        assert (response.status, response.body, response.interim) == (200, b"abc", [])
        await client.read_until_closed()


@pytest.mark.parametrize("link", [b"a\r\nset-cookie: b=c", b"a\nb", b"a\0b", b"a\x7f", "text", 5])
async def test_bad_hint(link: Any) -> None:
    """Nothing has been sent, so there is a clean 500."""
    async with serving(sending(hints(STYLE, link), start(), body())) as served, served.client() as client:
        response = await client.ask(request())
        assert (response.status, response.interim) == (500, [])
        error = await served.error()
        assert isinstance(error, ResponseError)


async def test_early_hint_and_100_continue() -> None:
    """Two interim responses of different kinds (RFC 9110 section 10.1.1)."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(hints(STYLE))
        message = await receive()
        await send(start())
        await send(body(message["body"]))

    async with serving(app) as served, served.client() as client:
        upload = request("POST", headers=[("Expect", "100-continue")], body=b"abc")
        await client.send(upload[:-3])
        assert [(await client.read_head()).status for _ in range(2)] == [103, 100]
        await client.send(upload[-3:])
        assert (await client.read()).body == b"abc"


@every_loop
async def test_hints_without_end_to_a_client_that_does_not_read() -> None:
    """The application has to wait, as with a body."""
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        while True:
            await send(hints(b"x" * 60_000))
            sent += 60_000

    async with serving(app) as served:
        async with served.client(receive_buffer=1 << 16) as client:
            await client.send(request())
            await client.read_head()
            client.reset()
            client.incoming.data.clear()
        error = await served.error()
        assert isinstance(error, OSError)
    assert sent < 12 << 20
