"""The h11 driver: only its reading half is used, one `h11.Connection` for each head."""

from __future__ import annotations

import h11

from aserve.protocols import policy
from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.head import as_1_1, judge
from aserve.protocols.request import RequestReader


class H11Reader(RequestReader):
    """Feeds heads to h11. It forgives more than RFC 9112 does, so each is judged before."""

    __slots__ = ()

    def parse(self, head: bytes) -> None:
        """Parse a complete head; raises `RequestRefusedError`."""
        refusal = judge(head, self.options)
        if refusal is not None:
            raise RequestRefusedError(refusal)
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
        parser.receive_data(as_1_1(head))
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError:
            raise RequestRefusedError(policy.MALFORMED) from None
        if not isinstance(event, h11.Request):
            raise RequestRefusedError(policy.MALFORMED)
        self.take_judged(head)  # h11 hands out some values in lower case
