"""The common routes on Starlette, and its lifespan state."""

from __future__ import annotations

import contextlib
import gc
import hashlib
from collections.abc import AsyncIterator
from typing import TypedDict

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from .shared import DeliberateError, block, journal


class State(TypedDict):
    """What the lifespan hands to every request."""

    greeting: str
    visits: list[str]


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[State]:
    """Announce start and end on standard output."""
    print("lifespan: up", flush=True)
    yield {"greeting": "hello from lifespan", "visits": []}
    print("lifespan: down", flush=True)


async def root(_request: Request) -> Response:
    return PlainTextResponse("hello")


async def get_json(_request: Request) -> Response:
    return JSONResponse({"hello": "world"})


async def post_json(request: Request) -> Response:
    return JSONResponse(await request.json())


async def form(request: Request) -> Response:
    async with request.form() as fields:
        return JSONResponse({name: str(value) for name, value in fields.items()})


async def upload(request: Request) -> Response:
    async with request.form() as fields:
        file = fields["file"]
        assert isinstance(file, UploadFile)
        digest, size = hashlib.sha256(), 0
        while data := await file.read(1 << 20):
            digest.update(data)
            size += len(data)
        return JSONResponse(
            {
                "name": file.filename,
                "type": file.content_type,
                "note": str(fields["note"]),
                "size": size,
                "sha256": digest.hexdigest(),
            }
        )


async def echo(request: Request) -> Response:
    return StreamingResponse(request.stream(), media_type="application/octet-stream")


async def stream(request: Request) -> Response:
    count, size = int(request.query_params["count"]), int(request.query_params["size"])

    async def blocks() -> AsyncIterator[bytes]:
        for number in range(count):
            yield block(size, number)

    return StreamingResponse(blocks(), media_type="application/octet-stream")


async def steps(request: Request) -> Response:
    key = request.path_params["key"]

    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await journal.wait_async(f"go-{key}")
        yield "second\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def endless(request: Request) -> Response:
    key = request.path_params["key"]

    async def blocks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield block(1 << 16)
        finally:
            journal.note(f"closed-{key}")

    return StreamingResponse(blocks(), media_type="application/octet-stream")


async def file(request: Request) -> Response:
    return FileResponse(request.query_params["path"], filename="file.bin")


async def cookies(request: Request) -> Response:
    response = JSONResponse(request.cookies)
    response.set_cookie("first", "1")
    response.set_cookie("second", "two words", httponly=True)
    return response


async def redirect(_request: Request) -> Response:
    return RedirectResponse("/json", status_code=302)


async def headers(request: Request) -> Response:
    return JSONResponse(request.headers.items())


async def large_header(request: Request) -> Response:
    return PlainTextResponse("ok", headers={"X-Large": "x" * int(request.query_params["size"])})


async def error(_request: Request) -> Response:
    raise DeliberateError("before the response")


async def error_midway(_request: Request) -> Response:
    async def blocks() -> AsyncIterator[bytes]:
        yield b"so far so good"
        raise DeliberateError("in the middle of the response")

    return StreamingResponse(blocks())


async def background(request: Request) -> Response:
    key = request.path_params["key"]

    async def work() -> None:
        await journal.wait_async(f"go-{key}")
        journal.note(f"done-{key}")

    return PlainTextResponse("accepted", status_code=202, background=BackgroundTask(work))


async def nothing(_request: Request) -> Response:
    return Response(status_code=204)


async def not_modified(_request: Request) -> Response:
    return Response(status_code=304, headers={"ETag": '"same"'})


async def where(request: Request) -> Response:
    return JSONResponse(
        {
            "path": request.url.path,
            "root": request.scope["root_path"],
            "query": request.url.query,
            "scheme": request.url.scheme,
            "link": str(request.url_for("where")),
        }
    )


async def state(request: Request) -> Response:
    request.state.visits.append("one more")
    seen = hasattr(request.state, "mine")
    request.state.mine = True
    return JSONResponse(
        {"greeting": request.state.greeting, "visits": len(request.state.visits), "leaked": seen}
    )


async def read_journal(request: Request) -> Response:
    gc.collect()  # middleware leaves the generators of an aborted response to it
    count = int(request.query_params.get("count", "1"))
    return JSONResponse(await journal.wait_async(request.path_params["name"], count))


async def write_journal(request: Request) -> Response:
    journal.note(request.path_params["name"])
    return Response(status_code=204)


routes = [
    Route("/", root),
    Route("/json", get_json),
    Route("/json", post_json, methods=["POST"]),
    Route("/form", form, methods=["POST"]),
    Route("/upload", upload, methods=["POST"]),
    Route("/echo", echo, methods=["POST"]),
    Route("/stream", stream),
    Route("/steps/{key}", steps),
    Route("/endless/{key}", endless),
    Route("/file", file),
    Route("/cookies", cookies),
    Route("/redirect", redirect),
    Route("/headers", headers),
    Route("/large-header", large_header),
    Route("/error", error),
    Route("/error-midway", error_midway),
    Route("/background/{key}", background, methods=["POST"]),
    Route("/nothing", nothing),
    Route("/not-modified", not_modified),
    Route("/where", where, name="where"),
    Route("/state", state),
    Route("/journal/{name}", read_journal),
    Route("/journal/{name}", write_journal, methods=["POST"]),
]

app = Starlette(routes=routes, lifespan=lifespan)
