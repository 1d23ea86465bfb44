"""The options that have to do with logs.

A part of the one table of options, see options.py.
"""

from __future__ import annotations

import sys
from typing import Any, Final, Literal

from aserve import logchoices, validators
from aserve.declaration import declared, option
from aserve.processoptions import ProcessSettings
from aserve.streams import STANDARD_ERROR, STANDARD_OUTPUT

_SYSLOG: Final = "unix:///var/run/syslog" if sys.platform == "darwin" else "udp://localhost:514"


@declared(frozen=True, kw_only=True)
class LogSettings(ProcessSettings):
    """Those settings, and the ones of processoptions.py: one line of classes, since they have slots."""

    log_level: Literal["debug", "info", "warning", "error", "critical"] = option(
        "--log-level",
        section="Logging",
        metavar="debug|info|warning|error|critical",
        parse=logchoices.level,
        default="info",
        gunicorn="loglevel",
        help="How much the server says of itself.",
    )
    error_logfile: str = option(
        "--error-logfile",
        "--log-file",
        section="Logging",
        metavar="FILE",
        parse=logchoices.log_file(STANDARD_ERROR),
        default="-",
        gunicorn="errorlog",
        help="Where it says so; - is standard error.",
    )
    log_format: Literal["text", "json"] = option(
        "--log-format",
        section="Logging",
        metavar="text|json",
        parse=validators.choice("text", "json"),
        default="text",
        help="Lines for people, or a JSON object per line with the fields in docs/logging.md.",
    )
    log_colors: Literal["auto", "on", "off"] = option(
        "--log-colors",
        section="Logging",
        metavar="auto|on|off",
        parse=logchoices.colours,
        default="auto",
        elsewhere=("--use-colors", "--no-use-colors", "--no-color"),
        help="Colours for the levels; auto: on a terminal, unless NO_COLOR or FORCE_COLOR say otherwise.",
    )
    log_config: str | None = option(
        "--log-config",
        section="Logging",
        metavar="FILE",
        parse=validators.text,
        default_text="none",
        gunicorn="logconfig",
        help="A configuration of Python's logging: .json, .yaml (extra aserve-server[yaml]) or .toml as "
        "dictConfig has it, anything else in fileConfig's format. What it says of the loggers aserve and "
        "aserve.access, or of gunicorn's and uvicorn's, holds for the two logs (docs/logging.md).",
    )
    log_config_json: str | None = option(
        "--log-config-json",
        section="Logging",
        metavar="FILE",
        parse=validators.text,
        default_text="none",
        gunicorn="logconfig_json",
        help="The same in JSON, with gunicorn's defaults for what is left out at the top level; it wins over "
        "--log-config.",
    )
    log_config_dict: dict[str, Any] | None = option(  # as all others
        "--log-config-dict",
        section="Logging",
        metavar="JSON",
        parse=logchoices.mapping,
        default_text="none",
        gunicorn="logconfig_dict",
        help="The same as a dictionary, in JSON unless it is in a configuration file; it wins over both.",
    )
    capture_output: bool = option(
        "--capture-output",
        section="Logging",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="Have what the application, and programs that it starts, write to standard output and "
        "standard error in the error log, as it is.",
    )
    access_logfile: str | None = option(
        "--access-logfile",
        section="Logging",
        metavar="FILE",
        parse=logchoices.log_file(STANDARD_OUTPUT),
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
    enable_stdio_inheritance: bool = option(
        "-R",
        "--enable-stdio-inheritance",
        section="Logging",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="With --daemon, go on with the standard output and standard error of the command, unless they "
        "are a terminal.",
    )
    statsd_host: tuple[str, int] | str | None = option(
        "--statsd-host",
        section="Logging",
        metavar="ADDRESS",
        parse=logchoices.statsd_address,
        default_text="none: no metrics are sent",
        help="Send metrics to the statsd server at HOST:PORT (8125 if it is left out) or unix://PATH, by "
        "gunicorn's names (docs/statsd.md).",
    )
    statsd_prefix: str = option(
        "--statsd-prefix",
        section="Logging",
        metavar="PREFIX",
        parse=logchoices.statsd_prefix,
        default="",
        default_text="none",
        help="What comes before their names; a dot is put between.",
    )
    dogstatsd_tags: str = option(
        "--dogstatsd-tags",
        section="Logging",
        metavar="TAG,...",
        parse=logchoices.statsd_tags,
        default="",
        default_text="none",
        help="Tags that every metric gets, in the way of DogStatsD: env:prod,service:shop.",
    )
    enable_backlog_metric: bool = option(
        "--enable-backlog-metric",
        section="Logging",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="With --statsd-host, also how many connections wait to be accepted. Linux only.",
    )

    @property
    def access_log_to_syslog(self) -> bool:
        """Whether a syslog daemon gets the access log, besides a file or alone."""
        return self.syslog and not self.disable_redirect_access_to_syslog

    @property
    def has_access_log(self) -> bool:
        """Whether there is any access log."""
        return self.access_logfile is not None or self.access_log_to_syslog
