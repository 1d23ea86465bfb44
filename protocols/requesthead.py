"""A request's head, as the parsers' drivers hand it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aserve.protocols.target import ORIGIN_FORM

if TYPE_CHECKING:
    from aserve.protocols.policy import Framing


class RequestHead:
    """What a request says before its body. A client that repeats itself to the byte gets the same one again.

    method, target (raw bytes), version ("1.1"), headers (lower-case names, in their order). framing:
    None if nothing in it is special. prepared: None for a head that has come once; then what an adapter
    has made of it for its application, to be copied for each request, {} while it has made nothing.
    family: to which it belongs, None for none that is known.
    """

    __slots__ = ("family", "framing", "headers", "method", "prepared", "target", "version")

    def __init__(
        self,
        method: str,
        target: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
        framing: Framing | None,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.framing = framing
        self.prepared: dict[str, Any] | None = None
        self.family: HeadFamily | None = None


class HeadFamily:
    """Heads that differ in nothing but their targets, as those of a client's that asks for many things.

    All are plain. method, headers: what they share. prepared: what an adapter has made of one of them, to
    be copied for each and given its target; {} while it has made nothing.
    """

    __slots__ = ("front", "headers", "method", "prepared", "rest")

    def __init__(self, request: RequestHead, rest: bytes) -> None:
        """request: one of them. rest: what came behind its target."""
        self.method = request.method
        self.headers = request.headers
        self.front = request.method.encode("ascii") + b" "
        self.rest = rest
        self.prepared: dict[str, Any] = {}

    def member(self, head: bytes) -> RequestHead | None:
        """What `head` means if it belongs to them, and if its target is in origin-form (RFC 9112 §3.2.1)."""
        if not head.endswith(self.rest) or not head.startswith(self.front):
            return None
        target = head[len(self.front) : -len(self.rest)]
        if target[:1] != b"/" or target.translate(None, ORIGIN_FORM):
            return None
        request = RequestHead(self.method, target, "1.1", self.headers, None)
        request.family = self
        return request


NO_HEAD: Final = RequestHead("", b"", "", [], None)
"""For who has none."""
