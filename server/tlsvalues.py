"""Values of the options that have to do with TLS, and what parses them."""

from __future__ import annotations

import dataclasses

from aserve import validators

_CERT_REQS = {"0": "none", "1": "optional", "2": "required"}
_CERT_REQS |= {f"cert_{word}": word for word in ("none", "optional", "required")}


@dataclasses.dataclass(frozen=True, slots=True)
class Secret:
    """A text that shows itself to nobody who does not ask for its `value`."""

    value: str = dataclasses.field(repr=False)

    def __str__(self) -> str:
        return "(hidden)"


def secret(value: object) -> Secret:
    """Take a password; messages do not repeat it."""
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("not a text: write at least one character")
    return Secret(value)


def cert_reqs(value: object) -> str:
    """Take none, optional or required, and the numbers that `ssl` has for them."""
    # An IntEnum of ssl's shows its name, or its number.
    word = str(int(value)) if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return validators.choice("none", "optional", "required", **_CERT_REQS)(
        word.strip().removeprefix("VerifyMode.")
    )


def tls_version(value: object) -> str:
    """Take 1.2 or 1.3, with or without TLSv in front."""
    word = str(getattr(value, "name", value)).strip().lower().removeprefix("tlsv").removeprefix("tls")
    word = word.strip().replace("_", ".")
    if word not in ("1.2", "1.3"):
        raise ValueError(f"{value!r} is not known: write 1.2 or 1.3 (RFC 8996 has done away with the older)")
    return word
