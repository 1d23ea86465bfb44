"""The options that have to do with logs.

A part of the one table of options, see options.py.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from aserve import validators
from aserve.declaration import option
from aserve.processoptions import ProcessSettings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings(ProcessSettings):
    """Those settings, and the ones of processoptions.py: one line of classes, since they have slots."""

    log_level: Literal["debug", "info", "warning", "error", "critical"] = option(
        "--log-level",
        section="Logging",
        metavar="debug|info|warning|error|critical",
        parse=validators.choice("debug", "info", "warning", "error", "critical"),
        default="info",
        gunicorn="loglevel",
        help="How much the server says of itself.",
    )
    error_logfile: str = option(
        "--error-logfile",
        "--log-file",
        section="Logging",
        metavar="FILE",
        parse=validators.text,
        default="-",
        gunicorn="errorlog",
        help="Where it says so; - is standard error.",
    )
    access_logfile: str | None = option(
        "--access-logfile",
        section="Logging",
        metavar="FILE",
        parse=validators.text,
        default_text="none: no access log",
        gunicorn="accesslog",
        elsewhere=("--access-log",),
        help="Where to write a line per request; - is standard output.",
    )
    access_log_format: str = option(
        "--access-logformat",
        "--access-log-format",
        section="Logging",
        metavar="FORMAT",
        parse=validators.access_log_format,
        default="combined",
        elsewhere=("--access-log-fmt",),
        help="That line's format: common, combined, or gunicorn's atoms such as '%(h)s %(r)s %(s)s'.",
    )
