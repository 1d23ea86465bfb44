"""The options that have to do with logs.

A part of the one table of options, see options.py.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Final, Literal

from aserve import validators
from aserve.declaration import option
from aserve.processoptions import ProcessSettings

_SYSLOG: Final = "unix:///var/run/syslog" if sys.platform == "darwin" else "udp://localhost:514"


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
        elsewhere=("--access-log", "--no-access-log"),
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
    syslog: bool = option(
        "--log-syslog",
        section="Logging",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="Send the logs to a syslog daemon as well, see --log-syslog-to.",
    )
    syslog_addr: str = option(
        "--log-syslog-to",
        section="Logging",
        metavar="ADDRESS",
        parse=validators.syslog_address,
        default=_SYSLOG,
        default_text="udp://localhost:514; unix:///var/run/syslog on macOS",
        help="Where it listens: udp://HOST:PORT, tcp://HOST:PORT or unix://PATH.",
    )
    syslog_prefix: str | None = option(
        "--log-syslog-prefix",
        section="Logging",
        metavar="NAME",
        parse=validators.text,
        default_text="--name, or else APP",
        help="What the program is called there: aserve.NAME.access and aserve.NAME.error.",
    )
    syslog_facility: str = option(
        "--log-syslog-facility",
        section="Logging",
        metavar="FACILITY",
        parse=validators.syslog_facility,
        default="user",
        help="Which facility of syslog the lines belong to, such as daemon or local0.",
    )
    disable_redirect_access_to_syslog: bool = option(
        "--disable-redirect-access-to-syslog",
        section="Logging",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="With --log-syslog, send the error log only.",
    )

    @property
    def access_log_to_syslog(self) -> bool:
        """Whether a syslog daemon gets the access log, besides a file or alone."""
        return self.syslog and not self.disable_redirect_access_to_syslog

    @property
    def has_access_log(self) -> bool:
        """Whether there is any access log."""
        return self.access_logfile is not None or self.access_log_to_syslog
