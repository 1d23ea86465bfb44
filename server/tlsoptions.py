"""The options that have to do with TLS.

A part of the one table of options, see options.py.
"""

from __future__ import annotations

import dataclasses

from aserve.logoptions import LogSettings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TLSSettings(LogSettings):
    """Those settings, and the ones of logoptions.py: one line of classes, since they have slots."""
