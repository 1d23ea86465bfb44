"""The ASGI interface as an application sees it: scope, state, context, tasks."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.client import request
from tests.support.pool import ALL_FLAVOURS
from tests.support.site import Site

pytestmark = pytest.mark.parametrize("flavour", ALL_FLAVOURS, ids=str, indirect=True)


async def test_scope(asgi: Site) -> None:
    async with asgi.raw() as client:
        scope = (
            await client.ask(
                b"GET /scope/a%20b%2Fc%C3%BC?q=%20x&y=1 HTTP/1.1\r\n"
                b"HOST: example.org\r\nX-Two: first\r\nx-two: second\r\n\r\n"
            )
        ).json()
        port = client.socket.getsockname()[1]
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["http_version"] == "1.1"
    assert scope["method"] == "GET"
    assert scope["scheme"] == "http"
    assert scope["path"] == "/scope/a b/c\xfc"
    assert scope["raw_path"] == "/scope/a%20b%2Fc%C3%BC"
    assert scope["query_string"] == "q=%20x&y=1"
    assert scope["root_path"] == ""
    assert scope["client"] == ["127.0.0.1", port]
    assert scope["server"] == ["127.0.0.1", asgi.server.port]
    assert scope["headers"] == [["host", "example.org"], ["x-two", "first"], ["x-two", "second"]]


async def test_scope_of_http_1_0(asgi: Site) -> None:
    response = await asgi.ask(b"GET /scope HTTP/1.0\r\n\r\n", version="1.0")
    scope = response.json()
    assert scope["http_version"] == "1.0"
    assert scope["headers"] == []
    assert scope["query_string"] == ""


async def test_scope_is_not_shared_between_requests(asgi: Site) -> None:
    """Requests on one connection, each with its own path, query, method and headers."""
    async with asgi.raw() as client:
        for number in range(5):
            sent = request("PUT", f"/scope/{number}?n={number}", [("X-N", str(number))], b"")
            scope = (await client.ask(sent)).json()
            assert scope["path"] == f"/scope/{number}"
            assert scope["query_string"] == f"n={number}"
            assert ["x-n", str(number)] in scope["headers"]
            plain = (await client.ask(request(target="/scope"))).json()
            assert (plain["method"], plain["query_string"]) == ("GET", "")
            assert plain["headers"] == [["host", "test"]]


async def test_body_in_one_message(asgi: Site) -> None:
    """A body that is complete when the application asks is one message; none is one, too."""
    response = await asgi.ask(request("POST", "/read", body=b"x" * 100))
    assert response.json()["messages"] == 1
    empty = (await asgi.ask(request(target="/read"))).json()
    assert (empty["size"], empty["messages"]) == (0, 1)


async def test_body_in_many_messages(asgi: Site) -> None:
    """A large one is not collected before the application gets it."""
    response = await asgi.http.post("/read", content=b"x" * 5_000_000)
    assert response.json()["size"] == 5_000_000
    assert response.json()["messages"] > 5


async def test_context_variables_do_not_leak(asgi: Site) -> None:
    """Not from request to request on a connection, not between connections at one time."""
    async with asgi.raw() as client:
        for number in range(20):
            response = await client.ask(request(target=f"/context/{number}"))
            assert response.json() == {"before": "unset", "after": str(number)}
        await client.send(b"".join(request(target=f"/context/p{number}") for number in range(10)))
        for number in range(10):
            assert (await client.read()).json() == {"before": "unset", "after": f"p{number}"}

    async def ask(number: int) -> None:
        response = await asgi.http.get(f"/context/{number}")
        assert response.json() == {"before": "unset", "after": str(number)}

    await asyncio.gather(*(ask(number) for number in range(30)))


async def test_each_request_has_a_task(asgi: Site) -> None:
    """asyncio.timeout and current_task work, and the task is the request's own."""
    async with asgi.raw() as client:
        first = (await client.ask(request(target="/task"))).json()
        second = (await client.ask(request(target="/task"))).json()
    assert first["timed_out"]
    assert second["timed_out"]
    assert first["task"] != second["task"]


async def test_lifespan_state(asgi: Site) -> None:
    """Objects in the state are shared, the mapping itself is each request's own copy."""
    first = (await asgi.http.get("/state")).json()
    second = (await asgi.http.get("/state")).json()
    assert second["shared"] == first["shared"] + 1
    assert first["number"] == second["number"] == 2
