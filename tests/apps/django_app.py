"""The common routes on Django: `application` for WSGI, `asgi` for ASGI, from the same views."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}},
    },
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.handlers.asgi import ASGIRequest  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import (  # noqa: E402
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path  # noqa: E402

from .shared import DeliberateError, block, journal  # noqa: E402


def root(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello", content_type="text/plain")


def json_view(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return JsonResponse(json.loads(request.body), safe=False)
    return JsonResponse({"hello": "world"})


def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse(request.POST.dict())


def upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for data in file.chunks():
        digest.update(data)
    return JsonResponse(
        {
            "name": file.name,
            "type": file.content_type,
            "note": request.POST["note"],
            "size": file.size,
            "sha256": digest.hexdigest(),
        }
    )


def _streaming(
    request: HttpRequest,
    blocking: Callable[[], Iterator[Any]],
    asynchronous: Callable[[], AsyncIterator[Any]],
    content_type: str = "application/octet-stream",
) -> HttpResponse:
    make = asynchronous if isinstance(request, ASGIRequest) else blocking
    return StreamingHttpResponse(make(), content_type=content_type)


def echo(request: HttpRequest) -> HttpResponse:
    def blocks() -> Iterator[bytes]:
        while data := request.read(1 << 16):
            yield data

    async def async_blocks() -> AsyncIterator[bytes]:
        for data in blocks():  # Django has spooled the whole body by now
            yield data

    return _streaming(request, blocks, async_blocks)


def stream(request: HttpRequest) -> HttpResponse:
    count, size = int(request.GET["count"]), int(request.GET["size"])

    def blocks() -> Iterator[bytes]:
        for number in range(count):
            yield block(size, number)

    async def async_blocks() -> AsyncIterator[bytes]:
        for data in blocks():
            yield data

    return _streaming(request, blocks, async_blocks)


def steps(request: HttpRequest, key: str) -> HttpResponse:
    def lines() -> Iterator[str]:
        yield "first\n"
        journal.wait(f"go-{key}")
        yield "second\n"

    async def async_lines() -> AsyncIterator[str]:
        yield "first\n"
        await journal.wait_async(f"go-{key}")
        yield "second\n"

    return _streaming(request, lines, async_lines, "text/plain")


def endless(request: HttpRequest, key: str) -> HttpResponse:
    def blocks() -> Iterator[bytes]:
        try:
            while True:
                yield block(1 << 16)
        finally:
            journal.note(f"closed-{key}")

    async def async_blocks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield block(1 << 16)
        finally:
            journal.note(f"closed-{key}")

    return _streaming(request, blocks, async_blocks)


def cookies(request: HttpRequest) -> HttpResponse:
    response = JsonResponse(request.COOKIES)
    response.set_cookie("first", "1")
    response.set_cookie("second", "two words", httponly=True)
    return response


def redirect(_request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/json")


def headers(request: HttpRequest) -> HttpResponse:
    pairs = [(name.lower(), value) for name, value in request.headers.items()]
    return JsonResponse(pairs, safe=False)


def large_header(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", headers={"X-Large": "x" * int(request.GET["size"])})


def error(_request: HttpRequest) -> HttpResponse:
    raise DeliberateError("before the response")


def error_midway(request: HttpRequest) -> HttpResponse:
    def blocks() -> Iterator[bytes]:
        yield b"so far so good"
        raise DeliberateError("in the middle of the response")

    async def async_blocks() -> AsyncIterator[bytes]:
        yield b"so far so good"
        raise DeliberateError("in the middle of the response")

    return _streaming(request, blocks, async_blocks)


def nothing(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


def not_modified(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=304, headers={"ETag": '"same"'})


def where(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            "path": request.path,
            "root": request.META.get("SCRIPT_NAME", ""),
            "query": request.META["QUERY_STRING"],
            "scheme": request.scheme,
            "link": request.build_absolute_uri(),
            "secure": request.is_secure(),
            "host": request.get_host(),
            "port": request.get_port(),
            "client": request.META.get("REMOTE_ADDR", ""),
        }
    )


def file(request: HttpRequest) -> HttpResponse:
    return FileResponse(open(request.GET["path"], "rb"))


def journal_view(request: HttpRequest, name: str) -> HttpResponse:
    if request.method == "POST":
        journal.note(name)
        return HttpResponse("noted")
    gc.collect()  # Django leaves the generators of an aborted ASGI response to it
    return JsonResponse(journal.wait(name, int(request.GET.get("count", "1"))), safe=False)


urlpatterns = [
    path("", root),
    path("json", json_view),
    path("form", form),
    path("upload", upload),
    path("echo", echo),
    path("stream", stream),
    path("steps/<key>", steps),
    path("endless/<key>", endless),
    path("cookies", cookies),
    path("redirect", redirect),
    path("headers", headers),
    path("large-header", large_header),
    path("error", error),
    path("error-midway", error_midway),
    path("nothing", nothing),
    path("not-modified", not_modified),
    path("where", where),
    path("file", file),
    path("journal/<name>", journal_view),
]

application = get_wsgi_application()
asgi = get_asgi_application()
