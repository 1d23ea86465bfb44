"""Load by wrk, and its figures."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
MISSING = (
    "wrk, which makes the load, is not installed: `apt-get install wrk` (Debian, Ubuntu), "
    "`dnf install wrk` (Fedora), or build it from https://github.com/wg/wrk, and have it on PATH."
)


class LoadError(Exception):
    """The load could not be made, or left no figures."""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw in one round. Times in seconds."""

    requests: int
    received: int
    """Bytes of all responses, heads included."""
    duration: float
    p50: float
    p99: float
    errors: int
    """Failed connections, reads and writes, time-outs, and statuses of 400 and above."""

    @classmethod
    def parse(cls, output: str) -> "Load":
        """Read the `figure NAME VALUE` lines that load.lua prints.

        Raises:
            LoadError: a figure is missing, so wrk did not come to its end.
        """
        lines = (line.split() for line in output.splitlines() if line.startswith("figure "))
        figures = {name: int(value) for _, name, value in lines}
        try:
            return cls(
                requests=figures["requests"],
                received=figures["bytes"],
                duration=figures["duration_us"] / 1e6,
                p50=figures["p50_us"] / 1e6,
                p99=figures["p99_us"] / 1e6,
                errors=sum(
                    figures[f"errors_{kind}"] for kind in ("connect", "read", "write", "status", "timeout")
                ),
            )
        except KeyError as error:
            raise LoadError(f"wrk gave no figure {error}; it printed: {output.strip()[-300:]}") from error


def find() -> str:
    """The path of wrk.

    Raises:
        LoadError: it is not installed; the message says how to get it.
    """
    path = shutil.which("wrk")
    if path is None:
        raise LoadError(MISSING)
    return path


def version() -> str:
    """The version that wrk reports (it does so with status 1)."""
    lines = subprocess.run([find(), "-v"], capture_output=True, text=True).stdout.splitlines()
    return lines[0].split(" [")[0] if lines else "wrk, version unknown"


def run(
    url: str,
    *,
    connections: int,
    duration: int,
    method: str = "GET",
    body: Path | None = None,
    varied: bool = False,
) -> Load:
    """Load one URL with one thread of wrk.

    Args:
        url: where to.
        connections: keep-alive connections, each with one request at a time.
        duration: seconds.
        method: of every request.
        body: file with the content of every request.
        varied: add the fields of an API's client, and another query to the URL each time; without a body.

    Raises:
        LoadError: wrk failed.
    """
    command = [find(), "-t1", f"-c{connections}", f"-d{duration}s", "-s", str(SCRIPT), url]
    if body is not None:
        command += ["--", method, str(body)]
    elif varied:
        command += ["--", "varied"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=duration + 30)
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"wrk did not end within {error.timeout:.0f} s") from error
    if finished.returncode:
        raise LoadError(f"wrk ended with status {finished.returncode}: {finished.stderr.strip()[-300:]}")
    return Load.parse(finished.stdout)
