"""The common routes on Pyramid."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import FileResponse, Response

from .shared import DeliberateError, block, journal

View = Callable[[Request], Any]
_routes: list[tuple[str, View]] = []


def _route(pattern: str) -> Callable[[View], View]:
    def register(view: View) -> View:
        _routes.append((pattern, view))
        return view

    return register


@_route("/")
def root(_request: Request) -> Response:
    return Response("hello", content_type="text/plain")


@_route("/json")
def json_both_ways(request: Request) -> Response:
    return Response(json_body=request.json_body if request.method == "POST" else {"hello": "world"})


@_route("/form")
def form(request: Request) -> Response:
    return Response(json_body=dict(request.POST))


@_route("/upload")
def upload(request: Request) -> Response:
    field = request.POST["file"]
    with field.file as opened:
        digest = hashlib.sha256(opened.read()).hexdigest()
    if request.content_length > request.request_body_tempfile_limit:
        request.body_file_raw.close()  # WebOb's own copy, which it leaves to the garbage collector
    return Response(json_body={"name": field.filename, "note": request.POST["note"], "sha256": digest})


@_route("/echo")
def echo(request: Request) -> Response:
    source = request.body_file
    return Response(app_iter=iter(lambda: source.read(1 << 14), b""), content_type="application/octet-stream")


@_route("/stream")
def stream(request: Request) -> Response:
    count, size = int(request.GET["count"]), int(request.GET["size"])
    return Response(app_iter=(block(size, number) for number in range(count)))


@_route("/steps/{key}")
def steps(request: Request) -> Response:
    def lines() -> Iterator[bytes]:
        yield b"first\n"
        journal.wait(f"go-{request.matchdict['key']}")
        yield b"second\n"

    return Response(app_iter=lines(), content_type="text/plain")


@_route("/endless/{key}")
def endless(request: Request) -> Response:
    def blocks() -> Iterator[bytes]:
        try:
            while True:
                yield block(1 << 16)
        finally:
            journal.note(f"closed-{request.matchdict['key']}")

    return Response(app_iter=blocks())


@_route("/file")
def file(request: Request) -> Response:
    return FileResponse(request.GET["path"], request=request, content_type="application/octet-stream")


@_route("/cookies")
def cookies(request: Request) -> Response:
    response = Response(json_body=dict(request.cookies))
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return response


@_route("/where")
def where(request: Request) -> Response:
    return Response(
        json_body={
            "path": request.path_info,
            "root": request.script_name,
            "scheme": request.scheme,
            "client": request.client_addr,
            "link": request.path_url,
        }
    )


@_route("/error")
def error(_request: Request) -> Response:
    raise DeliberateError("before the response")


@_route("/error-midway")
def error_midway(_request: Request) -> Response:
    def blocks() -> Iterator[bytes]:
        yield b"so far so good"
        raise DeliberateError("in the middle of the response")

    return Response(app_iter=blocks())


@_route("/nothing")
def nothing(_request: Request) -> Response:
    return Response(status=204)


@_route("/journal/{name}")
def journal_view(request: Request) -> Response:
    name = request.matchdict["name"]
    if request.method == "POST":
        journal.note(name)
        return Response(status=204)
    return Response(json_body=journal.wait(name, int(request.GET.get("count", "1"))))


def _make() -> Any:
    with Configurator() as config:
        for pattern, view in _routes:
            config.add_route(view.__name__, pattern)
            config.add_view(view, route_name=view.__name__)
        return config.make_wsgi_app()


app = _make()
