"""A run: for each scenario, rounds that take the servers in turn."""

import os
import shlex
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.checks import CheckError, verify
from benchmarks.environment import Environment
from benchmarks.measures import MEASURES, Round, Settings
from benchmarks.processes import Cores, RunningServer, StartError, free_port, last_words, running
from benchmarks.results import Row, ScenarioResult
from benchmarks.scenarios import Scenario
from benchmarks.servers import Options, Server
from benchmarks.wrk import LoadError

HERE = Path(__file__).resolve().parent
KEEP_ALIVE_SECONDS = 600


def say(text: str) -> None:
    """Tell how far it is; results go to standard output, this does not."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server with certain options in a scenario, and the row for its figures."""

    server: Server
    options: Options
    row: Row


@dataclass(slots=True)
class Session:
    """Everything that a run needs."""

    environment: Environment
    settings: Settings
    cores: Cores
    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    """For temporary files: what the servers print, and request bodies."""

    @property
    def _output(self) -> Path:
        """What the running server, or the one that ran last, has printed."""
        return self.folder / "server-output"

    def measure(self, scenario: Scenario, servers: Iterable[Server]) -> ScenarioResult:
        """Check every server, then measure those that answer rightly.

        Every round starts each server afresh: none is disturbed by what the others do while they have
        nothing to do, and differences between starts (memory layout, hash seeds) go into the statistics.
        """
        result = ScenarioResult(scenario.name, scenario.title, scenario.measure)
        contestants = [
            Contestant(server, options, self._row(server, options, scenario))
            for server in servers
            if scenario.admits(server)
            for options in scenario.options
        ]
        result.rows = [contestant.row for contestant in contestants]
        for contestant in contestants:
            contestant.row.skipped = self._obstacle(scenario, contestant)
            if contestant.row.skipped:
                say(f"{scenario.name}: {contestant.row.name} skipped: {contestant.row.skipped}")
        ready = [contestant for contestant in contestants if not contestant.row.skipped]
        rounds = MEASURES[scenario.measure].rounds(self.settings.rounds)
        for number in range(rounds):
            for contestant in rotated(ready, number):
                self._round(scenario, contestant, f"{scenario.name} {number + 1}/{rounds}")
        for row in result.rows:
            if not row.samples and not row.skipped:
                row.skipped = "no round came to its end"
        return result

    def _row(self, server: Server, options: Options, scenario: Scenario) -> Row:
        note = server.notes.get(scenario.interface, "").format(threads=self.settings.threads)
        return Row(server.name, options if len(scenario.options) > 1 and options != "quiet" else "", note)

    def _obstacle(self, scenario: Scenario, contestant: Contestant) -> str:
        """Why this server cannot be measured, or nothing: it is started and asked once."""
        server = contestant.server
        if reason := self.environment.missing.get(server.distribution, ""):
            return reason
        if not server.environment and (module := self.environment.has(server.requires)):
            return f"the environment has no module {module}"
        try:
            with self._running(scenario, contestant) as process:
                verify(process.port, scenario.exchange)
        except (StartError, CheckError) as error:
            return str(error)
        return ""

    def _round(self, scenario: Scenario, contestant: Contestant, where: str) -> None:
        row = contestant.row
        try:
            with self._running(scenario, contestant) as process:
                current = Round(process, scenario.exchange, self.settings, self.cores, self.folder)
                sample = dict(MEASURES[scenario.measure].run(current))
        except (StartError, CheckError, LoadError) as error:
            # Kept as a round without figures but with an error, so that the row is marked.
            failure = f"{error}; {last_words(self._output)}" if isinstance(error, CheckError) else str(error)
            say(f"{where} {row.name}: {failure}")
            row.samples.append({"errors": 1.0})
            row.failures.append(failure)
            return
        row.samples.append(sample)
        column = MEASURES[scenario.measure].columns[0]
        value = f"{sample[column.key]:.{column.digits}f}" if column.key in sample else "no figure for"
        marks = f", {sample['errors']:.0f} ERRORS" if sample["errors"] else ""
        say(f"{where} {row.name}: {value} {column.title}{marks}")

    def _running(self, scenario: Scenario, contestant: Contestant) -> AbstractContextManager[RunningServer]:
        port = free_port()
        values = {
            "app": scenario.app,
            "port": port,
            "threads": self.settings.threads,
            "connections": self.settings.idle_connections + 200,
            "seconds": KEEP_ALIVE_SECONDS,
            "scripts": self.environment.scripts,
            "launchers": HERE / "launchers",
        }
        server = contestant.server
        return running(
            [self.environment.python, *server.arguments(scenario.interface, contestant.options, values)],
            port,
            scenario.exchange,
            folder=HERE / "apps",
            environment=clean_environment() | dict(server.environment),
            core=self.cores.server,
            output=self._output,
        )


def rotated(contestants: Sequence[Contestant], number: int) -> list[Contestant]:
    """The contestants, beginning with another one in each round."""
    if not contestants:
        return []
    start = number % len(contestants)
    return [*contestants[start:], *contestants[:start]]


def clean_environment() -> dict[str, str]:
    """Environment variables for servers: few, as many servers (and Python) take settings from them."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def command_line(arguments: Sequence[str]) -> str:
    """The command line of this run, as it can be typed again."""
    return shlex.join(["python", "-m", "benchmarks", *arguments])
