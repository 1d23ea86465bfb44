"""The common routes on Bottle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bottle import Bottle, request, response, static_file

from .shared import DeliberateError, block, journal

app = Bottle()


@app.get("/")
def root() -> str:
    response.content_type = "text/plain"
    return "hello"


@app.get("/json")
def get_json() -> dict[str, Any]:
    return {"hello": "world"}


@app.post("/json")
def post_json() -> Any:
    return request.json


@app.post("/form")
def form() -> dict[str, Any]:
    return dict(request.forms.decode())


@app.post("/upload")
def upload() -> dict[str, Any]:
    part = request.files["file"]
    digest = hashlib.sha256(part.file.read()).hexdigest()
    return {"name": part.raw_filename, "note": request.forms.decode()["note"], "sha256": digest}


@app.post("/echo")
def echo() -> Iterator[bytes]:
    response.content_type = "application/octet-stream"
    source = request.body
    return iter(lambda: source.read(1 << 14), b"")


@app.get("/stream")
def stream() -> Iterator[bytes]:
    count, size = int(request.query["count"]), int(request.query["size"])
    return (block(size, number) for number in range(count))


@app.get("/steps/<key>")
def steps(key: str) -> Iterator[bytes]:
    yield b"first\n"
    journal.wait(f"go-{key}")
    yield b"second\n"


@app.get("/endless/<key>")
def endless(key: str) -> Iterator[bytes]:
    try:
        while True:
            yield block(1 << 16)
    finally:
        journal.note(f"closed-{key}")


@app.get("/file")
def file() -> Any:
    path = Path(request.query["path"])
    return static_file(path.name, root=str(path.parent), mimetype="application/octet-stream")


@app.get("/cookies")
def cookies() -> dict[str, Any]:
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return dict(request.cookies)


@app.get("/where")
def where() -> dict[str, Any]:
    return {
        "path": request.path,
        "root": request.script_name.rstrip("/"),
        "scheme": request.urlparts.scheme,
        "client": request.remote_addr,
        "link": request.url,
    }


@app.get("/error")
def error() -> str:
    raise DeliberateError("before the response")


@app.get("/error-midway")
def error_midway() -> Iterator[bytes]:
    yield b"so far so good"
    raise DeliberateError("in the middle of the response")


@app.get("/nothing")
def nothing() -> None:
    response.status = 204


@app.get("/journal/<name>")
def read_journal(name: str) -> Any:
    # Bottle makes JSON of dictionaries only.
    response.content_type = "application/json"
    notes = journal.wait(name, int(request.query.get("count", "1")))
    return "[" + ",".join('""' for _ in notes) + "]"


@app.post("/journal/<name>")
def write_journal(name: str) -> None:
    journal.note(name)
    response.status = 204
