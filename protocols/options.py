"""What connections need to know of the server's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aserve.protocols.policy import PROXY_FIELDS
from aserve.protocols.trust import Trust

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True, eq=False)
class WebSocketOptions:
    """The values that WebSockets use; times are in seconds, sizes in bytes.

    served: whether the application gets any; without, a request for one is a request like others.
    handshake_timeout: from the request to the application's answer. ping_interval: between two pings.
    ping_timeout: from a ping to anything at all from the client. 0 for no limit, and for no pings.
    max_size: a message, as the application gets it; 0 for no limit. max_queue: messages that wait
    for the application before reading from the client pauses.
    deflate: whether permessage-deflate is accepted (RFC 7692). context_takeover: whether a
    message is compressed with the help of those before it. window_bits: 9 to 15, the base-2
    logarithm of what it can look back on.
    """

    served: bool = True
    handshake_timeout: float = 30.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    max_size: int = 16 * 2**20
    max_queue: int = 32
    deflate: bool = True
    context_takeover: bool = True
    window_bits: int = 12


@dataclass(frozen=True, slots=True, eq=False)
class ConnectionOptions:
    """The few values that connections use; times are in seconds, sizes in bytes.

    http: "auto" (httptools), "httptools" or "h11".

    Time. keep_alive: an idle connection stays open between requests, 0 for one request a
    connection. header_timeout: from accepting a connection, or from a later head's first byte, to
    the head's end. body_timeout: in each span of this length a client has to send at least
    `body_rate` bytes a second of a body that it has announced. write_timeout: a client may
    read nothing while there is something for it. request_timeout: from the beginning of a
    request to the end of its response. 0 for no limit in these four.

    Size. limit_line: the request line. limit_fields: the number of header fields, also of
    trailer fields. limit_field_size: a field's name and value. limit_head: the whole head. limit_body:
    a request's body, 0 for no limit. body_buffer: bytes of a request's body that are held before
    reading from the client pauses. limit_concurrency: requests at work at the same time, 0 for no
    limit.

    Headers. header_map: what becomes of fields with an underscore in their name: left out, refused, or
    handed on. server_header: the Server header, None for none. date_header: whether to send Date.
    headers: more of them for every response.

    Proxies. forwarded_trust: whose X-Forwarded-* and Forwarded headers are believed, None for
    nobody's. forwarded_fields: which of them, and others that tell the scheme
    (`Trust.secure`), in lower case. forwarder_fields: names with an underscore
    that those may send whatever `header_map` says, b"*" for all; `script_name` is then what
    X-Forwarded-Prefix is. proxy_protocol: "off", or the
    version of the PROXY protocol's header that connections begin with, "auto" for either.
    proxy_trust: who may make such connections, None for nobody.

    websocket: the options of WebSockets.

    TLS. tls: what connections begin with, None for plain HTTP. handshake_timeout: from accepting a
    connection to the end of the handshake, 0 for no limit.
    """

    http: str = "auto"

    keep_alive: float = 5.0
    header_timeout: float = 30.0
    body_timeout: float = 30.0
    body_rate: int = 240
    write_timeout: float = 60.0
    request_timeout: float = 0.0

    limit_line: int = 8190
    limit_fields: int = 100
    limit_field_size: int = 8190
    limit_head: int = 65536
    limit_body: int = 0
    body_buffer: int = 65536
    limit_concurrency: int = 0

    header_map: Literal["drop", "refuse", "dangerous"] = "drop"
    server_header: bytes | None = b"aserve"
    date_header: bool = True
    headers: tuple[tuple[bytes, bytes], ...] = ()

    forwarded_trust: Trust | None = None
    forwarded_fields: frozenset[bytes] = PROXY_FIELDS
    forwarder_fields: frozenset[bytes] = frozenset()
    proxy_protocol: Literal["off", "v1", "v2", "auto"] = "off"
    proxy_trust: Trust | None = None

    websocket: WebSocketOptions = WebSocketOptions()

    tls: ssl.SSLContext | None = None
    handshake_timeout: float = 10.0
