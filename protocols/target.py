"""The forms of a request target (RFC 9112 §3.2) taken apart."""

from __future__ import annotations

from typing import Final

# Characters to look for, as ints: `bytes in bytes` raises an exception inside and drops it before it looks,
# which costs more than all of the search.
NUMBER_SIGN: Final = ord("#")
PERCENT: Final = ord("%")


# All that may stand in an origin-form (RFC 9112 §3.2.1, RFC 3986 §3.3 and §3.4).
ORIGIN_FORM: Final = b"/?%:@-._~!$&'()*+,;=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request target in any form, both still percent-encoded."""
    if target[:1] != b"/":
        _, scheme, rest = target.partition(b"://")
        if scheme:
            path, _, query = rest.partition(b"?")
            slash = path.find(b"/")
            return (path[slash:] if slash >= 0 else b"/"), query
        return target, b""  # asterisk-form and authority-form
    path, _, query = target.partition(b"?")
    return path, query


def authority(target: bytes) -> bytes:
    """The authority of an absolute-form target, as it stands there."""
    rest = target.partition(b"://")[2]
    for end in (b"/", b"?"):
        rest = rest.partition(end)[0]
    return rest
