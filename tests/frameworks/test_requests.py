"""What every framework does all day: JSON, forms, cookies, redirects, headers, statuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.frameworks.conftest import FRAMEWORKS, Framework
from tests.support.client import request
from tests.support.site import Site

ASYNC_FRAMEWORKS = [framework for framework in FRAMEWORKS if framework.interface == "asgi"]


async def test_plain_text(site: Site, framework: Framework) -> None:
    response = await site.http.get("/")
    assert response.status_code == 200
    assert response.text == "hello"
    assert response.headers["content-type"].startswith("text/plain")
    if framework.name != "layered":  # its middleware streams everything
        assert response.headers["content-length"] == "5"


@pytest.mark.parametrize(
    "value",
    [{"name": "Ada", "tags": ["a", "b"], "deep": {"x": [1, 2.5, None, True]}}, {}, {"ü": "日本語"}],
    ids=["nested", "empty", "unicode"],
)
async def test_json_both_ways(site: Site, value: dict[str, Any]) -> None:
    assert (await site.http.get("/json")).json() == {"hello": "world"}
    response = await site.http.post("/json", json=value)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == value


async def test_large_json(site: Site) -> None:
    value = {"items": [{"number": number, "text": "x" * 100} for number in range(5_000)]}
    assert (await site.http.post("/json", json=value)).json() == value


async def test_form(site: Site) -> None:
    fields = {"name": "Grace Hopper", "city": "Zürich & more=?"}
    response = await site.http.post("/form", data=fields)
    assert response.status_code == 200
    assert response.json() == fields


async def test_cookies(site: Site) -> None:
    """Two Set-Cookie headers stay two, and come back as one Cookie header."""
    response = await site.ask(request(target="/cookies"))
    assert len(response.all("set-cookie")) == 2
    first = await site.http.get("/cookies")
    assert first.json() == {}
    second = await site.http.get("/cookies")
    assert second.json() == {"first": "1", "second": "two words"}


async def test_redirect(site: Site) -> None:
    response = await site.http.get("/redirect")
    assert response.status_code == 302
    assert response.headers["location"] == "/json"
    followed = await site.http.get("/redirect", follow_redirects=True)
    assert followed.json() == {"hello": "world"}


async def test_request_headers(site: Site) -> None:
    """Names without regard to case, values untouched (but for the blanks around them)."""
    response = await site.ask(
        request(
            target="/headers",
            headers=[
                ("X-Mixed-CASE", "Value with  two blanks"),
                ("x-empty", ""),
                ("X-Padded", "  padded\t"),
                ("X-Latin", "caf\xe9"),
                ("User-Agent", "tests/1.0"),
            ],
        )
    )
    headers = dict(response.json())
    assert headers["x-mixed-case"] == "Value with  two blanks"
    assert headers["x-empty"] == ""
    assert headers["x-padded"] == "padded"
    assert headers["x-latin"] == "caf\xe9"
    assert headers["user-agent"] == "tests/1.0"
    assert headers["host"] == "test"


async def test_a_header_with_an_underscore_poses_as_no_other(site: Site) -> None:
    """Whatever a framework makes of such names, they do not come to it."""
    sent = [("X_User", "forged"), ("X-User", "real"), ("X_User", "forged")]
    found = (await site.ask(request(target="/headers", headers=sent))).json()
    assert [value for name, value in found if name in ("x-user", "x_user")] == ["real"]


async def test_large_request_headers(site: Site) -> None:
    """30 KB in all and 8,000 bytes in one header are taken, as gunicorn takes them."""
    large = {f"x-large-{number}": "v" * 900 for number in range(25)} | {"x-huge": "h" * 8_000}
    response = await site.http.get("/headers", headers=large)
    assert response.status_code == 200
    assert large.items() <= dict(response.json()).items()


async def test_long_query(site: Site) -> None:
    query = "q=" + "x" * 8_000
    response = await site.http.get(f"/where?{query}")
    assert response.status_code == 200
    assert response.json()["query"] == query


async def test_large_response_header(site: Site) -> None:
    response = await site.ask(request(target="/large-header?size=60000"))
    assert response.header("x-large") == "x" * 60_000


async def test_unknown_route(site: Site) -> None:
    response = await site.http.get("/no/such/route")
    assert response.status_code == 404
    assert (await site.http.get("/")).status_code == 200


async def test_where(site: Site) -> None:
    """The framework rebuilds the URL from what the server tells it."""
    response = await site.ask(
        b"GET /where?a=1&b=%20 HTTP/1.1\r\nHost: example.org:8080\r\n\r\n",
    )
    where = response.json()
    assert where["path"] == "/where"
    assert where["root"] == ""
    assert where["query"] == "a=1&b=%20"
    assert where["scheme"] == "http"
    assert where["link"].startswith("http://example.org:8080/where")


@pytest.mark.parametrize("path", ["/", "/json"])
async def test_head(site: Site, path: str) -> None:
    """The head of a GET, and nothing after it: the next response follows at once."""
    async with site.raw() as client:
        get = await client.ask(request(target=path))
        head = await client.ask(request("HEAD", path), method="HEAD")
        again = await client.ask(request(target=path))
    assert head.status == get.status == 200
    assert head.header("content-type") == get.header("content-type")
    assert head.header("content-length") in (None, str(len(get.body)))
    assert again.body == get.body


@pytest.mark.parametrize(("path", "status"), [("/nothing", 204), ("/not-modified", 304)])
async def test_no_content(site: Site, path: str, status: int) -> None:
    async with site.raw() as client:
        response = await client.ask(request(target=path))
        assert response.status == status
        assert response.header("transfer-encoding") is None
        if status == 304:
            assert response.header("etag") == '"same"'
        assert (await client.ask(request())).text == "hello"


async def test_keep_alive_is_used(site: Site) -> None:
    """Many requests of every kind on one connection."""
    async with site.raw() as client:
        for _ in range(10):
            assert (await client.ask(request())).text == "hello"
            posted = await client.ask(
                request("POST", "/json", [("Content-Type", "application/json")], b'{"a": 1}'), "POST"
            )
            assert posted.json() == {"a": 1}
            streamed = await client.ask(request(target="/stream?count=3&size=10"))
            assert len(streamed.body) == 30
            assert "close" not in streamed.connection


async def test_pipelining(site: Site) -> None:
    """Responses come in the order of the requests, whatever their bodies."""
    json_type = [("Content-Type", "application/json")]
    async with site.raw() as client:
        await client.send(
            request("POST", "/json", json_type, b'{"first": 1}')
            + request(target="/stream?count=5&size=1000")
            + request("HEAD", "/json")
            + request(target="/nothing")
            + request("POST", "/json", json_type, b'{"last": 1}')
        )
        assert (await client.read()).json() == {"first": 1}
        assert len((await client.read()).body) == 5_000
        assert (await client.read("HEAD")).status == 200
        assert (await client.read()).status == 204
        assert (await client.read()).json() == {"last": 1}


async def test_many_clients_at_once(site: Site) -> None:
    """More clients than threads; each gets its own answer."""

    async def ask(number: int) -> None:
        response = await site.http.post("/json", json={"number": number})
        assert response.json() == {"number": number}

    await asyncio.gather(*(ask(number) for number in range(60)))


async def test_error_before_the_response(site: Site) -> None:
    """A 500 from framework or server, one traceback in the log, and the next request works."""
    async with site.raw() as client:
        response = await client.ask(request(target="/error"))
        assert response.status == 500
        assert b"Traceback" not in response.body
    assert (await site.http.get("/")).text == "hello"
    site.server.wait_line("deliberate: before the response", since=site.since)
    assert len(site.tracebacks()) == 1


@pytest.mark.parametrize("framework", ASYNC_FRAMEWORKS[:2], ids=str)
async def test_background_task(site: Site) -> None:
    """The response is complete before the task is; the task then runs to its end."""
    async with site.raw() as client:
        response = await client.ask(request("POST", f"/background/{site.key}", body=b""))
        assert response.status == 202
        assert response.text == "accepted"
    assert await site.notes("done", 0) == []
    await site.note("go")
    await site.wait("done")


@pytest.mark.parametrize("framework", [FRAMEWORKS[2]], ids=str)
async def test_work_on_close(site: Site) -> None:
    """WSGI's counterpart: `close` is called when the response is complete."""
    async with site.raw() as client:
        response = await client.ask(request("POST", f"/background/{site.key}", body=b""))
        assert response.text == "accepted"
    assert await site.notes("done", 0) == []
    await site.note("go")
    await site.wait("done")


@pytest.mark.parametrize("framework", [FRAMEWORKS[0]], ids=str)
async def test_fastapi_validation_and_threads(site: Site) -> None:
    item = {"name": "tea", "price": 2.5, "tags": ["hot"]}
    assert (await site.http.post("/items", json=item)).json() == item
    refused = await site.http.post("/items", json={"name": "tea", "price": "much"})
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "price"]
    assert (await site.http.get("/threaded")).json() == {"hello": "thread"}
    assert (await site.http.get("/openapi.json")).json()["paths"]["/items"]
    assert (await site.http.put("/items", json=item)).status_code == 405


@pytest.mark.parametrize("framework", [FRAMEWORKS[5]], ids=str)
async def test_middleware(site: Site) -> None:
    """Every layer has done its work, also on a stream."""
    origin = {"Origin": "http://a.example"}
    for path in ("/json", "/stream?count=100&size=1000"):
        response = await site.http.get(path, headers=origin)
        assert response.headers["x-stamp"] == "stamped"
        assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["content-encoding"] == "gzip"
    assert len(response.content) == 100_000


@pytest.mark.parametrize("framework", ASYNC_FRAMEWORKS[:2], ids=str)
async def test_lifespan_state(site: Site, framework: Framework) -> None:
    """What the lifespan yields is in every request's state; what a request adds is its own."""
    before = (await site.http.get("/state")).json()
    after = (await site.http.get("/state")).json()
    assert after["greeting"] == "hello from lifespan"
    if framework.name == "starlette":
        assert after["visits"] == before["visits"] + 1
        assert not after["leaked"]


@pytest.mark.parametrize("framework", [FRAMEWORKS[2]], ids=str)
async def test_flask_context_is_per_request(site: Site) -> None:
    async with site.raw() as client:
        for _ in range(20):
            assert (await client.ask(request(target="/context"))).json() == {"leaked": None}
