"""A server under measurement: started on its core, watched until it answers, stopped with its children."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import randrange

from benchmarks import usage
from benchmarks.checks import HOST, CheckError, verify
from benchmarks.scenarios import Exchange

# Below the range from which Linux takes the ports of outgoing connections, so that no connection of the
# load occupies it.
PORTS = (20_000, 32_000)
START_TIMEOUT = 30.0
STOP_TIMEOUT = 8.0


class StartError(Exception):
    """A server did not come up. The message has the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core is whose. None: not pinned, since there is only one."""

    server: int | None
    load: int | None

    @classmethod
    def choose(cls, server: int | None = None, load: int | None = None) -> "Cores":
        """Take the two cores with the highest numbers: interrupts tend to go to the first ones."""
        usable = sorted(os.sched_getaffinity(0), reverse=True)
        if server is None:
            server = next((core for core in usable if core != load), None)
        if load is None:
            load = next((core for core in usable if core != server), None)
        if server is None or load is None or server == load:
            return cls(None, None)
        return cls(server, load)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    while True:
        port = randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that has given its first right answer."""

    process: subprocess.Popen[bytes]
    port: int
    first_answer: float
    """Seconds from the start of the process to the end of the first right answer."""
    output: Path

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://{HOST}:{self.port}"

    def cpu_time(self) -> usage.CpuTime:
        """CPU time of the whole tree until now."""
        return usage.cpu_time(self.process.pid)

    def memory(self) -> list[float]:
        """PSS in KiB of each process, largest first."""
        return usage.proportional_memory(self.process.pid)


def last_words(output: Path) -> str:
    """The last lines that a server printed, as one line."""
    lines = [line.strip() for line in output.read_text(errors="replace").splitlines()]
    return " | ".join([line for line in lines if line][-2:])[-300:] or "it printed nothing"


def wait_for_answer(process: subprocess.Popen[bytes], port: int, exchange: Exchange, output: Path) -> float:
    """Ask until the right answer comes, and return when it did (time.monotonic()).

    Raises:
        StartError: the process ended, the time is over, or the answer is wrong.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartError(f"ended with status {process.returncode}: {last_words(output)}")
        with socket.socket() as probe:
            listening = probe.connect_ex((HOST, port)) == 0
        if listening:
            try:
                verify(port, exchange, requests=1)
            except CheckError as error:
                raise StartError(f"{error}; {last_words(output)}") from error
            return time.monotonic()
        time.sleep(0.002)
    raise StartError(f"did not answer within {START_TIMEOUT:.0f} s: {last_words(output)}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and whatever is left of its session."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT)
    # The session is the process's own, so that this reaches nobody else; also workers that lost their parent.
    deadline = time.monotonic() + STOP_TIMEOUT
    while left := [stat.pid for stat in usage.session_processes(process.pid) if not stat.ended]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {left} cannot be killed")
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    process.wait()


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Be on this core while a process is started, which inherits it; then go back."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(
    command: list[str],
    port: int,
    exchange: Exchange,
    *,
    folder: Path,
    environment: Mapping[str, str],
    core: int | None,
    output: Path,
) -> Iterator[RunningServer]:
    """Run a server for the time of a `with` block.

    Args:
        command: program and arguments.
        port: on which it was told to listen.
        exchange: its first request.
        folder: working directory, with the applications.
        environment: all environment variables.
        core: to which it and its children are pinned.
        output: file for what it prints, access log included.

    Raises:
        StartError: it did not come up.
    """

    with output.open("wb") as file, on_core(core):
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        answered = wait_for_answer(process, port, exchange, output)
        yield RunningServer(process, port, answered - started, output)
    finally:
        stop(process)
