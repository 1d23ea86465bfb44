"""Applications that fail: what the client sees, what the log says, and that the next request works."""

from __future__ import annotations

import pytest

from tests.frameworks.conftest import FRAMEWORKS
from tests.support.client import request
from tests.support.pool import ALL_FLAVOURS
from tests.support.site import Site
from tests.support.wire import IncompleteResponseError, Response

every_flavour = pytest.mark.parametrize("flavour", ALL_FLAVOURS, ids=str, indirect=True)


async def broken(site: Site, target: str) -> IncompleteResponseError:
    """Request `target` and return how the response broke off; a complete one is an error."""
    async with site.raw() as client:
        with pytest.raises(IncompleteResponseError) as caught:
            await client.ask(request(target=target))
    return caught.value


async def outcome(site: Site, target: str) -> tuple[Response | None, bool]:
    """Request `target`; return what came of the response (None: no head), and whether it is complete."""
    async with site.raw() as client:
        try:
            return await client.ask(request(target=target)), True
        except IncompleteResponseError as error:
            return error.partial, False


async def still_serves(site: Site) -> None:
    """The server goes on with other clients."""
    assert (await site.ask(request())).text == "hello"


# Starlette's BaseHTTPMiddleware ends the body properly before it raises: no server can tell.
@pytest.mark.parametrize("framework", [each for each in FRAMEWORKS if each.name != "layered"], ids=str)
async def test_framework_fails_in_the_middle(site: Site) -> None:
    """The client is left in no doubt that the body is incomplete; one traceback says why."""
    error = await broken(site, "/error-midway")
    assert error.partial is not None
    assert error.partial.status == 200
    assert error.partial.body in (b"", b"so far so good")
    await still_serves(site)
    site.server.wait_line("deliberate: in the middle", since=site.since)
    # A test before this one may have left requests whose application only now hears that its client has gone.
    assert len([each for each in site.tracebacks() if "deliberate" in each]) == 1


@every_flavour
@pytest.mark.parametrize("path", ["/error", "/error-started"])
async def test_error_before_the_head_is_a_500(raw_site: Site, path: str) -> None:
    async with raw_site.raw() as client:
        response = await client.ask(request(target=path))
        assert response.status == 500
        assert b"deliberate" not in response.body
        if "close" not in response.connection:
            assert (await client.ask(request())).text == "hello"
    await still_serves(raw_site)
    raw_site.server.wait_line("deliberate", since=raw_site.since)
    assert len(raw_site.tracebacks()) == 1


@every_flavour
async def test_error_to_a_head_request(raw_site: Site) -> None:
    """The 500 has no body either."""
    async with raw_site.raw() as client:
        response = await client.ask(request("HEAD", "/error"), "HEAD")
        assert response.status == 500
        if "close" not in response.connection:
            assert (await client.ask(request())).text == "hello"


@every_flavour
@pytest.mark.parametrize("path", ["/error-midway", "/error-length"])
async def test_error_in_the_middle_breaks_the_connection(raw_site: Site, path: str) -> None:
    """Never the last chunk, never padding up to the length."""
    error = await broken(raw_site, path)
    assert error.partial is not None
    assert error.partial.framing == ("length" if path == "/error-length" else "chunked")
    assert error.partial.body in (b"", b"so far so good")
    await still_serves(raw_site)
    raw_site.server.wait_line("deliberate", since=raw_site.since)
    assert len(raw_site.tracebacks()) == 1


@every_flavour
async def test_error_after_the_response(asgi: Site) -> None:
    """The client has its answer; the log has the traceback."""
    async with asgi.raw() as client:
        response = await client.ask(request(target="/error-after"))
        assert response.text == "complete"
        asgi.server.wait_line("deliberate: after the response", since=asgi.since)
        assert (await client.ask(request())).text == "hello"
    assert len(asgi.tracebacks()) == 1


@every_flavour
async def test_no_response_is_a_500(asgi: Site) -> None:
    """One line in the log, and no traceback: nothing was raised."""
    response = await asgi.ask(request(target="/silent"))
    assert response.status == 500
    asgi.server.wait_line(r"without a response.*/silent", since=asgi.since)
    assert asgi.tracebacks() == []


@every_flavour
async def test_unfinished_response_is_broken(asgi: Site) -> None:
    error = await broken(asgi, "/unfinished")
    assert error.partial is not None
    asgi.server.wait_line(r"/unfinished", since=asgi.since)
    assert asgi.tracebacks() == []


@every_flavour
async def test_less_than_content_length(raw_site: Site) -> None:
    """A body shorter than announced: a 500 if the head is still here, else a broken connection."""
    raw_site.server.allowed_tracebacks.append(r"in short\b")
    response, complete = await outcome(raw_site, "/short")
    if complete:
        assert response is not None
        assert response.status == 500
    else:
        assert response is None or response.body in (b"", b"so far so good")
    raw_site.server.wait_line(r"/short", since=raw_site.since)
    await still_serves(raw_site)


@every_flavour
async def test_more_than_content_length(raw_site: Site) -> None:
    """The surplus never reaches the wire, where it would be the next response."""
    raw_site.server.allowed_tracebacks.append(r"in long\b")
    response, complete = await outcome(raw_site, "/long")
    if complete:
        assert response is not None
        assert response.status == 500 or response.body == b"12345"
    else:
        assert response is None or b"HTTP" not in response.body
    raw_site.server.wait_line(r"/long", since=raw_site.since)
    await still_serves(raw_site)


@every_flavour
@pytest.mark.parametrize("key", ["value", "lf", "nul", "name", "colon", "crlf"])
async def test_header_that_would_split_the_response(raw_site: Site, key: str) -> None:
    """It is an error of the application's, and nothing of it reaches the client."""
    raw_site.server.allowed_tracebacks.append(r"in bad_header\b")
    response = await raw_site.ask(request(target=f"/bad-header/{key}"))
    assert response.status == 500
    assert b"evil" not in b"".join(name + value for name, value in response.headers)
    raw_site.server.wait_line(r"/bad-header", since=raw_site.since)
    await still_serves(raw_site)


@every_flavour
@pytest.mark.parametrize("path", ["/body-first", "/two-starts"])
async def test_asgi_messages_out_of_order(asgi: Site, path: str) -> None:
    asgi.server.allowed_tracebacks.append(r"in (body_first|two_starts)\b")
    response = await asgi.ask(request(target=path))
    assert response.status == 500
    asgi.server.wait_line(rf"{path}", since=asgi.since)
    await still_serves(asgi)


@every_flavour
@pytest.mark.parametrize("path", ["/two-starts", "/no-start", "/text"])
async def test_wsgi_protocol_violations(wsgi: Site, path: str) -> None:
    """Each is a 500 and a line in the log, whatever the application got wrong (PEP 3333)."""
    wsgi.server.allowed_tracebacks.append(r"in (two_starts|_call)\b")
    response = await wsgi.ask(request(target=path))
    assert response.status == 500
    wsgi.server.wait_line(path, since=wsgi.since)
    await still_serves(wsgi)


@every_flavour
async def test_status_that_would_split_the_response(wsgi: Site) -> None:
    """Whatever becomes of the response, the line does not get a second one behind it."""
    wsgi.server.allowed_tracebacks.append(r"in bad_status\b")
    response = await wsgi.ask(request(target="/bad-status"))
    assert response.header("set-cookie") is None
    assert b"evil" not in response.reason


@every_flavour
async def test_wsgi_close_that_raises(wsgi: Site) -> None:
    """The response may be complete already; the log has the traceback."""
    response, complete = await outcome(wsgi, f"/close-error/{wsgi.key}")
    assert response is not None
    assert response.status == 200
    assert not complete or response.text == "onetwo"
    wsgi.server.wait_line("deliberate: in close", since=wsgi.since)
    assert len(wsgi.tracebacks()) == 1
    await still_serves(wsgi)


@every_flavour
async def test_wsgi_iterable_is_closed_after_an_error(wsgi: Site) -> None:
    await broken(wsgi, f"/error-midway/{wsgi.key}")
    await wsgi.wait("closed")


@every_flavour
async def test_system_exit_of_a_wsgi_application(wsgi: Site) -> None:
    """sys.exit() in a view must not take a thread of the pool with it: there is an answer, always."""
    wsgi.server.allowed_tracebacks.append(r"in leave\b")
    for _ in range(40):  # more often than there are threads
        assert (await wsgi.ask(request(target="/exit"))).status == 500
    await still_serves(wsgi)
