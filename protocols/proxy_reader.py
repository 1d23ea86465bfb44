"""Connections that begin with a header of the PROXY protocol: what comes before their first request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aserve.protocols.proxy_protocol import ProxyHeader, ProxyHeaderError, Relay, Versions
from aserve.protocols.states import Reading

if TYPE_CHECKING:
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.lingering import LingeringConnection
    from aserve.protocols.options import ConnectionOptions
    from aserve.protocols.request import RequestReader

logger: Final = logging.getLogger("aserve")


class ProxyHeaderReader:
    """Stands in for the reader of requests until the header is complete.

    It never guesses whether there is one: without, or from somebody who is not trusted to send it,
    nothing is read and the connection is closed (§2 of the specification). The header has the time
    that a first request's head has, and together with it.

    make: makes the reader of requests. versions: of the header.
    """

    __slots__ = ("_connection", "_header", "_make", "_options", "pending", "skipped")

    def __init__(
        self,
        make: Callable[[Http1Connection, ConnectionOptions], RequestReader],
        versions: Versions,
        connection: Http1Connection,
        options: ConnectionOptions,
    ) -> None:
        self._make = make
        self._connection = connection
        self._options = options
        self._header = ProxyHeader(versions)
        # An incomplete header is no incomplete request: no response would be understood.
        self.pending = b""
        self.skipped = 0

    def feed(self, data: bytes) -> None:
        """Take what the proxy has sent; raises `RequestRefusedError` for what is behind the header."""
        connection = self._connection
        relay = read_header(self._header, data, connection, self._options)
        if relay is None:
            return
        reader = self._make(connection, self._options)
        follow(relay, connection, reader)
        try:
            if self._header.rest:
                reader.feed(self._header.rest)
        finally:
            self.pending = reader.pending

    def resume(self) -> None:
        """Nothing waits."""


def read_header(
    header: ProxyHeader, data: bytes, connection: LingeringConnection, options: ConnectionOptions
) -> Relay | None:
    """Take more of a header; None while it is not complete, or if it is none: the connection is lost then."""
    trust = options.proxy_trust
    try:
        if trust is None or not trust.allows(connection.client):
            raise ProxyHeaderError("PROXY protocol from a peer that is not trusted (--proxy-allow-from)")
        return header.feed(data)
    except ProxyHeaderError as error:
        logger.info("refused: %s client=%s", error, connection.peer())
        connection.reading = Reading.CLOSED
        connection.transport.abort()
        return None


def follow(relay: Relay, connection: Http1Connection, reader: RequestReader) -> None:
    """Take over what the header says of a connection, whose requests `reader` reads."""
    if relay.told:
        connection.client, connection.server = relay.client, relay.server
    elif not relay.local:
        reader.trusted = False  # the peer is, but who speaks through it is not known
    connection.reader = reader
