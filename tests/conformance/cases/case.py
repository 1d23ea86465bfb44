"""A case: raw bytes that a client sends, and the verdict that the RFCs demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Seen:
    """A request as the application has to see it: names in lower case, the rest as it was sent."""

    method: str
    target: bytes
    headers: Fields
    body: bytes = b""
    version: str = "1.1"


@dataclass(frozen=True)
class Case:
    """What is sent on a new connection, and what has to become of it.

    section: the rule, as "RFC 9112 3.2". what: in a few words. data: the bytes.
    requests: those that are taken, in order; each is answered.
    status: of the refusal that comes then, 0 for none. method: of the refused request: there is
    no content in an answer to HEAD.
    persists: the connection takes a further request; without it, and without a refusal, the last
    response says so.
    body: what of the refused request's body an application may have seen before, None if it must
    not even have seen its head.
    half_closed: the client sends nothing more (a FIN).
    options: of `ConnectionOptions`.
    """

    section: str
    what: str
    data: bytes
    requests: tuple[Seen, ...] = ()
    status: int = 0
    method: str = "GET"
    persists: bool = False
    body: bytes | None = None
    half_closed: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        verdict = str(self.status) if self.status else f"{len(self.requests)} taken"
        return f"{self.section}: {self.what}: {verdict}"


def taken(section: str, what: str, data: bytes, *requests: Seen, **options: Any) -> Case:
    """All of `requests` are taken, and the connection goes on."""
    return Case(section, what, data, requests, persists=True, options=options)


def closing(section: str, what: str, data: bytes, *requests: Seen, **options: Any) -> Case:
    """All of `requests` are taken, and the last one ends the connection."""
    return Case(section, what, data, requests, options=options)


def refused(
    section: str,
    what: str,
    status: int,
    data: bytes,
    *before: Seen,
    body: bytes | None = None,
    method: str = "GET",
    **options: Any,
) -> Case:
    """The requests in `before` are taken, what follows is refused with `status`."""
    return Case(section, what, data, before, status=status, method=method, body=body, options=options)


def get(*lines: bytes, target: bytes = b"/", method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """A request without a body, with `Host: a` and further field lines."""
    return b"\r\n".join((method + b" " + target + b" " + version, b"Host: a", *lines, b"", b""))


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/", version: bytes = b"HTTP/1.1") -> bytes:
    """A POST with `Host: a`, further field lines, and the bytes behind the head."""
    return get(*lines, target=target, method=b"POST", version=version) + body


def seen(
    *headers: tuple[bytes, bytes],
    target: bytes = b"/",
    method: str = "GET",
    body: bytes = b"",
    version: str = "1.1",
    host: bytes | None = b"a",
) -> Seen:
    """What the application sees of `get` or `post`; host: the Host header in front, None for none."""
    first = () if host is None else ((b"host", host),)
    return Seen(method, target, (*first, *headers), body, version)


def posted(
    *headers: tuple[bytes, bytes], body: bytes = b"", target: bytes = b"/", version: str = "1.1"
) -> Seen:
    """What the application sees of `post`."""
    return seen(*headers, target=target, method="POST", body=body, version=version)
