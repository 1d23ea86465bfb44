"""The WSGI interface as an application sees it (PEP 3333), also through wsgiref's validator."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.apps.shared import block
from tests.support.client import chunked, request
from tests.support.pool import ALL_FLAVOURS, GREENLETS, Flavour, ServerPool
from tests.support.site import Site
from tests.support.wire import IncompleteResponseError

pytestmark = pytest.mark.parametrize("flavour", [*ALL_FLAVOURS, *GREENLETS], ids=str, indirect=True)

LINES = b"first line\n" + b"second, longer line\n" * 3 + b"\n" + b"x" * 3_000 + b"\nno newline"


@pytest.fixture(params=["application wsgi", "validated wsgi", "validated sync"])
async def site(request: pytest.FixtureRequest, pool: ServerPool, flavour: Flavour) -> AsyncIterator[Site]:
    """The application as it is, and inside wsgiref.validate.validator; in threads, and inline."""
    name, worker_class = request.param.split()
    # A function that takes *args does not tell its interface.
    async with Site(pool.get(f"wsgi_app:{name}", flavour, "-k", worker_class)) as opened:
        yield opened


async def environ_of(site: Site, data: bytes) -> dict[str, Any]:
    environ: dict[str, Any] = (await site.ask(data)).json()
    return environ


async def test_environ(wsgi: Site) -> None:
    data = (
        b"POST /environ/a%20b%C3%BC?q=%20x&y=1 HTTP/1.1\r\n"
        b"Host: example.org\r\nContent-Type: text/x-test\r\nContent-Length: 3\r\n"
        b"X-Two: first\r\nx-two: second\r\nCookie: a=1\r\nCookie: b=2\r\n\r\nabc"
    )
    environ = await environ_of(wsgi, data)
    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/environ/a b\xc3\xbc"  # bytes as latin-1, PEP 3333
    assert environ["QUERY_STRING"] == "q=%20x&y=1"
    assert environ["CONTENT_TYPE"] == "text/x-test"
    assert environ["CONTENT_LENGTH"] == "3"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["SERVER_NAME"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == str(wsgi.server.port)
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["HTTP_HOST"] == "example.org"
    assert environ["HTTP_X_TWO"].replace(" ", "") == "first,second"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ
    assert environ["wsgi.version"] == [1, 0]
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.multiprocess"] is False
    assert environ["wsgi.run_once"] is False


async def test_environ_of_http_1_0(wsgi: Site) -> None:
    response = await wsgi.ask(b"GET /environ HTTP/1.0\r\n\r\n", version="1.0")
    environ = response.json()
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert "HTTP_HOST" not in environ
    assert "CONTENT_LENGTH" not in environ


async def test_headers_cannot_pose_as_others(wsgi: Site) -> None:
    """An underscore must not get a client's header into another one's place."""
    data = request(target="/environ", headers=[("X-User", "real"), ("X_User", "forged")])
    async with wsgi.raw() as client:
        response = await client.ask(data)
    if response.status == 200:
        assert response.json()["HTTP_X_USER"] == "real"
    else:
        assert response.status == 400


async def test_environ_is_not_shared_between_requests(wsgi: Site) -> None:
    async with wsgi.raw() as client:
        for number in range(5):
            sent = request("PUT", f"/environ/{number}?n={number}", [("X-N", str(number))], b"body")
            environ = (await client.ask(sent)).json()
            assert environ["PATH_INFO"] == f"/environ/{number}"
            assert environ["HTTP_X_N"] == str(number)
            plain = (await client.ask(request(target="/environ"))).json()
            assert "HTTP_X_N" not in plain
            assert plain["QUERY_STRING"] == ""
            assert plain.get("CONTENT_LENGTH", "") in ("", "0")


@pytest.mark.parametrize(
    ("way", "parts"),
    [
        ("all", 1),
        ("minus", 1),
        ("much", 1),
        ("size", None),
        ("line", 7),
        ("short-line", None),
        ("iter", 7),
        ("lines", 7),
        ("mixed", None),
    ],
)
@pytest.mark.parametrize("coding", ["length", "chunked"])
@pytest.mark.parametrize("factor", [1, 100], ids=["small", "large"])
async def test_reading_the_body(wsgi: Site, way: str, parts: int | None, coding: str, factor: int) -> None:
    """Each method, with each framing, of a body in memory and of one that streams."""
    body = (LINES + b"\n") * (factor - 1) + LINES
    if coding == "length":
        data = request("POST", f"/read/{way}", body=body)
    else:
        step = 997
        pieces = (body[start : start + step] for start in range(0, len(body), step))
        data = request("POST", f"/read/{way}", [("Transfer-Encoding", "chunked")])
        data += chunked(*pieces)
    async with wsgi.raw() as client:
        result = (await client.ask(data)).json()
        assert result["size"] == len(body)
        assert result["sha256"] == hashlib.sha256(body).hexdigest()
        if parts is not None:
            assert result["parts"] == (1 if parts == 1 else parts * factor)
        assert (await client.ask(request())).text == "hello"


@pytest.mark.parametrize("way", ["all", "size", "line", "iter", "lines"])
async def test_reading_without_a_body(wsgi: Site, way: str) -> None:
    """The end of the input at once, rather than a wait for bytes that never come."""
    response = await wsgi.ask(request(target=f"/read/{way}"))
    assert response.json()["size"] == 0


async def test_plain_requests_pass_the_validator(site: Site) -> None:
    """The rules of PEP 3333 that wsgiref.validate knows: a violation raises in the application."""
    async with site.raw() as client:
        assert (await client.ask(request())).text == "hello"
        assert (await client.ask(request(target="/length"))).text == "inferred"
        assert (await client.ask(request("HEAD", "/length"), "HEAD")).status == 200
        assert (await client.ask(request(target="/status/204"))).status == 204
        posted = request("POST", "/read/size", [("Content-Type", "text/plain")], b"x" * 5_000)
        assert (await client.ask(posted)).json()["size"] == 5_000
        large = request("POST", "/read/size", body=b"x" * 500_000)
        assert (await client.ask(large)).json()["size"] == 500_000
        streamed = await client.ask(request(target="/stream?count=10&size=1000"))
        assert len(streamed.body) == 10_000
        noted = await client.ask(request(target=f"/noted/{site.key}"))
        assert noted.text == "onetwo"
        assert (await client.ask(request(target="/nowhere?"))).status == 404
    await site.wait("closed")
    assert site.server.lines("stderr", site.since) == []


async def test_write(site: Site) -> None:
    """What write() gets comes first, then what is returned."""
    async with site.raw() as client:
        response = await client.ask(request(target="/write"))
        assert response.text == "written, written again, returned"
        assert (await client.ask(request())).text == "hello"


async def test_write_does_not_wait_for_the_end(wsgi: Site) -> None:
    async with wsgi.raw() as client:
        await client.send(request(target=f"/write-steps/{wsgi.key}"))
        await client.read_head()
        assert await client.read_bytes(11) == b"6\r\nfirst\n\r\n"
        await wsgi.note("go")
        assert await client.read_bytes(17) == b"7\r\nsecond\n\r\n0\r\n\r\n"


async def test_pieces_do_not_wait_for_the_end(wsgi: Site) -> None:
    async with wsgi.raw() as client:
        await client.send(request(target=f"/steps/{wsgi.key}"))
        await client.read_head()
        assert await client.read_bytes(11) == b"6\r\nfirst\n\r\n"
        await wsgi.note("go")
        assert await client.read_bytes(17) == b"7\r\nsecond\n\r\n0\r\n\r\n"


async def test_start_response_when_the_iterable_starts(site: Site) -> None:
    response = await site.ask(request(target="/lazy"))
    assert (response.status, response.text) == (201, "lazy")


async def test_exc_info_replaces_the_head(site: Site) -> None:
    """Nothing has been sent, so the second head counts, and only that."""
    response = await site.ask(request(target="/exc-info"))
    assert response.status == 500
    assert response.text == "sorry"
    assert response.header("x-first") is None


async def test_exc_info_after_the_head_is_raised(wsgi: Site) -> None:
    """start_response raises what it was given, and the connection breaks."""
    async with wsgi.raw() as client:
        with pytest.raises(IncompleteResponseError) as caught:
            await client.ask(request(target="/exc-info-late"))
    assert caught.value.partial is not None
    assert b"did not raise" not in caught.value.partial.body
    wsgi.server.wait_line("deliberate: too late for another head", since=wsgi.since)


@pytest.mark.parametrize("path", ["/noted", "/error-midway"])
async def test_iterable_is_closed_once(wsgi: Site, path: str) -> None:
    async with wsgi.raw() as client:
        try:
            await client.ask(request(target=f"{path}/{wsgi.key}"))
        except IncompleteResponseError:
            assert path == "/error-midway"
    assert await wsgi.wait("closed") == [""]
    assert await wsgi.notes("closed", 0) == [""]


async def test_head_closes_the_iterable(wsgi: Site) -> None:
    async with wsgi.raw() as client:
        response = await client.ask(request("HEAD", f"/noted/{wsgi.key}"), "HEAD")
        assert response.status == 200
        assert (await client.ask(request())).text == "hello"
    assert await wsgi.wait("closed") == [""]


async def test_file_wrapper(wsgi: Site) -> None:
    """Whether the server offers one or not, the file arrives."""
    assert (await wsgi.ask(request(target="/file"))).body == block(100_000)


async def test_wsgi_errors_is_the_error_log(site: Site) -> None:
    assert (await site.ask(request(target=f"/log/{site.key}"))).text == "logged"
    site.server.wait_line(f"^noted in wsgi.errors: {site.key}$", stream="stderr", since=site.since)


async def test_context_variables_do_not_leak(wsgi: Site) -> None:
    """A thread serves many requests; each starts with a context of its own."""

    async def ask(number: int) -> None:
        response = await wsgi.http.get(f"/context/{number}")
        assert response.json() == {"before": "unset", "after": str(number)}

    for number in range(20):
        await ask(number)
    await asyncio.gather(*(ask(number) for number in range(20)))


async def test_more_requests_than_threads(wsgi: Site) -> None:
    """Requests that wait for each other's notes: as many run at once as there are threads."""

    async def hold(client_number: int) -> None:
        async with wsgi.raw() as client:
            await client.send(request(target=f"/steps/{wsgi.key}"))
            response = await client.read()
            assert response.text == "first\nsecond\n", client_number

    held = [asyncio.create_task(hold(number)) for number in range(2)]
    assert (await wsgi.http.get("/")).text == "hello"
    await wsgi.note("go")
    waiting = [asyncio.create_task(hold(number)) for number in range(40)]
    await asyncio.gather(*held, *waiting)
