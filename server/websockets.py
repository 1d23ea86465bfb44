"""The options of WebSockets.

A part of the one table of options, see options.py. uvicorn's names and defaults where it has them.
"""

from __future__ import annotations

from typing import Final, Literal

from aserve import validators
from aserve.declaration import declared, option
from aserve.limits import ClientSettings

_UVICORNS: Final = ("websockets", "websockets-sansio", "wsproto")
"""What uvicorn calls its implementations; there is one here."""


@declared(frozen=True, kw_only=True)
class WebSocketSettings(ClientSettings):
    """Those settings, and the ones of limits.py: one line of classes, since they have slots."""

    ws: Literal["auto", "none"] = option(
        "--ws",
        section="WebSockets",
        metavar="auto|none",
        parse=validators.choice("auto", "none", **dict.fromkeys(_UVICORNS, "auto")),
        default="auto",
        elsewhere=("--no-ws",),
        help="Whether ASGI applications get WebSockets; with none, and for WSGI, a request for one is a "
        "request like others.",
    )
    ws_handshake_timeout: float = option(
        "--ws-handshake-timeout",
        section="WebSockets",
        metavar="SECONDS",
        parse=validators.seconds,
        default=30.0,
        default_text="30",
        elsewhere=("--websocket-connect-timeout", "--websocket_connect_timeout"),
        help="How long the application may take to accept or to deny; then the client gets a 503. 0: for "
        "ever.",
    )
    ws_max_size: int = option(
        "--ws-max-size",
        section="WebSockets",
        metavar="BYTES",
        parse=validators.size,
        default=16 * 2**20,
        default_text="16M",
        gunicorn="websocket_max_message_size",
        elsewhere=("--websocket-max-message-size",),
        help="The largest message, all of its frames together and inflated; one above it closes with 1009. "
        "64K, 1M and the like can be written. 0: no limit.",
    )
    ws_max_queue: int = option(
        "--ws-max-queue",
        section="WebSockets",
        metavar="N",
        parse=validators.integer(1),
        default=32,
        help="How many messages may wait for the application before no more are read from the client.",
    )
    ws_ping_interval: float = option(
        "--ws-ping-interval",
        section="WebSockets",
        metavar="SECONDS",
        parse=validators.seconds,
        default=20.0,
        default_text="20",
        elsewhere=("--websocket-ping-interval",),
        help="How often clients are sent a ping; 0: never.",
    )
    ws_ping_timeout: float = option(
        "--ws-ping-timeout",
        section="WebSockets",
        metavar="SECONDS",
        parse=validators.seconds,
        default=20.0,
        default_text="20",
        help="How long a client may send nothing at all after a ping; then it is given up, with 1011. 0: for "
        "ever.",
    )
    ws_per_message_deflate: bool = option(
        "--ws-per-message-deflate",
        section="WebSockets",
        metavar="yes|no",
        parse=validators.boolean,
        default=True,
        default_text="yes",
        alone="yes",
        help="Compress messages for clients that offer it (permessage-deflate).",
    )
    ws_deflate_takeover: bool = option(
        "--ws-deflate-takeover",
        section="WebSockets",
        metavar="yes|no",
        parse=validators.boolean,
        default=True,
        default_text="yes",
        alone="yes",
        help="Compress each message with the help of those before it: better, but a connection that has used "
        "it holds memory for it (docs/websockets.md says how much).",
    )
    ws_deflate_window_bits: int = option(
        "--ws-deflate-window-bits",
        section="WebSockets",
        metavar="9-15",
        parse=validators.integer(9, 15),
        default=12,
        help="How far that help goes back, as a power of two: 12 is 4 KiB.",
    )
