"""A request's head, as the parsers' drivers hand it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aserve.protocols.policy import Framing


class RequestHead:
    """What a request says before its body. A client that repeats itself to the byte gets the same one again.

    method, target (raw bytes), version ("1.1"), headers (lower-case names, in their order). framing:
    None if nothing in it is special. prepared: None for a head that has come once; then what an adapter
    has made of it for its application, to be copied for each request, {} while it has made nothing.
    """

    __slots__ = ("framing", "headers", "method", "prepared", "target", "version")

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


NO_HEAD: Final = RequestHead("", b"", "", [], None)
"""For who has none."""
