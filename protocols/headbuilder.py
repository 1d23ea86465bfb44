"""A request's head, field by field as a parser finds them: what they mean, and what is no request at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aserve.protocols import policy
from aserve.protocols.errors import RequestRefusedError
from aserve.protocols.forwarded import resolve
from aserve.protocols.head import as_1_1
from aserve.protocols.headers import REQUEST_NAMES, request_name
from aserve.protocols.requesthead import RequestHead
from aserve.protocols.target import NUMBER_SIGN, authority

if TYPE_CHECKING:
    from aserve.protocols.http1 import Http1Connection
    from aserve.protocols.options import ConnectionOptions

# What proxies for WSGI name the prefix by (gunicorn's forwarder_headers).
SCRIPT_NAME: Final = b"script_name"


class HeadBuilder:
    """The head that is being parsed. What is complete goes to `take`.

    trusted: whether the client is a proxy that is believed, None while nobody has asked.
    target, headers, host, special, proxied, keep_alive_named: of the head; special has its special headers
    but for Host and `Connection: keep-alive`, proxied those which a trusted proxy has added (then special
    is not None either).
    underscored: there are names with an underscore, which are to be left out (nor is special None then).
    """

    __slots__ = (
        "connection",
        "headers",
        "host",
        "keep_alive_named",
        "options",
        "proxied",
        "special",
        "target",
        "trusted",
        "underscored",
    )

    def __init__(self, connection: Http1Connection, options: ConnectionOptions) -> None:
        self.connection = connection
        self.options = options
        self.trusted: bool | None = None
        self.reset()

    def reset(self) -> None:
        """Begin a new head."""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.host: bytes | None = None
        self.special: list[tuple[bytes, bytes]] | None = None
        self.proxied: list[tuple[bytes, bytes]] | None = None
        self.keep_alive_named = False
        self.underscored = False

    def take(self, request: RequestHead) -> None:
        """The head is complete."""
        raise NotImplementedError

    def on_url(self, part: bytes) -> None:
        """The request target."""
        self.target = part

    def on_header(self, name: bytes, value: bytes) -> None:
        """A complete header field; `value` may still have white space behind it."""
        if value and value[-1] <= 32:
            value = value.rstrip(b" \t")
        lower = REQUEST_NAMES.get(name)
        if lower is None:
            if name == b"Host" and self.host is None:
                self.host = value
                lower = b"host"
            else:
                lower = self._examine(name, value)
        self.headers.append((lower, value))

    def _examine(self, name: bytes, value: bytes) -> bytes:
        """The lower-cased form of a name that is not in the cache, with note taken of what it means."""
        lower = request_name(name)
        if lower == b"host":
            if self.host is not None:
                raise RequestRefusedError(policy.HOST_REPEATED)
            self.host = value
        elif lower == b"connection" and value.lower() == b"keep-alive":
            self.keep_alive_named = True  # what HTTP/1.1 does anyway: the head may still be plain
        elif lower in policy.SPECIAL_HEADERS:
            if self.special is None:
                self.special = []
            self.special.append((lower, value))
        elif lower in policy.PROXY_FIELDS or lower in self.options.forwarded_fields:
            self._note_proxied(lower, value)
        elif b"_" in lower:
            self._note_underscored(lower, value)
        return lower

    def _note_underscored(self, name: bytes, value: bytes) -> None:
        """Some variables cannot be told from others: an option decides, and which ones proxies may set."""
        if self._forwards(name):
            if name == SCRIPT_NAME:
                self._keep_proxied(b"x-forwarded-prefix", value)
        elif self.options.header_map == "refuse":
            raise RequestRefusedError(policy.NAME_UNDERSCORE)
        elif self.options.header_map == "drop":
            self.underscored = True  # it still counts as a field
            if self.special is None:
                self.special = []

    def _forwards(self, name: bytes) -> bool:
        """Whether the peer is a proxy that may set what has this name."""
        allowed = self.options.forwarder_fields
        return bool(allowed) and (name in allowed or b"*" in allowed) and self._trusts_peer()

    def _trusts_peer(self) -> bool:
        if self.trusted is None:
            trust = self.options.forwarded_trust
            self.trusted = trust is not None and trust.allows(self.connection.client)
        return self.trusted

    def _note_proxied(self, name: bytes, value: bytes) -> None:
        """Keep what a trusted proxy says; from anybody else it is a header like others."""
        if self._trusts_peer() and name in self.options.forwarded_fields:
            self._keep_proxied(name, value)

    def _keep_proxied(self, name: bytes, value: bytes) -> None:
        if self.special is None:
            self.special = []
        if self.proxied is None:
            self.proxied = []
        self.proxied.append((name, value))

    def take_judged(self, head: bytes) -> None:
        """Take a head with which `judge` has found no fault, to the letter."""
        line, *fields = as_1_1(head).split(b"\r\n")[:-2]
        method, self.target, protocol = line.split(b" ")
        for field in fields:
            name, _, value = field.partition(b":")
            self.on_header(name, value.strip(b" \t"))
        self.complete_head(policy.method_name(method), protocol[5:].decode("ascii"))

    def complete_head(self, method: str, version: str) -> None:
        """Judge the head and `take` it; raises `RequestRefusedError`.

        version: "1.0" or "1.1". A request of HTTP/1.1 without any special header, the plain case,
        has no `Framing`.
        """
        target = self.target
        host = self.host
        if host not in policy.KNOWN_HOSTS:
            policy.check_host(version, target, host)
        if len(self.headers) > self.options.limit_fields:
            raise RequestRefusedError(policy.HEAD_TOO_LARGE)
        if self.underscored:
            self.headers = [
                field for field in self.headers if b"_" not in field[0] or self._forwards(field[0])
            ]
        if target[:1] != b"/" or NUMBER_SIGN in target or method == "CONNECT":
            policy.check_target(method, target)
            self._override_host(method, target)
        framing = None
        if self.special is not None or version != "1.1":
            framing = policy.frame(version, self.special, keep_alive_named=self.keep_alive_named)
            policy.check_length(framing.length, self.options.limit_body)
            if self.proxied is not None and self.options.forwarded_trust is not None:
                framing.origin = resolve(self.proxied, self.connection.client, self.options.forwarded_trust)
        if method == "CONNECT":
            # What follows would belong to a tunnel, whatever is answered (RFC 9110 §9.3.6).
            framing = framing or policy.Framing()
            framing.keep_alive = False
        headers = self.headers
        self.reset()
        self.take(RequestHead(method, target, version, headers, framing))

    def _override_host(self, method: str, target: bytes) -> None:
        """An absolute-form target's authority replaces Host (RFC 9112 §3.2.2)."""
        if method == "CONNECT" or target[:1] in (b"*", b"/"):
            return
        self.headers = [field for field in self.headers if field[0] != b"host"]
        self.headers.insert(0, (b"host", authority(target)))
