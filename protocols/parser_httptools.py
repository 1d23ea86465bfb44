"""The httptools (llhttp) driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from aserve.protocols import policy
from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.head import judge
from aserve.protocols.request import RequestReader
from aserve.protocols.requesthead import RequestHead
from aserve.protocols.target import NUMBER_SIGN

if TYPE_CHECKING:
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.options import ConnectionOptions

_METHODS: Final = policy.METHODS
_KNOWN_HOSTS: Final = policy.KNOWN_HOSTS


class HttptoolsReader(RequestReader):
    """Feeds heads to an `HttpRequestParser`, which calls `on_url` and `on_header`."""

    __slots__ = ("limit_fields", "parser")

    def __init__(self, connection: Http1Connection, options: ConnectionOptions) -> None:
        super().__init__(connection, options)
        self.limit_fields = options.limit_fields
        self.parser = HttpRequestParser(self)

    def parse(self, head: bytes) -> None:
        """Parse a complete head; raises `RequestRefusedError`."""
        parser = self.parser
        try:
            parser.feed_data(head)
        except HttpParserUpgrade:
            self.parser = HttpRequestParser(self)  # this one is for the new protocol
        except HttpParserError as error:
            self._not_parsed(head, error)
            return
        method = _METHODS.get(parser.get_method(), "")
        target = self.target
        # llhttp takes any number of blanks, other protocols' names, and no version at all.
        size = len(method) + 1 + len(target)
        if head.find(b" HTTP/1.1\r\n") == size:
            if (
                parser is self.parser
                and self.special is None
                and target.startswith(b"/")
                and self.host in _KNOWN_HOSTS
                and len(self.headers) <= self.limit_fields
                and NUMBER_SIGN not in target
            ):
                # Nothing to look at any closer.
                headers = self.headers
                self.headers = []
                self.host = None
                self.keep_alive_named = False
                self.connection.on_head(RequestHead(method, target, "1.1", headers, None))
                return
            self.complete_head(method, "1.1")
        elif head.find(b" HTTP/1.0\r\n") == size:
            self.complete_head(method, "1.0")
        else:
            self.parser = HttpRequestParser(self)
            raise RequestRefusedError(policy.MALFORMED)
        if self.body_begun:
            self.parser = HttpRequestParser(self)  # this one waits for the body

    def _not_parsed(self, head: bytes, error: HttpParserError) -> None:
        """Take a head that the parser has refused if it was the one at fault.

        It is where an earlier message told it to close, which is not its decision, for later
        minor versions of HTTP/1, and for some blanks. Raises `RequestRefusedError` otherwise.
        """
        if isinstance(error, HttpParserCallbackError):
            cause = error.__context__
            raise cause if cause is not None else error  # a refusal, or a bug of ours
        if judge(head, self.options) is not None:
            raise RequestRefusedError(policy.MALFORMED)
        self.parser = HttpRequestParser(self)
        self.reset()
        self.take_judged(head)
