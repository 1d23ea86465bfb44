"""A strict reader of HTTP/1.1 responses, without a socket: whatever is wrong with one is an error.

The server's own parser libraries are not used here: what they forgive must not be forgiven.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Literal

Framing = Literal["none", "length", "chunked", "close"]
Headers = list[tuple[bytes, bytes]]

# RFC 9112 section 4; section 5; RFC 9110 section 5.6.2 and 5.5
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)")
_VISIBLE = rb"[\x21-\x7e\x80-\xff]"
_FIELD = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*"
    rb"((?:" + _VISIBLE + rb"(?:[\t \x21-\x7e\x80-\xff]*" + _VISIBLE + rb")?)?)[ \t]*"
)
# RFC 9112 section 7.1; an extension is legal, but a server has no use for one
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
# RFC 9110 section 5.6.7, IMF-fixdate
_DATE = re.compile(
    rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    rb" [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
_MAX_LINE = 1 << 20


class BadResponseError(AssertionError):
    """The server sent something that is not a well-formed response to the request."""


class IncompleteResponseError(AssertionError):
    """The connection ended before the response was complete.

    `partial` holds what came, or None if the head was not complete; `reset` says that the
    connection was reset rather than closed.
    """

    def __init__(self, message: str, partial: Response | None, *, reset: bool) -> None:
        super().__init__(message)
        self.partial = partial
        self.reset = reset


class Incoming:
    """The bytes that came and are not yet read; `end` says that no more will come, and how."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.end: Literal["", "closed", "reset"] = ""

    def take(self, count: int) -> bytes:
        """Remove and return the first `count` bytes."""
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken


@dataclass(slots=True)
class Response:
    """A response as it was on the wire; header names are in lower case, the rest is untouched."""

    version: bytes
    status: int
    reason: bytes
    headers: Headers
    framing: Framing = "none"
    body: bytes = b""
    chunks: list[int] = field(default_factory=list)
    """The sizes of the chunks, in order (chunked framing only, without the last, empty one)."""
    trailers: Headers = field(default_factory=list)
    interim: list[Response] = field(default_factory=list)
    """The 1xx responses that came before this one."""

    def all(self, name: str) -> list[str]:
        """Return the values of every header called `name` (in lower case)."""
        return [value.decode("latin-1") for key, value in self.headers if key == name.encode()]

    def header(self, name: str) -> str | None:
        """Return the value of the only header called `name`, or None; two are an error."""
        values = self.all(name)
        if len(values) > 1:
            raise BadResponseError(f"{name} is there {len(values)} times: {values}")
        return values[0] if values else None

    @property
    def connection(self) -> set[str]:
        """The options of the Connection header, in lower case."""
        return {
            option.strip().lower()
            for value in self.all("connection")
            for option in value.split(",")
            if option.strip()
        }

    @property
    def text(self) -> str:
        """The body as UTF-8 text."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the body parsed as JSON."""
        return json.loads(self.body)


Reading = Generator[None, None, Response]


def read_head(incoming: Incoming) -> Reading:
    """Read one response's head; the generator yields whenever it needs more bytes.

    Raises BadResponseError for what RFC 9112 does not allow, IncompleteResponseError if the bytes end.
    """
    line = yield from _read_line(incoming, None)
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise BadResponseError(f"not a status line: {line!r}")
    headers = yield from _read_fields(incoming, None)
    return Response(version=match[1], status=int(match[2]), reason=match[3], headers=headers)


def read_response(incoming: Incoming, method: str = "GET", version: str = "1.1") -> Reading:
    """Read one whole response to a request with `method` and HTTP `version`.

    Interim (1xx) responses are collected on the way. Raises as `read_head`, and for a body that
    contradicts its framing.
    """
    interim: list[Response] = []
    while True:
        response = yield from read_head(incoming)
        response.interim = interim
        _check_head(response, method, version)
        if response.status >= 200:
            break
        interim.append(response)
    yield from _read_body(incoming, response, method)
    return response


def _check_head(response: Response, method: str, version: str) -> None:
    length, coding = response.header("content-length"), response.header("transfer-encoding")
    if length is not None and not re.fullmatch(r"[0-9]+", length):
        raise BadResponseError(f"content-length: {length!r}")
    if length is not None and coding is not None:
        raise BadResponseError("content-length and transfer-encoding")  # RFC 9112 section 6.2
    if coding is not None and coding.lower() != "chunked":
        raise BadResponseError(f"transfer-encoding: {coding!r}")
    tunnel = method == "CONNECT" and 200 <= response.status < 300
    bodiless = response.status < 200 or response.status == 204 or tunnel
    # RFC 9110 section 8.6, section 9.3.6, RFC 9112 section 6.1
    if bodiless and (length is not None or coding is not None):
        raise BadResponseError(f"{response.status} with content-length or transfer-encoding")
    if coding is not None and version == "1.0":
        raise BadResponseError("transfer-encoding in the answer to an HTTP/1.0 request")
    if response.status < 200:
        if version == "1.0":
            raise BadResponseError("interim response to an HTTP/1.0 request")  # RFC 9110 section 15.2
        return
    date = response.header("date")
    if date is None and 200 <= response.status < 500:
        raise BadResponseError("no date")  # RFC 9110 section 6.6.1
    if date is not None and not _DATE.fullmatch(date.encode()):
        raise BadResponseError(f"date: {date!r}")


def _read_body(incoming: Incoming, response: Response, method: str) -> Generator[None, None, None]:
    """Read the body by the rules of RFC 9112 section 6.3."""
    if method == "HEAD" or response.status in (204, 304):
        return
    if method == "CONNECT" and response.status < 300:
        return
    length = response.header("content-length")
    body = bytearray()
    try:
        if response.header("transfer-encoding") is not None:
            response.framing = "chunked"
            yield from _read_chunks(incoming, response, body)
        elif length is not None:
            response.framing = "length"
            yield from _read_exactly(incoming, response, body, int(length))
        else:
            response.framing = "close"
            yield from _read_until_close(incoming, response, body)
    finally:
        response.body = bytes(body)


def _read_chunks(incoming: Incoming, response: Response, body: bytearray) -> Generator[None, None, None]:
    while True:
        line = yield from _read_line(incoming, response)
        if not _CHUNK_SIZE.fullmatch(line):
            raise BadResponseError(f"chunk size: {line!r}")
        size = int(line, 16)
        if size == 0:
            response.trailers = yield from _read_fields(incoming, response)
            return
        yield from _read_exactly(incoming, response, body, size)
        response.chunks.append(size)
        if (yield from _read_line(incoming, response)) != b"":
            raise BadResponseError("a chunk is longer than its size")


def _read_exactly(
    incoming: Incoming, response: Response, body: bytearray, count: int
) -> Generator[None, None, None]:
    while len(incoming.data) < count:
        if incoming.end:
            body += incoming.take(len(incoming.data))
            _ended(incoming, response)
        yield
    body += incoming.take(count)


def _read_until_close(incoming: Incoming, response: Response, body: bytearray) -> Generator[None, None, None]:
    if "close" not in response.connection:
        raise BadResponseError("a body until close, without connection: close")
    while not incoming.end:
        yield
    body += incoming.take(len(incoming.data))
    if incoming.end == "reset":
        _ended(incoming, response)


def _read_fields(incoming: Incoming, partial: Response | None) -> Generator[None, None, Headers]:
    headers: Headers = []
    while line := (yield from _read_line(incoming, partial)):
        match = _FIELD.fullmatch(line)
        if match is None:
            raise BadResponseError(f"not a header: {line!r}")
        headers.append((match[1].lower(), match[2]))
    return headers


def _read_line(incoming: Incoming, partial: Response | None) -> Generator[None, None, bytes]:
    while (end := incoming.data.find(b"\n")) < 0:
        if len(incoming.data) > _MAX_LINE:
            raise BadResponseError("a line without an end")
        if incoming.end:
            _ended(incoming, partial)
        yield
    line = incoming.take(end + 1)
    if not line.endswith(b"\r\n"):
        raise BadResponseError(f"line not ended by CR LF: {line!r}")
    return line[:-2]


def _ended(incoming: Incoming, partial: Response | None) -> None:
    where = "before the head was complete" if partial is None else "in the body"
    raise IncompleteResponseError(
        f"connection {incoming.end} {where}; unread: {bytes(incoming.data[:200])!r}",
        partial,
        reset=incoming.end == "reset",
    )
