"""A raw WSGI application: each route does one thing that a server may get wrong.

`application` is plain, `validated` is the same one inside wsgiref's validator.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.validate import validator

from .shared import DeliberateError, block, journal
from .wsgi_call import Call, Noted, route, routes

_mine: ContextVar[str] = ContextVar("mine", default="unset")


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _, prefix, key = (environ["PATH_INFO"] + "/").split("/", 2)
    call = Call(environ, start_response, key.rstrip("/"))
    handler = routes.get(prefix)
    return call.answer(b"no such route", "404 Not Found") if handler is None else handler(call)


validated = validator(application)


# -- plain answers ----------------------------------------------------------------------------


@route("")
def root(call: Call) -> Iterable[bytes]:
    return call.answer(b"hello")


@route("length")
def length(call: Call) -> Iterable[bytes]:
    """No Content-Length, a list of one: the server can tell the length itself (PEP 3333)."""
    call.text()
    return [b"inferred"]


@route("empty")
def empty(call: Call) -> Iterable[bytes]:
    call.text()
    return []


@route("status")
def status(call: Call) -> Iterable[bytes]:
    call.start(f"{call.key} Something")
    return []


@route("status-body")
def status_body(call: Call) -> Iterable[bytes]:
    """A body with whatever status: 204 and 304 have none."""
    call.text(f"{call.key} Something")
    return [b"a body", b" in two parts"]


@route("environ")
def show_environ(call: Call) -> Iterable[bytes]:
    shown: dict[str, Any] = {
        name: value if isinstance(value, (str, int, bool)) else type(value).__name__
        for name, value in call.environ.items()
    }
    shown["wsgi.version"] = list(call.environ["wsgi.version"])
    return call.answer(shown)


@route("close")
def close(call: Call) -> Iterable[bytes]:
    call.start("200 OK", ("Connection", "close"), ("Content-Length", "4"))
    return [b"last"]


# -- bodies -----------------------------------------------------------------------------------


@route("read")
def read(call: Call) -> Iterable[bytes]:
    """Read the body in the way that the key names."""
    parts = list(_READERS[call.key](call.input))
    body = b"".join(parts)
    digest = hashlib.sha256(body).hexdigest()
    return call.answer({"size": len(body), "sha256": digest, "parts": len(parts)})


def _by_size(stream: Any) -> Iterator[bytes]:
    while data := stream.read(1000):
        yield data


def _by_line(stream: Any) -> Iterator[bytes]:
    while data := stream.readline():
        yield data


def _by_short_line(stream: Any) -> Iterator[bytes]:
    while data := stream.readline(5):
        assert len(data) <= 5
        yield data


def _mixed(stream: Any) -> Iterator[bytes]:
    """Each way after the other, on one stream."""
    yield stream.read(3)
    yield stream.readline()
    yield stream.read(0)
    yield next(iter(stream))
    yield from stream.readlines()
    assert stream.read(10) == b""
    assert stream.readline() == b""
    assert list(stream) == []


_READERS: dict[str, Callable[[Any], Iterator[bytes]]] = {
    "all": lambda stream: iter([stream.read()]),
    "minus": lambda stream: iter([stream.read(-1)]),
    "much": lambda stream: iter([stream.read(1 << 30)]),
    "size": _by_size,
    "line": _by_line,
    "short-line": _by_short_line,
    "iter": iter,
    "lines": lambda stream: iter(stream.readlines()),
    "mixed": _mixed,
}


@route("echo")
def echo(call: Call) -> Iterable[bytes]:
    """Send every piece back as soon as it comes."""
    call.start("200 OK", ("Content-Type", "application/octet-stream"))
    while line := call.input.readline():
        yield line


@route("unread")
def unread(call: Call) -> Iterable[bytes]:
    return call.answer(b"not for you", "401 Unauthorized")


@route("late-read")
def late_read(call: Call) -> Iterable[bytes]:
    journal.note(f"entered-{call.key}")
    journal.wait(f"go-{call.key}")
    size = sum(len(data) for data in _by_size(call.input))
    return call.answer({"size": size})


@route("stream")
def stream(call: Call) -> Iterable[bytes]:
    call.start("200 OK", ("Content-Type", "application/octet-stream"))
    count, size = int(call.query["count"]), int(call.query["size"])
    return (block(size, number) for number in range(count))


@route("counted")
def counted(call: Call) -> Iterable[bytes]:
    """Stream, and note every piece that the server has taken."""
    call.start("200 OK", ("Content-Type", "application/octet-stream"))
    for number in range(int(call.query["count"])):
        yield block(int(call.query["size"]), number)
        journal.note(f"sent-{call.key}")


@route("steps")
def steps(call: Call) -> Iterable[bytes]:
    call.text()
    yield b"first\n"
    journal.wait(f"go-{call.key}")
    yield b"second\n"


@route("blanks")
def blanks(call: Call) -> Iterable[bytes]:
    """Empty pieces must not end a chunked body."""
    call.text()
    yield b""
    yield b"a"
    yield b""
    yield b"b"


@route("file")
def file(call: Call) -> Iterable[bytes]:
    """What the server offers for files, if it offers it."""
    call.text()
    source = io.BytesIO(block(100_000))
    wrapper = call.environ.get("wsgi.file_wrapper")
    return [source.read()] if wrapper is None else wrapper(source, 8192)


@route("endless")
def endless(call: Call) -> Iterable[bytes]:
    call.start("200 OK", ("Content-Type", "application/octet-stream"))
    return Noted(iter(lambda: block(1 << 16), b""), call.key)


@route("noted")
def noted(call: Call) -> Iterable[bytes]:
    call.text()
    return Noted([b"one", b"two"], call.key)


@route("close-error")
def close_error(call: Call) -> Iterable[bytes]:
    call.text()
    return Noted([b"one", b"two"], call.key, fails=True)


# -- start_response and write -----------------------------------------------------------------


@route("write")
def write(call: Call) -> Iterable[bytes]:
    """PEP 3333's write(): before what is iterated."""
    out = call.text()
    out(b"written, ")
    out(b"written again, ")
    return [b"returned"]


@route("write-steps")
def write_steps(call: Call) -> Iterable[bytes]:
    """What write() got must not wait for the application's end."""
    out = call.text()
    out(b"first\n")
    journal.wait(f"go-{call.key}")
    out(b"second\n")
    return []


@route("write-counted")
def write_counted(call: Call) -> Iterable[bytes]:
    out = call.start("200 OK", ("Content-Type", "application/octet-stream"))
    for number in range(int(call.query["count"])):
        out(block(int(call.query["size"]), number))
        journal.note(f"sent-{call.key}")
    return []


@route("lazy")
def lazy(call: Call) -> Iterable[bytes]:
    """start_response is first called when the iterable is asked for its first piece."""
    call.text("201 Created")
    yield b"lazy"


@route("exc-info")
def exc_info(call: Call) -> Iterable[bytes]:
    """A second start_response with exc_info, before anything was sent, replaces the first."""
    call.start("200 OK", ("Content-Type", "text/plain"), ("X-First", "yes"))
    try:
        raise DeliberateError("handled by the application")
    except DeliberateError:
        info = sys.exc_info()
        call.start("500 Sorry", ("Content-Type", "text/plain"), exc_info=info)
    return [b"sorry"]


@route("exc-info-late")
def exc_info_late(call: Call) -> Iterable[bytes]:
    """After the head has gone, start_response with exc_info raises what it was given."""
    call.text()
    yield b"so far so good"
    try:
        raise DeliberateError("too late for another head")
    except DeliberateError:
        info = sys.exc_info()
        call.start("500 Sorry", ("Content-Type", "text/plain"), exc_info=info)
    yield b"start_response did not raise"


@route("two-starts")
def two_starts(call: Call) -> Iterable[bytes]:
    call.text()
    call.text("201 Created")
    return [b"start_response did not raise"]


@route("no-start")
def no_start(_call: Call) -> Iterable[bytes]:
    return [b"no head"]


# -- errors -----------------------------------------------------------------------------------


@route("error")
def error(_call: Call) -> Iterable[bytes]:
    raise DeliberateError("before the response")


@route("error-started")
def error_started(call: Call) -> Iterable[bytes]:
    """Raise after start_response, before the first byte: a 500 is still possible."""
    call.text()
    raise DeliberateError("after start_response")


@route("error-midway")
def error_midway(call: Call) -> Iterable[bytes]:
    def parts() -> Iterator[bytes]:
        yield b"so far so good"
        raise DeliberateError("in the middle of the response")

    call.text()
    return Noted(parts(), call.key)


@route("error-length")
def error_length(call: Call) -> Iterable[bytes]:
    call.start("200 OK", ("Content-Type", "text/plain"), ("Content-Length", "1000"))
    yield b"so far so good"
    raise DeliberateError("in the middle of the response")


@route("exit")
def leave(_call: Call) -> Iterable[bytes]:
    sys.exit("deliberate: the application leaves")


@route("short")
def short(call: Call) -> Iterable[bytes]:
    call.start("200 OK", ("Content-Type", "text/plain"), ("Content-Length", "1000"))
    return [b"so far so good"]


@route("long")
def long(call: Call) -> Iterable[bytes]:
    call.start("200 OK", ("Content-Type", "text/plain"), ("Content-Length", "5"))
    return [b"12345", b"HTTP/1.1 200 OK\r\n\r\n"]


@route("text")
def text(call: Call) -> Iterable[bytes]:
    """A str where bytes are due."""
    call.text()
    return ["text"]  # type: ignore[list-item]


@route("bad-header")
def bad_header(call: Call) -> Iterable[bytes]:
    """A header that would split the response."""
    value = {"value": "a\r\nSet-Cookie: evil=1", "nul": "a\0b", "lf": "a\nb: c"}
    name = {"name": "x y", "colon": "x:y", "crlf": "x\r\ny"}
    call.start("200 OK", (name.get(call.key, "X-Test"), value.get(call.key, "a")))
    return [b"split"]


@route("bad-status")
def bad_status(call: Call) -> Iterable[bytes]:
    call.start("200 OK\r\nSet-Cookie: evil=1", ("Content-Type", "text/plain"))
    return [b"split"]


@route("log")
def log(call: Call) -> Iterable[bytes]:
    """Write to wsgi.errors."""
    print(f"noted in wsgi.errors: {call.key}", file=call.environ["wsgi.errors"])
    call.environ["wsgi.errors"].flush()
    return call.answer(b"logged")


@route("context")
def context(call: Call) -> Iterable[bytes]:
    before = _mine.get()
    _mine.set(call.key)
    return call.answer({"before": before, "after": _mine.get()})


@route("journal")
def show_journal(call: Call) -> Iterable[bytes]:
    if call.environ["REQUEST_METHOD"] == "POST":
        journal.note(call.key)
        return call.answer([])
    return call.answer(journal.wait(call.key, int(call.query.get("count", "1"))))
