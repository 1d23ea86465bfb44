"""The opening handshake (RFC 6455 §4.2): what a request asks for, and the response that agrees.

The request is the one that the HTTP connection has read; it is not written out and parsed again.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wsproto.handshake import server_extensions_handshake
from wsproto.utilities import generate_accept_token

from aserve.protocols import policy
from aserve.protocols.errors import RequestRefusedError, WebSocketMessageError
from aserve.protocols.policy import Framing
from aserve.protocols.response import switching_lines
from aserve.protocols.websocket.deflate import Deflate

if TYPE_CHECKING:
    from aserve.protocols.clock import Clock
    from aserve.protocols.options import WebSocketOptions

# An extension and its parameters (RFC 6455 §9.1); a quoted value has to be a token, too.
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_EXTENSION: Final = re.compile(rb"%b(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|\"%b\"))?)*" % ((_TOKEN,) * 4))


@dataclass(slots=True)
class Handshake:
    """What a request for a WebSocket says.

    key: the Sec-WebSocket-Key. subprotocols: those that the client speaks, the preferred one first.
    extensions: those that it offers, with their parameters.
    """

    key: bytes
    subprotocols: list[str]
    extensions: list[str]

    @classmethod
    def read(cls, method: str, headers: Iterable[tuple[bytes, bytes]], framing: Framing) -> Handshake:
        """Read a request that offers to switch; raises `RequestRefusedError` if it is no handshake."""
        if method != "GET":
            raise RequestRefusedError(policy.WEBSOCKET_METHOD)
        if framing.length:
            raise RequestRefusedError(policy.WEBSOCKET_BODY)
        keys, versions, subprotocols, extensions = [], [], [], []
        for name, value in headers:
            if name == b"sec-websocket-key":
                keys.append(value)
            elif name == b"sec-websocket-version":
                versions.append(value)
            elif name == b"sec-websocket-protocol":
                subprotocols += _split(value)
            elif name == b"sec-websocket-extensions":
                extensions += _split(value)
        if not versions:
            raise RequestRefusedError(policy.WEBSOCKET_VERSION_MISSING)
        if versions != [b"13"]:
            raise RequestRefusedError(policy.WEBSOCKET_VERSION)
        if len(keys) != 1 or not _is_key(keys[0]):
            raise RequestRefusedError(policy.WEBSOCKET_KEY)
        if not all(map(_EXTENSION.fullmatch, extensions)):
            raise RequestRefusedError(policy.WEBSOCKET_EXTENSIONS)
        return cls(
            keys[0],
            [subprotocol.decode("latin-1") for subprotocol in subprotocols],
            [extension.decode("ascii") for extension in extensions],
        )

    def agree(self, options: WebSocketOptions) -> tuple[Deflate | None, bytes]:
        """The extension that is used, None for none, and its field line."""
        if not options.deflate or not self.extensions:
            return None, b""
        deflate = Deflate(options)
        agreed = server_extensions_handshake(self.extensions, [deflate])
        if agreed is None:
            return None, b""
        return deflate, b"sec-websocket-extensions: %b\r\n" % agreed

    def response(
        self, clock: Clock, subprotocol: object, fields: Iterable[tuple[Any, Any]], extension: bytes
    ) -> bytes:
        """The head of the response that switches protocols (RFC 6455 §4.2.2).

        subprotocol: one of the client's, None for none. fields: the application's, as bytes.
        extension: from `agree`. Raises `WebSocketMessageError` and `ResponseError` for what must not
        be there.
        """
        fields = list(fields)
        lines = [b"upgrade: websocket\r\nconnection: Upgrade\r\n"]
        lines.append(b"sec-websocket-accept: %b\r\n" % generate_accept_token(self.key))
        if subprotocol is not None:
            if subprotocol not in self.subprotocols:
                raise WebSocketMessageError(f"the client has not offered the subprotocol {subprotocol!r}")
            lines.append(b"sec-websocket-protocol: %b\r\n" % str(subprotocol).encode("latin-1"))
        lines += (extension, switching_lines(fields))
        replaced = {name.lower() for name, _ in fields} & {b"date", b"server"}
        prefix = clock.prefix_without(101, frozenset(replaced), b"")
        return b"%b\r\n%b\r\n" % (prefix, b"".join(lines))


def _split(value: bytes) -> list[bytes]:
    """The members of a list; none that may be here has a comma in it."""
    return [part for part in (piece.strip(b" \t") for piece in value.split(b",")) if part]


def _is_key(value: bytes) -> bool:
    """Whether `value` is 16 bytes in base64 (RFC 6455 §4.2.1)."""
    try:
        return len(binascii.a2b_base64(value, strict_mode=True)) == 16
    except (binascii.Error, ValueError):
        return False
