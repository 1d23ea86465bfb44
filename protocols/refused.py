"""Requests that never became any, as the access log has them."""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING, Final

from aserve.protocols.exchange import Exchange
from aserve.protocols.requesthead import RequestHead

if TYPE_CHECKING:
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.policy import Refusal

_LINE: Final = re.compile(rb"([^ ]+) (.*) HTTP/([0-9]\.[0-9])", re.DOTALL)


def head_of(exchange: Exchange) -> bytes:
    """The request line of an exchange that never began."""
    return b"%b %b HTTP/%b" % (exchange.method.encode(), exchange.target, exchange.http_version.encode())


def refused_exchange(connection: Http1Connection, refusal: Refusal) -> Exchange:
    """What is known of a request whose head was refused, with the response that it gets.

    A request line that is none stands where it can be read: its first word as the method, the rest
    as the target, and `-` for what is missing. There are no headers: they may be as bad.
    """
    head = (refusal.head or b"")[: connection.group.options.limit_line]
    line = head.partition(b"\n")[0].removesuffix(b"\r")
    match = _LINE.fullmatch(line)
    if match is not None:
        method, target, version = match.groups()
    else:
        method, _, target = line.partition(b" ")
        version = b"-"
    exchange = Exchange(
        connection,
        RequestHead(method.decode("latin-1") or "-", target or b"-", version.decode("ascii"), [], None),
    )
    exchange.started = monotonic()
    exchange.status = refusal.status
    exchange.response_headers = ()
    exchange.body_sent = refusal.size
    return exchange
