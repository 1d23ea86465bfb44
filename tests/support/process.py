"""One `python -m aserve` as a child of the test, with its log lines and its end under control."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM
from types import TracebackType
from typing import IO, Literal, NamedTuple, Self

from tests.support.host import group_members

Stream = Literal["stdout", "stderr"]

START_TIMEOUT = 20.0
"""Seconds that a server may take until it is ready: generous, the machine may be busy."""

STOP_TIMEOUT = 20.0
"""Seconds that a server may take from the signal to its end."""

_LISTENING = r"listening on (\S+)$"
_READY = r"ready: \d+ workers? in [\d.]+ s$"
_WORKER = re.compile(r"worker=(\d+) gen=(\d+) pid=(\d+) (booting|ready|draining|exited|died)\b")
_LOG_LINE = re.compile(r"\[\d{4}-\d{2}-\d{2} ")
TRACEBACK = "Traceback (most recent call last)"
_CHAINED = ("direct cause of the following exception:", "another exception occurred:")
# Variables of others that would configure a server.
_FOREIGN = ("WEB_CONCURRENCY", "PORT", "SCRIPT_NAME", "FORWARDED_ALLOW_IPS", "GUNICORN_CMD_ARGS")
# Signs of carelessness that Python reports without a failure.
COMPLAINTS = (
    "Exception ignored",
    "was never awaited",
    "Task was destroyed",
    "was never retrieved",
    "ResourceWarning: unclosed",  # as the interpreter says it; libraries have files of their own
    "Fatal Python error",
)


class Line(NamedTuple):
    """A line that the server wrote."""

    stream: Stream
    text: str


class _Pipe:
    """The reading end of a pipe that never blocks. Only the thread that waits for it closes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.ended = False
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        os.set_blocking(file.fileno(), False)

    def read(self) -> list[str]:
        """Return the lines that are complete by now; it has `ended` once nothing can follow."""
        lines = []
        while not self.ended:
            try:
                data = os.read(self.file.fileno(), 65536)
            except BlockingIOError:
                break
            *complete, self._rest = (self._rest + self._decoder.decode(data, not data)).split("\n")
            lines += complete
            if not data:
                self.ended = True
                if self._rest:
                    lines.append(self._rest)
        return lines


class ServerProcess:
    """A server process of its own process group, stopped and checked at the end.

    Arguments: `args` follow `python -m aserve`; `bind` is put before them as `--bind` (None: the
    arguments hold one, or the default is wanted); `cwd` is the working directory, from which the
    application is imported; `env` is added to the environment, which is stripped of everything
    that would configure the server from outside; `prefix` is a program, with its arguments, that
    executes what follows; `stdin` and `pass_fds` are as subprocess has them.

    Use it as a context manager, or `start()` it and owe a `stop()`. An application that raises on
    purpose says `deliberate` in its message (or add to `allowed_tracebacks`): every other
    traceback in the output is a failure.
    """

    def __init__(
        self,
        *args: str,
        cwd: Path,
        bind: str | None = "127.0.0.1:0",
        env: Mapping[str, str] | None = None,
        allowed_tracebacks: Sequence[str] = ("deliberate",),
        prefix: Sequence[str] = (),
        stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> None:
        options = [] if bind is None else ["--bind", bind]
        python = [sys.executable, "-W", "always::ResourceWarning"]
        self.command = [*prefix, *python, "-m", "aserve", *options, *args]
        self.cwd = cwd
        self.env = clean_environment() | dict(env or {})
        self.allowed_tracebacks = list(allowed_tracebacks)
        self._stdin, self._pass_fds = stdin, pass_fds
        self._lines: list[Line] = []
        self._changed = threading.Condition()
        self._pipes: dict[Stream, _Pipe] = {}
        self._readers: list[threading.Thread] = []
        self._status: int | None = None
        self._judged = False
        self._process: subprocess.Popen[bytes] | None = None

    # -- life ---------------------------------------------------------------------------------

    def start(self, *, ready: bool = True) -> Self:
        """Start the process; with `ready`, return when all its workers are (else at once)."""
        self._process = process = subprocess.Popen(
            self.command,
            cwd=self.cwd,
            env=self.env,
            stdin=self._stdin,
            pass_fds=self._pass_fds,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._pipes = {"stdout": _Pipe(process.stdout), "stderr": _Pipe(process.stderr)}
        self._readers = [self._thread(self._read, pipe) for pipe in tuple(self._pipes.values())]
        self._thread(self._watch, process)
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.kill()
                raise
        return self

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Return when the server says that all its workers are ready."""
        self.wait_line(_READY, timeout)

    def signal(self, signum: int) -> None:
        """Send `signum` to the supervisor."""
        os.kill(self.pid, signum)

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """Return the exit status (negative: the signal) once the process has ended and is read out."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._status is not None, timeout):
                self._fail(f"still running after {timeout} s")
            # Its pipes stay open for as long as one of its children lives.
            self._changed.wait_for(lambda: not self._pipes, 2.0)
            assert self._status is not None
            self._judged = True
            return self._status

    def stop(self, signum: int = SIGTERM, *, status: int = 0, timeout: float = STOP_TIMEOUT) -> None:
        """Stop the server with `signum` (0: it is stopping already) and check how it ended.

        Raises AssertionError when it ends with another status than `status` or not within
        `timeout` seconds, leaves a process behind, or has written a traceback or warning of ours.
        """
        try:
            if self.running and signum:
                with contextlib.suppress(ProcessLookupError):  # it has just ended: see below how
                    self.signal(signum)
            found = self.wait(timeout)
            if found != status:
                self._fail(f"ended with status {found}, not {status}")
            self._check_gone()
            self.check()
        finally:
            self.kill()

    def finish(self) -> None:
        """Stop and check the server, if the test has not seen its end; else check what is left."""
        if self._process is None:
            return
        if not self._judged:
            self.stop()
            return
        try:
            self._check_gone()
            self.check()
        finally:
            self.kill()

    def kill(self) -> None:
        """End whatever is left of the process group, without a question."""
        if self._process is None:
            return
        if self.running or group_members(self.pid):
            try:
                os.killpg(self.pid, SIGKILL)
            except ProcessLookupError:
                pass  # it ended meanwhile
        self._process.wait()
        for reader in self._readers:
            reader.join(1.0)  # it has a descriptor; longer only if another group has the pipe's other end

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.stop()
        else:
            self.kill()
            error.add_note(self.output())

    # -- what it says -------------------------------------------------------------------------

    def mark(self) -> int:
        """Return a position in the output, for the `since` of the other methods."""
        with self._changed:
            self._take()
            return len(self._lines)

    def lines(self, stream: Stream | None = None, since: int = 0) -> list[str]:
        """Return the lines written so far (to `stream`, or to both).

        Whatever a process wrote before it, or another, wrote a line that is known is among them.
        """
        with self._changed:
            self._take()
            return [line.text for line in self._lines[since:] if stream in (None, line.stream)]

    def warnings(self) -> list[str]:
        """Return the log's warnings, but the one that root gets at a start: tests are often run as root."""
        return [
            text
            for text in self.lines("stderr")
            if "[WARNING]" in text and "the application runs as root" not in text
        ]

    def wait_line(
        self,
        pattern: str,
        timeout: float = START_TIMEOUT,
        *,
        stream: Stream | None = None,
        since: int = 0,
    ) -> re.Match[str]:
        """Return the first match of `pattern` in a line from position `since` on, waiting for it.

        Raises AssertionError with all output after `timeout` seconds, or as soon as the process
        has ended without such a line.
        """
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout
        position = since
        with self._changed:
            while True:
                for line in self._lines[position:]:
                    position += 1
                    if stream in (None, line.stream) and (match := wanted.search(line.text)):
                        return match
                if self._status is not None and not self._pipes:
                    self._fail(f"ended (status {self._status}) without a line like {pattern!r}")
                if self._status is not None:
                    # The supervisor is gone, an orphan holds the pipes: what is written is here soon.
                    deadline = min(deadline, time.monotonic() + 1.0)
                left = deadline - time.monotonic()
                if left <= 0:
                    self._fail(f"no line like {pattern!r} within {timeout} s")
                self._changed.wait(left)

    def tracebacks(self, since: int = 0) -> list[str]:
        """Return every traceback in the output, each up to the next log line.

        An exception with its causes, or a group with its members, is one.
        """
        found: list[list[str]] = []
        inside = chained = False
        for text in self.lines("stderr", since):
            if TRACEBACK in text and not chained and not text.startswith("    "):
                found.append([])
                inside = True
            elif _LOG_LINE.match(text):
                inside = False
            if inside:
                found[-1].append(text)
            if text.strip():
                chained = inside and text.endswith(_CHAINED)
        return ["\n".join(block) for block in found]

    def check(self, since: int = 0) -> None:
        """Raise AssertionError if the output has a traceback or warning that nobody has planned."""
        allowed = re.compile("|".join(self.allowed_tracebacks)) if self.allowed_tracebacks else None
        for block in self.tracebacks(since):
            if allowed is None or not allowed.search(block):
                self._fail(f"wrote a traceback:\n{block}")
        for text in self.lines("stderr", since):
            if any(complaint in text for complaint in COMPLAINTS):
                self._fail(f"wrote: {text}")

    def output(self, since: int = 0) -> str:
        """Return the command and what it has written, for a failure's message."""
        lines = "\n".join(f"{line.stream}: {line.text}" for line in self._lines[since:])
        return f"$ {' '.join(self.command)}\n{lines or '(no output)'}"

    # -- who and where ------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Has the supervisor not ended yet?"""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The supervisor's pid, which is its process group's number as well."""
        assert self._process is not None, "not started"
        return self._process.pid

    def worker_pids(self) -> list[int]:
        """Return the pids of the workers that said ready and have not been reported gone."""
        alive: dict[int, None] = {}
        for text in self.lines("stderr"):
            if match := _WORKER.search(text):
                pid, event = int(match[3]), match[4]
                if event == "ready":
                    alive[pid] = None
                elif event in ("exited", "died"):
                    alive.pop(pid, None)
        return list(alive)

    @property
    def addresses(self) -> list[str]:
        """Every address that the server listens on, as it reports them."""
        self.wait_line(_LISTENING)
        return [match[1] for text in self.lines("stderr") if (match := re.search(_LISTENING, text))]

    @property
    def url(self) -> str:
        """The URL of the first address: `http://127.0.0.1:PORT`, or `http://localhost` on a unix socket."""
        first = self.addresses[0]
        return "http://localhost" if first.startswith("unix:") else first

    @property
    def uds(self) -> str | None:
        """The path of the first address if that is a unix socket."""
        first = self.addresses[0]
        return first.removeprefix("unix:") if first.startswith("unix:") else None

    @property
    def port(self) -> int:
        """The TCP port of the first address."""
        return int(self.addresses[0].rpartition(":")[2])

    @property
    def target(self) -> tuple[str, int] | str:
        """Where the raw clients connect to: (host, port), or the path of a unix socket."""
        return self.uds or ("127.0.0.1", self.port)

    # -- inside -------------------------------------------------------------------------------

    def _thread(self, work: object, *args: object) -> threading.Thread:
        assert callable(work)
        thread = threading.Thread(target=work, args=args, daemon=True)
        thread.start()
        return thread

    def _read(self, pipe: _Pipe) -> None:
        waiting = select.poll()
        waiting.register(pipe.file, select.POLLIN)
        while not pipe.ended:
            waiting.poll()
            with self._changed:
                self._take()
        pipe.file.close()

    def _take(self) -> None:
        # With self._changed held. Both pipes at once: what comes before a line of one in time may be
        # in the other, whose thread has not had its turn yet.
        for name, pipe in tuple(self._pipes.items()):
            for text in pipe.read():
                self._lines.append(Line(name, text))
            if pipe.ended:
                del self._pipes[name]
        self._changed.notify_all()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        status = process.wait()
        with self._changed:
            self._status = status
            self._changed.notify_all()

    def _check_gone(self) -> None:
        left = group_members(self.pid)
        if left:
            self._fail(f"left processes behind: {left}")

    def _fail(self, what: str) -> None:
        raise AssertionError(f"{what}\n{self.output()}")


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what would configure a server."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ASERVE_") and name not in _FOREIGN
    }
    environ["PYTHONUNBUFFERED"] = "1"
    return environ
