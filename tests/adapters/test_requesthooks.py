"""What hooks around a request can rely on, and what they can change, wherever the application runs."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aserve.adapters import make_adapter, make_runner
from aserve.adapters.requesthooks import RequestHooks
from aserve.adapters.runner import RunnerOptions
from aserve.protocols.group import ConnectionGroup
from aserve.protocols.http1 import Http1Connection
from tests.support.client import AsyncRawClient, request
from tests.support.listening import listening

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@asynccontextmanager
async def serving(
    app: Any, hooks: RequestHooks, worker_class: str
) -> AsyncIterator[tuple[ConnectionGroup, Any]]:
    """Serve an application on the test's loop; the group of connections, and the address."""
    loop = asyncio.get_running_loop()
    if worker_class == "asgi":
        adapter = make_adapter(app, "asgi3", loop=loop, lifespan="off", hooks=hooks)
    else:
        runner = make_runner(worker_class, loop, RunnerOptions(threads=1))
        adapter = make_adapter(app, "wsgi", loop=loop, runner=runner, hooks=hooks)
    group = ConnectionGroup(adapter.exchange_factory, loop=loop)
    async with listening(adapter, group) as address:
        yield group, address


@pytest.mark.parametrize("worker_class", ["wsgi", "sync"])
async def test_they_are_called_as_the_application_is(worker_class: str, tmp_path: Path) -> None:
    """In the request's context, and where no loop runs: what they call may be synchronous (Django's ORM)."""
    large = tmp_path / "large"
    large.write_bytes(bytes(1_000_000))
    seen: list[tuple[str, str, bool]] = []

    def before(req: Any) -> None:
        variable.set(req.path)
        note(req.path)

    def after(req: Any, environ: Any, resp: Any) -> None:
        note(req.path)

    def note(path: str) -> None:
        seen.append((path, variable.get(), asyncio._get_running_loop() is None))

    def app(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        start_response("200 OK", [])
        if path == "/file":
            return environ["wsgi.file_wrapper"](large.open("rb"))
        return iter([b"one", b"two"]) if path == "/pieces" else [b"whole"]

    async with serving(app, RequestHooks(before, after), worker_class) as (group, address):
        for path in ("/whole", "/pieces", "/file"):
            async with AsyncRawClient(address) as client:
                assert (await client.ask(request(target=path))).status == 200
            async with asyncio.timeout(10):
                while group.running:
                    await asyncio.sleep(0.005)
            assert seen == [(path, path, True)] * 2
            seen.clear()


async def test_hooks_leave_the_requests_behind_them_without_a_loop() -> None:
    """Inline, requests of one turn of the loop are called one after the other."""
    seen: list[bool] = []

    def note(*_: object) -> None:
        seen.append(asyncio._get_running_loop() is None)

    def app(environ: Any, start_response: Any) -> Any:
        note()
        start_response("200 OK", [])
        return [b"x"]

    async with (
        serving(app, RequestHooks(None, note), "sync") as (group, address),
        AsyncRawClient(address) as one,
        AsyncRawClient(address) as other,
    ):
        for client in (one, other):
            await client.ask(request())
        for connection in list(group.connections):
            assert isinstance(connection, Http1Connection)
            connection.data_received(request())
        for client in (one, other):
            assert (await client.read()).body == b"x"
    assert seen == [True] * 8


def rewrite(req: Any) -> None:
    """Change what an application is to see."""
    req.scheme = "https"
    req.path = "/new%20path"
    req.query = "a=b"
    req.headers.append(("X-Forwarded-Proto", "https"))
    req.headers = [field for field in req.headers if field[0] != "X-GONE"] + [("X-TWICE", "2")]


HEADERS = [("X-Gone", "1"), ("X-Twice", "1"), ("X-Stays", "1")]


@pytest.mark.parametrize("worker_class", ["wsgi", "sync"])
async def test_wsgi_applications_see_what_the_first_hook_has_changed(worker_class: str) -> None:
    """gunicorn makes the environ afterwards."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        names = ("wsgi.url_scheme", "HTTPS", "PATH_INFO", "QUERY_STRING", "REQUEST_METHOD")
        fields = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_GONE", "HTTP_X_TWICE", "HTTP_X_STAYS")
        return [json.dumps([environ.get(name) for name in (*names, *fields)]).encode()]

    hooks = RequestHooks(rewrite, None)
    async with serving(app, hooks, worker_class) as (_, address), AsyncRawClient(address) as client:
        seen = json.loads((await client.ask(request(target="/old?c=d", headers=HEADERS))).text)
    assert seen == ["https", "on", "/new path", "a=b", "GET", "https", None, "1,2", "1"]


async def test_asgi_applications_see_it_as_well() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen = [scope["scheme"], scope["path"], scope["raw_path"].decode(), scope["query_string"].decode()]
        fields = [f"{name.decode()}:{value.decode()}" for name, value in scope["headers"] if name[:1] == b"x"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps([*seen, *fields]).encode()})

    hooks = RequestHooks(rewrite, None)
    async with serving(app, hooks, "asgi") as (_, address), AsyncRawClient(address) as client:
        for _ in range(2):  # a head that is repeated
            seen = json.loads((await client.ask(request(target="/old?c=d", headers=HEADERS))).text)
            assert seen[:4] == ["https", "/new path", "/new%20path", "a=b"]
            assert sorted(seen[4:]) == ["x-forwarded-proto:https", "x-stays:1", "x-twice:1", "x-twice:2"]
