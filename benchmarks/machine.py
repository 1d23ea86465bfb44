"""Facts about a run that somebody needs who wants to repeat or to doubt it."""

import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import wrk
from benchmarks.environment import Environment, git
from benchmarks.measures import Settings
from benchmarks.processes import Cores
from benchmarks.servers import Server


def processor() -> str:
    """The processor's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def revision() -> str:
    """The commit of the checkout, and whether the measured folders differ from it."""
    commit = git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "not under version control"
    changed = git("status", "--porcelain", "--", "server", "protocols", "adapters", "pyproject.toml")
    return f"{commit} with local changes" if changed else commit


def interpreter(environment: Environment) -> str:
    """Implementation and version of the Python that the servers run on."""
    program = "import platform; print(platform.python_implementation(), platform.python_version())"
    return subprocess.run([environment.python, "-c", program], capture_output=True, text=True).stdout.strip()


def facts(
    environment: Environment, settings: Settings, cores: Cores, servers: Iterable[Server], command: str
) -> dict[str, str]:
    """Everything to print above the tables, in its order."""
    distributions = dict.fromkeys(
        [
            *(server.distribution for server in servers),
            "uvloop",
            "httptools",
            "h11",
            "zttp",
            "fastapi",
            "flask",
        ]
    )
    versions = environment.versions(distributions)
    pinned = f"server on core {cores.server}, load on core {cores.load}"
    usable = len(os.sched_getaffinity(0))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "aserve": revision(),
        "machine": f"{processor()}, {os.cpu_count()} cores ({usable} usable), {pinned}"
        if cores.server is not None
        else f"{processor()}, one usable core: server and load share it, so read the figures with care",
        "system": f"{platform.system()} {platform.release()}",
        "python": interpreter(environment),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "load": f"{wrk.version()}, 1 thread, {settings.connections} keep-alive connections, "
        f"{settings.duration} s a round, {settings.rounds} rounds",
        "servers": f"one worker process each, WSGI pools of {settings.threads} threads, uvloop where there "
        "is a choice, no access log unless said, everything else as it comes",
        "machine load before": " ".join(f"{value:.2f}" for value in os.getloadavg()) + " (1, 5, 15 minutes)",
    }
