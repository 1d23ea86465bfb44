"""The one table of options: `Settings`, whose fields are declared with all that there is to say of them.

The command line, the `ASERVE_*` environment variables, what configuration files can say, `--help` and
docs/settings.md are made from it. To add an option, add a field; what has to do with clients and proxies
is in limits.py, with WebSockets in websockets.py, with the processes' surroundings in processoptions.py,
with development in reloadoptions.py, with logs in logoptions.py, with TLS in tlsoptions.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, Literal

from aserve import validators, workerclasses
from aserve.binds import Bind
from aserve.declaration import Option, declared, option
from aserve.hooks import NO_HOOKS, Hooks
from aserve.tlsoptions import TLSSettings
from aserve.workerclasses import WORKER_CLASSES

SECTIONS: Final = (
    *("Application", "Sockets", "Workers", "Recycling", "Timeouts", "Slow clients", "Limits"),
    *("WebSockets", "Headers", "Proxies", "TLS", "Logging", "Process", "Development", "Start"),
)
"""The order in which help and reference have them."""


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    from aserve import cpus  # not needed to say the version or to find a mistake

    return cpus.usable()


def default_threads() -> int:
    """Return the size of a WSGI pool: enough to wait for databases, few enough to switch between."""
    return min(32, usable_cpus() + 4)


@declared(frozen=True, kw_only=True)
class Settings(TLSSettings):
    """The resolved settings of a server. See docs/settings.md, or the declarations below."""

    app: str = option(
        section="Application",
        metavar="APP",
        parse=validators.text,
        default="",
        default_text="none, it has to be given",
        gunicorn="wsgi_app",
        help="What to serve: module:attribute such as main:app, module:factory() for what a factory "
        "returns (plain values can be its arguments), or a module alone for its 'application' or 'app'.",
    )
    worker_class: str = option(
        "-k",
        "--worker-class",
        section="Application",
        metavar="|".join(WORKER_CLASSES),
        parse=workerclasses.parse,
        default="auto",
        elsewhere=("--interface",),
        help="The interface that the application speaks, auto tells it from the object; how WSGI is run: "
        "wsgi in threads, sync one request at a time, gevent and eventlet in "
        "greenlets, each with the extra of its name (docs/wsgi.md); tornado: with Tornado's own HTTP "
        "server (docs/tornado.md). gunicorn's names and uvicorn's for it are understood as well "
        "(docs/gunicorn.md).",
    )
    factory: bool = option(
        "--factory",
        section="Application",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="APP names a function without arguments that returns the application.",
    )
    chdir: str | None = option(
        "--chdir",
        section="Application",
        metavar="FOLDER",
        parse=validators.text,
        default_text="the current folder",
        elsewhere=("--app-dir", "--working-dir"),
        help="Change to this folder first: the application is imported from it, and other paths "
        "are relative to it.",
    )
    pythonpath: tuple[str, ...] = option(
        "--pythonpath",
        section="Application",
        metavar="FOLDER,...",
        parse=validators.each(validators.text, none=True),
        multiple=True,
        default=(),
        default_text="none",
        help="More folders to import from, before all others. Can be given more than once.",
    )
    root_path: str = option(
        "--root-path",
        section="Application",
        metavar="PATH",
        parse=validators.root_path,
        default="",
        default_text="none",
        extra_environment=(("SCRIPT_NAME", "{}"),),
        elsewhere=("--url-path-prefix",),
        help="The path prefix under which a proxy publishes the application (ASGI root_path, WSGI "
        "SCRIPT_NAME).",
    )
    lifespan: Literal["auto", "on", "off"] = option(
        "--lifespan",
        section="Application",
        metavar="auto|on|off",
        parse=validators.choice("auto", "on", "off"),
        default="auto",
        gunicorn="asgi_lifespan",
        elsewhere=("--asgi-lifespan",),
        help="ASGI start-up and shutdown events; with auto, an application that does not know them "
        "is served without, with on it does not start.",
    )
    bind: tuple[Bind, ...] = option(
        "-b",
        "--bind",
        section="Sockets",
        metavar="ADDRESS",
        parse=validators.each(Bind.parse),
        multiple=True,
        default=(Bind.parse("127.0.0.1:8000"),),
        default_text="127.0.0.1:8000",
        extra_environment=(("PORT", "0.0.0.0:{}"),),
        elsewhere=("--host", "--port", "--uds", "--fd", "--address"),
        help="Where to listen: HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH, fd://NUMBER, or fd://NAME "
        "of a socket from systemd. Port 0 is any free one; the log tells which. Can be given more than "
        "once. Without it, what systemd passes is listened on.",
    )
    backlog: int = option(
        "--backlog",
        section="Sockets",
        metavar="N",
        parse=validators.integer(1),
        default=2048,
        help="How many connections may wait to be accepted; the kernel may allow less.",
    )
    reuse_port: bool = option(
        "--reuse-port",
        section="Sockets",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="Let other servers with this option listen on the same ports at the same time; the kernel "
        "divides new connections between them.",
    )
    workers: int = option(
        "-w",
        "--workers",
        section="Workers",
        metavar="N|auto",
        parse=validators.integer(1, 4096, words={"auto": usable_cpus}),
        default=1,
        extra_environment=(("WEB_CONCURRENCY", "{}"),),
        elsewhere=("--processes",),
        help="Number of worker processes; auto: one per CPU that this process may use (affinity, "
        "container quota).",
    )
    preload_app: bool = option(
        "--preload",
        section="Workers",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="Import the application once, in a process from which the workers are forked, so that they "
        "share its memory; a reload imports it anew. Linux only, and not with greenlets.",
    )
    threads: int = option(
        "--threads",
        section="Workers",
        metavar="N",
        parse=validators.integer(1, 4096),
        default_factory=default_threads,
        default_text="CPUs + 4, at most 32",
        elsewhere=("--blocking-threads",),
        help="Number of threads per worker that run a WSGI application: so many requests are worked on at "
        "the same time, more wait (--queue-limit). Not for -k sync.",
    )
    loop: Literal["auto", "uvloop", "asyncio"] = option(
        "--loop",
        section="Workers",
        metavar="auto|uvloop|asyncio",
        parse=validators.choice("auto", "uvloop", "asyncio"),
        default="auto",
        gunicorn="asgi_loop",
        elsewhere=("--asgi-loop",),
        help="The event loop; auto is uvloop where it is installed.",
    )
    http: Literal["auto", "httptools", "h11"] = option(
        "--http",
        section="Workers",
        metavar="auto|httptools|h11",
        parse=validators.choice("auto", "httptools", "h11"),
        default="auto",
        gunicorn="http_parser",
        elsewhere=("--http-parser",),
        help="The HTTP/1.1 parser; auto is httptools, the fast one.",
    )
    max_requests: int = option(
        "--max-requests",
        section="Recycling",
        metavar="N",
        parse=validators.integer(0),
        default=0,
        default_text="0: no limit",
        elsewhere=("--limit-max-requests",),
        help="A worker that has answered so many requests is replaced; counted about once a second.",
    )
    max_requests_jitter: int = option(
        "--max-requests-jitter",
        section="Recycling",
        metavar="N",
        parse=validators.integer(0),
        default=0,
        help="At most so many requests more, at random for each worker, so that not all are due together.",
    )
    max_lifetime: float = option(
        "--max-lifetime",
        section="Recycling",
        metavar="SECONDS",
        parse=validators.seconds,
        default=0.0,
        default_text="0: no limit",
        elsewhere=("--workers-lifetime",),
        help="A worker that has served for so long is replaced.",
    )
    max_lifetime_jitter: float = option(
        "--max-lifetime-jitter",
        section="Recycling",
        metavar="SECONDS",
        parse=validators.seconds,
        default=0.0,
        default_text="0",
        help="At most so much longer, at random for each worker.",
    )
    max_rss: int = option(
        "--max-rss",
        section="Recycling",
        metavar="BYTES",
        parse=validators.size,
        default=0,
        default_text="0: no limit",
        elsewhere=("--workers-max-rss",),
        help="A worker that holds more memory is replaced; 400M, 2G and the like can be written. What it "
        "shares with others counts in full. Linux only.",
    )
    timeout: float = option(
        "-t",
        "--timeout",
        section="Timeouts",
        metavar="SECONDS",
        parse=validators.seconds,
        default=30.0,
        default_text="30",
        help="A worker whose event loop stands still for so long is killed and replaced; with -k sync, one "
        "with a request that takes so long. 0: never.",
    )
    request_timeout: float = option(
        "--request-timeout",
        section="Timeouts",
        metavar="SECONDS",
        parse=validators.seconds,
        default=0.0,
        default_text="0",
        help="How long a request may take until its response is complete; then the client gets a 503 "
        "or a broken connection, the log shows where the application was, an ASGI application is "
        "cancelled. With -k sync only what happens between two pieces of a response can be ended. 0: for "
        "ever.",
    )
    graceful_timeout: float = option(
        "--graceful-timeout",
        section="Timeouts",
        metavar="SECONDS",
        parse=validators.seconds,
        default=30.0,
        default_text="30",
        elsewhere=("--timeout-graceful-shutdown", "--shutdown-timeout"),
        help="How long running requests may take to finish at a stop or reload.",
    )
    keep_alive: float = option(
        "--keep-alive",
        section="Timeouts",
        metavar="SECONDS",
        parse=validators.seconds,
        default=5.0,
        default_text="5",
        gunicorn="keepalive",
        elsewhere=("--timeout-keep-alive", "--keepalive"),
        help="How long a connection may wait for its next request; 0: one request per connection.",
    )
    boot_timeout: float = option(
        "--boot-timeout",
        section="Timeouts",
        metavar="SECONDS",
        parse=validators.seconds,
        default=60.0,
        default_text="60",
        help="How long a worker may take until it is ready; 0: for ever.",
    )
    config: str | None = option(
        "-c",
        "--config",
        section="Start",
        metavar="FILE",
        parse=validators.text,
        default_text="aserve.toml, or pyproject.toml if it has [tool.aserve]",
        help="A configuration file: TOML, or a program in Python with gunicorn's names of settings and "
        "hooks (its path, or python:MODULE). Read again at a reload. See docs/configuration.md.",
    )
    check_config: bool = option(
        "--check-config",
        section="Start",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="Say all that is wrong with the settings, load the application, say whether it could be "
        "served, and end: with status 0, or 2 if anything is wrong.",
    )
    print_config: bool = option(
        "--print-config",
        section="Start",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="Print all settings and where each comes from, as TOML, and end; secrets are masked.",
    )
    hooks: Hooks = dataclasses.field(default=NO_HOOKS, repr=False, compare=False)
    """What else a configuration file has; see hooks.py."""
    application: Any = dataclasses.field(default=None, repr=False, compare=False)
    """The application itself, if a program has it and not its name."""

    @property
    def secure(self) -> bool:
        """Is HTTPS served? A hook that does not want it after all is taken out, see reload.py."""
        return bool(self.certfile) or self.hooks.get("ssl_context") is not None


OPTIONS: Final[tuple[Option, ...]] = tuple(
    sorted(
        (Option.of(field) for field in dataclasses.fields(Settings) if field.metadata),
        key=lambda option: SECTIONS.index(option.section),
    )
)
