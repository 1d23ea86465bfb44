"""The common routes on Falcon."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import falcon
from falcon import Request, Response

from .shared import DeliberateError, block, journal

app = falcon.App()
app.req_options.auto_parse_form_urlencoded = False


def _route(path: str) -> Any:
    def register(cls: type) -> type:
        app.add_route(path, cls())
        return cls

    return register


@_route("/")
class Root:
    def on_get(self, _req: Request, resp: Response) -> None:
        resp.content_type = "text/plain"
        resp.text = "hello"


@_route("/json")
class Json:
    def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = {"hello": "world"}

    def on_post(self, req: Request, resp: Response) -> None:
        resp.media = req.get_media()


@_route("/form")
class Form:
    def on_post(self, req: Request, resp: Response) -> None:
        resp.media = req.get_media()


@_route("/upload")
class Upload:
    def on_post(self, req: Request, resp: Response) -> None:
        found: dict[str, Any] = {}
        for part in req.get_media():
            if part.name == "file":
                digest = hashlib.sha256()
                while data := part.stream.read(1 << 16):
                    digest.update(data)
                found |= {"name": part.filename, "sha256": digest.hexdigest()}
            else:
                found["note"] = part.text
        resp.media = found


@_route("/echo")
class Echo:
    def on_post(self, req: Request, resp: Response) -> None:
        resp.content_type = "application/octet-stream"
        source = req.bounded_stream
        resp.stream = iter(lambda: source.read(1 << 14), b"")


@_route("/stream")
class Stream:
    def on_get(self, req: Request, resp: Response) -> None:
        count, size = req.get_param_as_int("count", True), req.get_param_as_int("size", True)
        resp.stream = (block(size, number) for number in range(count))


@_route("/steps/{key}")
class Steps:
    def on_get(self, _req: Request, resp: Response, key: str) -> None:
        def lines() -> Iterator[bytes]:
            yield b"first\n"
            journal.wait(f"go-{key}")
            yield b"second\n"

        resp.content_type = "text/plain"
        resp.stream = lines()


@_route("/endless/{key}")
class Endless:
    def on_get(self, _req: Request, resp: Response, key: str) -> None:
        def blocks() -> Iterator[bytes]:
            try:
                while True:
                    yield block(1 << 16)
            finally:
                journal.note(f"closed-{key}")

        resp.stream = blocks()


@_route("/file")
class File:
    def on_get(self, req: Request, resp: Response) -> None:
        path = req.get_param("path", True)
        resp.content_type = "application/octet-stream"
        # Falcon puts it into wsgi.file_wrapper, if there is one.
        resp.set_stream(open(path, "rb"), os.path.getsize(path))  # noqa: SIM115


@_route("/cookies")
class Cookies:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.set_cookie("first", "1", secure=False)
        resp.set_cookie("second", "2", secure=False)
        resp.media = req.cookies


@_route("/where")
class Where:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = {
            "path": req.path,
            "root": req.app,
            "scheme": req.scheme,
            "client": req.remote_addr,
            "link": req.uri,
        }


@_route("/error")
class Error:
    def on_get(self, _req: Request, _resp: Response) -> None:
        raise DeliberateError("before the response")


@_route("/error-midway")
class ErrorMidway:
    def on_get(self, _req: Request, resp: Response) -> None:
        def blocks() -> Iterator[bytes]:
            yield b"so far so good"
            raise DeliberateError("in the middle of the response")

        resp.stream = blocks()


@_route("/nothing")
class Nothing:
    def on_get(self, _req: Request, resp: Response) -> None:
        resp.status = falcon.HTTP_204


@_route("/journal/{name}")
class JournalView:
    def on_get(self, req: Request, resp: Response, name: str) -> None:
        resp.media = journal.wait(name, req.get_param_as_int("count") or 0)

    def on_post(self, _req: Request, resp: Response, name: str) -> None:
        journal.note(name)
        resp.status = falcon.HTTP_204
