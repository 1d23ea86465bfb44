"""The servers that are compared. One declaration each; adding a server is adding a declaration.

A command is what follows the environment's Python. In it, `{app}`, `{port}`, `{threads}` (size of a WSGI
pool), `{connections}` (how many must fit), `{seconds}` (a keep-alive time longer than a round), `{scripts}`
(the environment's bin) and `{launchers}` (the folder of our start scripts) are filled in. Everybody gets
one worker process, uvloop where there is a choice, the same number of pool threads, and no access log;
everything else is left at the server's own default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Interface = Literal["asgi", "wsgi"]
Options = Literal["quiet", "access-log", "idle"]


@dataclass(frozen=True, slots=True)
class Server:
    """How one server is started."""

    name: str
    distribution: str
    """The distribution whose version is reported."""
    commands: Mapping[Interface, str]
    quiet: str = ""
    """Options for warnings only and no access log."""
    access_log: str | None = None
    """Options instead of `quiet` that log each request to standard output; None: it has no access log."""
    idle: str = ""
    """Options on top of `quiet` with which many idle connections are held and kept open."""
    notes: Mapping[Interface, str] = field(default_factory=dict)
    """What a reader should know to read the figures rightly."""
    requires: tuple[str, ...] = ()
    """Modules that the environment must have."""
    constant: bool = False
    """Runs no application, so it takes part only where the answer is the constant one."""
    websocket: bool = True
    """It has WebSockets, where it has ASGI."""
    default: bool = True
    """Takes part unless servers are named."""
    environment: Mapping[str, str] = field(default_factory=dict)

    def arguments(self, interface: Interface, options: Options, values: Mapping[str, object]) -> list[str]:
        """The words after the interpreter.

        Raises:
            KeyError: this server does not have the interface.
        """
        extra = {
            "quiet": self.quiet,
            "access-log": self.access_log or "",
            "idle": f"{self.quiet} {self.idle}",
        }[options]
        return [word.format_map(values) for word in f"{self.commands[interface]} {extra}".split()]

    def can(self, interface: Interface, options: Options) -> bool:
        """Whether this server takes part in a scenario with this interface and these options."""
        return interface in self.commands and not (options == "access-log" and self.access_log is None)


ASERVE = "-m aserve -b 127.0.0.1:{port} -w 1"
ASERVE_POOL = f"{ASERVE} -k wsgi --threads {{threads}}"
UVICORN = "-m uvicorn --host 127.0.0.1 --port {port} --loop uvloop"
GRANIAN = "-m granian --host 127.0.0.1 --port {port} --workers 1 --loop uvloop"
GUNICORN = "-m gunicorn -b 127.0.0.1:{port} -w 1 --no-control-socket"
HYPERCORN = "-m hypercorn -b 127.0.0.1:{port} -w 1 -k uvloop"
FASTPYSGI = "{scripts}/fastpysgi --host 127.0.0.1 --port {port} {app}"
PROBE = "{launchers}/limit_probe.py {port}"
POOL_NOTE = "pool of {threads} threads"
INLINE_NOTE = "inline: a request that waits stops all others"

SERVERS: tuple[Server, ...] = (
    Server(
        name="limit",
        distribution="uvloop",
        commands={"asgi": PROBE, "wsgi": PROBE},
        notes=dict.fromkeys(("asgi", "wsgi"), "uvloop and httptools answering a constant, no application"),
        requires=("uvloop", "httptools"),
        constant=True,
    ),
    Server(
        name="aserve",
        distribution="aserve-server",
        commands={"asgi": f"{ASERVE} -k asgi {{app}}", "wsgi": f"{ASERVE_POOL} {{app}}"},
        quiet="--log-level warning",
        access_log="--log-level warning --access-logfile -",
        idle="--keep-alive {seconds}",
        notes={"wsgi": POOL_NOTE},
        requires=("aserve",),
    ),
    Server(
        name="aserve-sync",
        distribution="aserve-server",
        commands={"wsgi": f"{ASERVE} -k sync {{app}}"},
        quiet="--log-level warning",
        access_log="--log-level warning --access-logfile -",
        idle="--keep-alive {seconds}",
        notes={"wsgi": INLINE_NOTE},
        requires=("aserve",),
    ),
    Server(
        name="aserve-h11",
        distribution="aserve-server",
        commands={
            "asgi": f"{ASERVE} -k asgi --http h11 {{app}}",
            "wsgi": f"{ASERVE_POOL} --http h11 {{app}}",
        },
        quiet="--log-level warning",
        notes={"asgi": "h11 parser", "wsgi": f"h11 parser, {POOL_NOTE}"},
        requires=("aserve", "h11"),
        default=False,
    ),
    Server(
        name="uvicorn",
        distribution="uvicorn",
        commands={"asgi": f"{UVICORN} --http httptools {{app}}"},
        quiet="--log-level warning --no-access-log",
        access_log="--log-level info --access-log --no-use-colors",
        idle="--timeout-keep-alive {seconds}",
        notes={"asgi": "httptools, its default"},
        requires=("uvicorn", "httptools"),
    ),
    Server(
        name="uvicorn-zttp",
        distribution="uvicorn",
        commands={"asgi": f"{UVICORN} --http zttp {{app}}"},
        quiet="--log-level warning --no-access-log",
        access_log="--log-level info --access-log --no-use-colors",
        idle="--timeout-keep-alive {seconds}",
        notes={"asgi": "zttp parser, which has to be installed on top"},
        requires=("uvicorn", "zttp"),
    ),
    Server(
        name="granian",
        distribution="granian",
        commands={
            "asgi": f"{GRANIAN} --interface asgi {{app}}",
            "wsgi": f"{GRANIAN} --interface wsgi --blocking-threads {{threads}} {{app}}",
        },
        quiet="--log-level warning --no-access-log",
        access_log="--log-level info --access-log",
        idle="--backlog {connections} --backpressure {connections}",
        notes={"wsgi": POOL_NOTE},
        requires=("granian",),
    ),
    Server(
        name="granian-1",
        distribution="granian",
        commands={"wsgi": f"{GRANIAN} --interface wsgi --blocking-threads 1 {{app}}"},
        quiet="--log-level warning --no-access-log",
        idle="--backlog {connections} --backpressure {connections}",
        notes={"wsgi": "pool of one thread: a request that waits stops all others"},
        requires=("granian",),
    ),
    Server(
        name="gunicorn",
        distribution="gunicorn",
        commands={
            "asgi": f"{GUNICORN} -k asgi {{app}}",
            "wsgi": f"{GUNICORN} -k gthread --threads {{threads}} {{app}}",
        },
        quiet="--log-level warning",
        access_log="--log-level warning --access-logfile -",
        idle="--keep-alive {seconds} --worker-connections {connections}",
        notes={"asgi": "its asgi worker", "wsgi": f"gthread, {POOL_NOTE}"},
        requires=("gunicorn",),
    ),
    Server(
        name="hypercorn",
        distribution="hypercorn",
        commands={"asgi": f"{HYPERCORN} {{app}}"},
        quiet="--log-level warning",
        access_log="--log-level warning --access-logfile -",
        idle="--keep-alive {seconds}",
        notes={"asgi": "on uvloop"},
        requires=("hypercorn",),
    ),
    Server(
        name="fastpysgi",
        distribution="fastpysgi",
        commands={"asgi": FASTPYSGI, "wsgi": FASTPYSGI},
        notes={"wsgi": INLINE_NOTE},
        websocket=False,
        requires=("fastpysgi",),
    ),
    Server(
        name="bjoern",
        distribution="bjoern",
        commands={"wsgi": "{launchers}/run_bjoern.py {port} {app}"},
        notes={"wsgi": INLINE_NOTE},
        requires=("bjoern",),
    ),
)
