"""A connection before it is one for HTTP: the header of the PROXY protocol, if there is one, and TLS.

Whatever comes instead of a handshake ends in a line of the log and in bounded time.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Final, cast

from aserve.protocols import clienthello, policy
from aserve.protocols.lingering import LingeringConnection
from aserve.protocols.servername import advance
from aserve.protocols.states import Reading
from aserve.protocols.tls_transport import TLSTransport, reason_of

if TYPE_CHECKING:
    from aserve.protocols.group import ConnectionGroup
    from aserve.protocols.proxy_protocol import ProxyHeader, Relay
    from aserve.protocols.request import RequestReader

logger: Final = logging.getLogger("aserve")

SPOKEN: Final = ("http/1.1",)
"""What the server speaks over TLS (RFC 7301 §6)."""


class TLSHandshake(LingeringConnection):
    """An accepted connection, until its TLS handshake is complete; then an `Http1Connection` follows.

    group: whose connection it is, and counts as from now on. context: what it begins with.
    """

    __slots__ = ("_context", "_header", "_incoming", "_opening", "_outgoing", "_relay", "_tls")

    def __init__(self, group: ConnectionGroup, context: ssl.SSLContext) -> None:
        super().__init__(group)
        self.reading = Reading.IDLE
        self.client = self.server = None
        self._context = context
        self._header = _proxy_header(group)
        self._relay: Relay | None = None
        self._opening = b""
        # Made when the handshake begins: they are not small.
        self._tls: ssl.SSLObject | None = None
        self._incoming: ssl.MemoryBIO
        self._outgoing: ssl.MemoryBIO

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.client = peer[0].removeprefix("::ffff:"), peer[1]
        self.deadline = self.group.tls_deadline()
        self.group.connections.add(self)
        if peer is None:  # reset before it was accepted
            self.reading = Reading.CLOSED
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.reading is Reading.DISCARD or self.reading is Reading.CLOSED:
            self.drop(len(data))
        elif self._tls is not None:
            self._go_on(data)
        elif self._header is None:
            self._begin(data)
        else:
            self._read_header(self._header, data)

    def eof_received(self) -> bool:
        if self.reading is Reading.IDLE:
            logger.debug("closed: gone before a TLS handshake client=%s", self.peer())
        elif self.reading is Reading.HEAD:
            logger.info("closed: gone in the TLS handshake client=%s", self.peer())
        self.reading = Reading.CLOSED
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.reading = Reading.CLOSED
        self.deadline = inf
        self._tls = None
        self.release_writers()
        self.group.closed(self)

    def resume_writing(self) -> None:
        self.release_writers()

    # The handshake

    def _read_header(self, header: ProxyHeader, data: bytes) -> None:
        from aserve.protocols.proxy_reader import read_header

        self._relay = read_header(header, data, self, self.group.options)
        if self._relay is not None:
            self._header = None
            if self._relay.told:
                self.client = self._relay.client
            if header.rest:
                self._begin(header.rest)

    def _begin(self, data: bytes) -> None:
        """Look at what comes first, as soon as all of it has come."""
        self.reading = Reading.HEAD
        self._opening += data
        opening = self._opening
        if clienthello.looks_like_text(opening):
            refusal = replace(policy.PLAIN_ON_TLS, bodiless=opening.startswith(b"HEAD "))
            logger.info("refused: %d %s client=%s", refusal.status, refusal.text, self.peer())
            self.send_refusal(refusal)
            return
        offered = clienthello.offered_protocols(opening)
        if offered is None:
            return
        if reason := clienthello.unspoken(offered):
            self._refuse(reason, clienthello.NO_APPLICATION_PROTOCOL)
            return
        self._opening = b""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._go_on(opening)

    def _go_on(self, data: bytes) -> None:
        tls = self._tls
        assert tls is not None
        self._incoming.write(data)
        try:
            advance(tls)
        except ssl.SSLWantReadError:
            if self._outgoing.pending:
                self.transport.write(self._outgoing.read())
        except ssl.SSLError as error:
            self._refuse(reason_of(error), self._outgoing.read())
        except (OSError, ValueError) as error:  # such as a hook of the user's that goes wrong
            self._refuse(f"{type(error).__name__}: {error}", self._outgoing.read())
        else:
            self._hand_over(tls)

    def _refuse(self, reason: str, alert: bytes) -> None:
        """Say why there is no handshake, to the log and in TLS's own words, and end."""
        logger.info("refused: TLS handshake failed: %s client=%s", reason, self.peer())
        if alert:
            self.transport.write(alert)
        self.linger()

    def _hand_over(self, tls: ssl.SSLObject) -> None:
        """Let HTTP begin."""
        group, raw = self.group, self.transport
        if self._outgoing.pending:
            raw.write(self._outgoing.read())
        encrypted = TLSTransport(group.loop, raw, tls, self._incoming, self._outgoing)
        raw.set_protocol(encrypted)
        following = group.connection()
        encrypted.set_protocol(following)
        following.connection_made(encrypted)
        if self._relay is not None:
            from aserve.protocols.proxy_reader import follow

            follow(self._relay, following, cast("RequestReader", group.reader(following)))
        if group.hurried:
            following.close_idle(group.soon())
        group.replace(self, following)
        self._tls = None
        encrypted.read_on()

    # What connections have in common

    def update_reading(self) -> None:
        """Nothing is ever held back."""

    def expire(self) -> None:
        self.deadline = inf
        if self.reading is Reading.DISCARD:
            self.linger_on()
        else:
            begun = self.reading is Reading.HEAD
            logger.log(
                logging.INFO if begun else logging.DEBUG,
                "closed: no complete TLS handshake in time client=%s",
                self.peer(),
            )
            self.transport.abort()

    def drain(self) -> None:
        """Its first request is still answered."""

    def close_idle(self, first: float) -> None:
        self.deadline = min(self.deadline, first)

    def cut_off(self) -> None:
        self.transport.abort()


def _proxy_header(group: ConnectionGroup) -> ProxyHeader | None:
    versions = group.options.proxy_protocol
    if versions == "off":
        return None
    from aserve.protocols.proxy_protocol import ProxyHeader

    return ProxyHeader(versions)
