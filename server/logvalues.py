"""What stands in a line of the access log, in a form that no client can forge a line or a field with."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from aserve.protocols.target import split_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aserve.protocols.exchange import Exchange

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

GONE: Final = 499
"""The status of a request whose client has gone before there was any answer: as nginx has it."""

_CACHED_VALUES: Final = 1024
_CACHED_LENGTH: Final = 512
"""How many header values are kept in their escaped form, and up to how many bytes each."""

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")

_TRACE: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[!-~]*)?")
_LONGEST_TRACE: Final = 256
_NO_TRACE: Final = ("", "")


def escape(text: str) -> str:
    r"""Return `text` with everything but plain visible ASCII as \xNN: `"`, `\`, control characters, others.

    `text` stands for bytes in Latin-1; characters beyond it are taken in UTF-8.
    """
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    raw = text.encode("latin-1") if max(text) <= "\xff" else text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in raw)


def quote(text: str | bytes) -> str:
    r"""Return a JSON string in plain visible ASCII, with its quotes, of `text` or of bytes in UTF-8.

    Bytes that are not UTF-8 stand there as the text \xNN. `text` stands for bytes in Latin-1 if it can.
    """
    if isinstance(text, str):
        plain = not text or max(text) <= "\xff"
        raw = text.encode("latin-1") if plain else text.encode(errors="surrogateescape")
    else:
        raw = text
    # What json leaves as it is has no other control character than this one.
    return json.dumps(raw.decode("utf-8", "backslashreplace")).replace("\x7f", "\\u007f")


class Escaped(dict[Any, str]):
    """Texts or bytes -> their escaped form; a bounded cache, since most clients say the same things."""

    def __missing__(self, value: str | bytes) -> str:
        text = self.convert(value)
        if len(value) <= _CACHED_LENGTH:
            if len(self) >= _CACHED_VALUES:
                self.clear()
            self[value] = text
        return text

    def convert(self, value: str | bytes) -> str:
        """Return the escaped form, see `escape`."""
        return escape(value if isinstance(value, str) else value.decode("latin-1"))


class Quoted(Escaped):
    """The same for JSON, see `quote`."""

    def convert(self, value: str | bytes) -> str:
        """Return the JSON string."""
        return quote(value)


class Date:
    """The time of the second from `start` to `end` (in seconds of the wall's clock).

    text: for `%(t)s`. utc: for JSON, without fraction and zone (RFC 3339 §5.6).
    """

    __slots__ = ("end", "start", "text", "utc")

    def __init__(self) -> None:
        self.start = self.end = 0.0
        self.text = self.utc = "-"

    def renew(self, now: float) -> None:
        """Make the texts for the second in which `now` is. English names, whatever the locale."""
        self.start = float(int(now))
        self.end = self.start + 1.0
        local = time.localtime(self.start)
        self.text = time.strftime(f"[%d/{MONTHS[local.tm_mon - 1]}/%Y:%H:%M:%S %z]", local)
        self.utc = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.start))


def user_name(authorization: bytes) -> bytes | None:
    """Return the user of Basic credentials (RFC 7617 §2), or None for anything else."""
    scheme, _, credentials = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, _ = base64.b64decode(credentials.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return user if user and colon else None


def request_path(target: bytes) -> str:
    """Return the escaped path of a target in any form, without percent-encoding, as applications get it."""
    return escape(unquote_to_bytes(split_target(target)[0]).decode("latin-1"))


def request_id(*values: bytes | None) -> str | None:
    """Return the first of these values that is fit for an id: 1 to 128 letters, digits and ._~:/+=@-"""
    for value in values:
        if value is not None and _REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return None


def trace_ids(traceparent: bytes | None) -> tuple[str, str]:
    """Return the trace's id and the caller's span's of a traceparent, or two empty texts.

    Source: W3C Trace Context §3.2.2. Of versions to come, what they have in common with the first is taken.
    """
    if traceparent is None or len(traceparent) > _LONGEST_TRACE:
        return _NO_TRACE
    match = _TRACE.fullmatch(traceparent)
    if match is None:
        return _NO_TRACE
    version, trace, span, more = match.groups()
    valid = version != b"ff" and (version != b"00" or more is None)
    if not (valid and trace.strip(b"0") and span.strip(b"0")):
        return _NO_TRACE
    return trace.decode("ascii"), span.decode("ascii")


def variable(exchange: Exchange, name: str) -> str:
    """Return the escaped variable `name`, in any case: the request's, else the process's, else "-".

    A request's variables are those of the WSGI environ, with what the application has added; requests that
    had none, such as those of ASGI applications, have what would have been in it (RFC 3875 §4.1).
    """
    environ: Mapping[str, Any] | None = getattr(exchange, "kept_environ", None)
    if environ is None:
        environ = _environ(exchange)
    for values in (environ, os.environ):
        for spelling in (name, name.upper()):
            if spelling in values:
                return escape(str(values[spelling]))
        lower = name.lower()
        for known, value in values.items():
            if known.lower() == lower:
                return escape(str(value))
    return "-"


def _environ(exchange: Exchange) -> dict[str, Any]:
    from aserve.adapters import environ as environs  # which only those who ask for it pay for

    environ = environs.template(exchange.connection, "", multithread=False, multiprocess=True)
    environs.fill(environ, exchange)
    return {name: value for name, value in environ.items() if isinstance(value, str)}
