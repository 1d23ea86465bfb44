"""The common routes on FastAPI, declared as its users do: models, dependencies, sync endpoints."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import BackgroundTasks, Cookie, FastAPI, File, Form, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel

from .shared import DeliberateError, block, journal


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Announce start and end on standard output."""
    print("lifespan: up", flush=True)
    yield {"greeting": "hello from lifespan"}
    print("lifespan: down", flush=True)


app = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    """A body that is validated."""

    name: str
    price: float
    tags: list[str] = []


@app.api_route("/", methods=["GET", "HEAD"], response_class=PlainTextResponse)
async def root() -> str:
    return "hello"


@app.api_route("/json", methods=["GET", "HEAD"])
async def get_json() -> dict[str, str]:
    return {"hello": "world"}


@app.post("/json")
async def post_json(body: dict[str, Any]) -> dict[str, Any]:
    return body


@app.post("/items")
async def items(item: Item) -> Item:
    return item


@app.get("/threaded")
def threaded() -> dict[str, str]:
    """A sync endpoint: runs in anyio's thread pool."""
    return {"hello": "thread"}


@app.post("/form")
async def form(name: Annotated[str, Form()], city: Annotated[str, Form()]) -> dict[str, str]:
    return {"name": name, "city": city}


@app.post("/upload")
async def upload(file: Annotated[UploadFile, File()], note: Annotated[str, Form()]) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    while data := await file.read(1 << 20):
        digest.update(data)
        size += len(data)
    return {
        "name": file.filename,
        "type": file.content_type,
        "note": note,
        "size": size,
        "sha256": digest.hexdigest(),
    }


@app.post("/echo")
async def echo(request: Request) -> StreamingResponse:
    return StreamingResponse(request.stream(), media_type="application/octet-stream")


@app.get("/stream")
async def stream(count: int, size: int) -> StreamingResponse:
    def blocks() -> Iterator[bytes]:
        for number in range(count):
            yield block(size, number)

    return StreamingResponse(blocks(), media_type="application/octet-stream")


@app.get("/steps/{key}")
async def steps(key: str) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await journal.wait_async(f"go-{key}")
        yield "second\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/endless/{key}")
async def endless(key: str) -> StreamingResponse:
    async def blocks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield block(1 << 16)
        finally:
            journal.note(f"closed-{key}")

    return StreamingResponse(blocks(), media_type="application/octet-stream")


@app.get("/cookies")
async def cookies(
    request: Request, response: Response, first: Annotated[str | None, Cookie()] = None
) -> dict[str, str]:
    assert request.cookies.get("first") == first
    response.set_cookie("first", "1")
    response.set_cookie("second", "two words", httponly=True)
    return request.cookies


@app.get("/redirect")
async def redirect() -> RedirectResponse:
    return RedirectResponse("/json", status_code=302)


@app.get("/headers")
async def headers(request: Request) -> list[tuple[str, str]]:
    return list(request.headers.items())


@app.get("/large-header")
async def large_header(size: int, response: Response) -> str:
    response.headers["X-Large"] = "x" * size
    return "ok"


@app.get("/error")
async def error() -> None:
    raise DeliberateError("before the response")


@app.get("/error-midway")
async def error_midway() -> StreamingResponse:
    async def blocks() -> AsyncIterator[bytes]:
        yield b"so far so good"
        raise DeliberateError("in the middle of the response")

    return StreamingResponse(blocks())


@app.post("/background/{key}", status_code=202, response_class=PlainTextResponse)
async def background(key: str, tasks: BackgroundTasks) -> str:
    async def work() -> None:
        await journal.wait_async(f"go-{key}")
        journal.note(f"done-{key}")

    tasks.add_task(work)
    return "accepted"


@app.get("/nothing", status_code=204)
async def nothing() -> None:
    return None


@app.get("/not-modified")
async def not_modified() -> Response:
    return Response(status_code=304, headers={"ETag": '"same"'})


@app.get("/where", name="where")
async def where(request: Request) -> dict[str, str]:
    return {
        "path": request.url.path,
        "root": request.scope["root_path"],
        "query": request.url.query,
        "scheme": request.url.scheme,
        "link": str(request.url_for("where")),
    }


@app.get("/state")
async def state(request: Request) -> dict[str, str]:
    return {"greeting": request.state.greeting}


@app.get("/journal/{name}")
async def read_journal(name: str, count: int = 1) -> list[str]:
    return await journal.wait_async(name, count)


@app.post("/journal/{name}", status_code=204)
async def write_journal(name: str) -> None:
    journal.note(name)
