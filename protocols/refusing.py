"""How a connection refuses: the client is told why, and nothing behind the refusal is ever taken."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from aserve.protocols.lingering import LingeringConnection
from aserve.protocols.policy import REQUEST_TOO_LONG, Refusal
from aserve.protocols.refused import head_of, refused_exchange
from aserve.protocols.states import Reading, Response

if TYPE_CHECKING:
    from aserve.protocols.exchange import Exchange
    from aserve.protocols.group import ConnectionGroup
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.request import Reader

logger: Final = logging.getLogger("aserve")


class RefusingConnection(LingeringConnection):
    """A connection with requests, any of which may turn out to be none.

    exchange: the one whose turn it is. queue: parsed requests behind it. receiving: the one whose
    body is being read. template: the adapter's, for what is the same in all of its requests.
    outgoing: a complete response that the outbox holds. Nothing may be written before it.
    """

    __slots__ = ("exchange", "outgoing", "queue", "reader", "receiving", "template")

    template: Any

    def __init__(self, group: ConnectionGroup) -> None:
        super().__init__(group)
        self.exchange: Exchange | None = None
        self.receiving: Exchange | None = None
        self.queue: deque[Exchange | Refusal] | None = None
        self.reader: Reader | None = None
        self.template = None
        self.outgoing = b""

    def flush(self) -> None:
        """Write the response that is held."""
        outgoing = self.outgoing
        if outgoing:
            self.outgoing = b""
            if not self.transport.is_closing():
                self.transport.write(outgoing)

    def refuse(self, refusal: Refusal) -> None:
        """Take no more from this client; tell it why when the responses before it are sent."""
        logger.info(
            "refused: %d %s (%s) client=%s", refusal.status, refusal.text, refusal.section, self.peer()
        )
        broken = self.receiving
        if broken is not None:
            refusal = replace(refusal, bodiless=broken.method == "HEAD")
        elif refusal.head is None:
            refusal = replace(refusal, head=self.reader.pending if self.reader is not None else b"")
        self.receiving = None
        self.reading = Reading.DISCARD
        if broken is not None:
            self._refuse_body(broken, refusal)
        elif self.exchange is None and self.queue is None:
            self.end_refused(refusal)
        else:
            if self.queue is None:
                self.queue = deque()
            self.queue.append(refusal)

    def time_out(
        self, exchange: Exchange, what: str, limit: float, refusal: Refusal = REQUEST_TOO_LONG
    ) -> None:
        """The application of `exchange` takes too long: the client gets a 503, or a broken connection.

        what: the name of the timeout for the log. limit: its seconds.
        """
        stack = exchange.where()
        logger.warning("%s: %g s are over: %s%s", what, limit, exchange.line(), stack and f"\n{stack}")
        self.give_up(exchange, refusal)
        exchange.cancel()

    def give_up(self, exchange: Exchange, refusal: Refusal) -> None:
        """Wait no longer for the response of `exchange`: `refusal` is the client's answer."""
        self.receiving = None
        if self.reading is not Reading.CLOSED:
            self.reading = Reading.DISCARD
        self._refuse_body(exchange, replace(refusal, bodiless=exchange.method == "HEAD"))

    def _refuse_body(self, exchange: Exchange, refusal: Refusal) -> None:
        """The body of `exchange` is broken: its application sees a client that has gone."""
        if exchange is not self.exchange:
            if self.queue is not None:
                self.queue[-1] = replace(refusal, head=head_of(exchange))  # it will never begin
        elif exchange.state in (Response.WAITING, Response.HELD, Response.LOST):
            exchange.state = Response.BROKEN
            exchange.status = refusal.status
            exchange.response_headers = ()
            exchange.body_sent = refusal.size
            self.group.finished(exchange)
            self.exchange = None
            exchange.disconnect()
            self.end_refused(refusal)
        elif exchange.state is Response.DONE:
            self.end(unread=True)
        else:
            exchange.disconnect()
            exchange.break_off()

    def end_refused(self, refusal: Refusal) -> None:
        """Send a refusal, and end."""
        if refusal.head is not None and self.group.access_log is not None:
            self.group.access_log(refused_exchange(cast("Http1Connection", self), refusal))
        self._forget()
        self.send_refusal(refusal)

    def end(self, *, unread: bool) -> None:
        """End the connection after what was written has left; unread: the client may still be sending."""
        self._forget()
        if unread:
            self.linger()
        else:
            self.close()

    def _forget(self) -> None:
        self.flush()
        self.exchange = None
        self.queue = None
        self.reader = None
        self.receiving = None
