"""The command line: ``python -m benchmarks [OPTIONS] [SCENARIO ...]``."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from benchmarks import machine, wrk
from benchmarks.chart import svg
from benchmarks.environment import (
    BUILD,
    DEFAULT_FOLDER,
    Environment,
    EnvironmentSetupError,
    find_python,
    ignore,
)
from benchmarks.idle import bounded
from benchmarks.measures import Settings
from benchmarks.processes import Cores
from benchmarks.results import Results
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.servers import SERVERS, Server
from benchmarks.session import Session, command_line, say
from benchmarks.tables import markdown

RESULTS = BUILD / "benchmarks" / "results"
DEFAULTS = Settings()


class SelectionError(Exception):
    """A name that is not in the list."""


def arguments_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare aserve, as it is in this checkout, with its peers. Needs Linux and wrk. "
        "The first run makes an environment of its own and takes some minutes more.",
    )
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help="what to measure; all unless named (see --list)")
    add("-s", "--servers", help="servers to compare, separated by commas; all unless named (see --list)")
    add("-l", "--list", action="store_true", help="list scenarios and servers")
    add(
        "-d",
        "--duration",
        type=positive,
        default=DEFAULTS.duration,
        metavar="SECONDS",
        help="load in each round [%(default)s]",
    )
    add(
        "-r", "--rounds", type=positive, default=DEFAULTS.rounds, help="rounds of each scenario [%(default)s]"
    )
    add(
        "-c",
        "--connections",
        type=positive,
        default=DEFAULTS.connections,
        help="connections of the load [%(default)s]",
    )
    add("--threads", type=positive, default=DEFAULTS.threads, help="size of every WSGI pool [%(default)s]")
    add(
        "--idle-connections",
        type=positive,
        default=DEFAULTS.idle_connections,
        metavar="NUMBER",
        help="idle connections, fewer if descriptors do not allow [%(default)s]",
    )
    add("--server-cpu", type=int, metavar="CORE", help="core for the server [the last one]")
    add("--load-cpu", type=int, metavar="CORE", help="core for the load [the last but one]")
    add("--python", help="interpreter for the environment [Python 3.13 if found, else the running one]")
    add(
        "--environment",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help="where the environment is made",
    )
    add("--upgrade", action="store_true", help="install the newest versions of the peers first")
    add("--setup-only", action="store_true", help="make the environment, measure nothing")
    add(
        "--compare",
        action="append",
        default=[],
        metavar="REVISION",
        help="measure this revision of aserve, too (repeatable)",
    )
    add(
        "-o",
        "--output",
        type=Path,
        metavar="BASE",
        help="save to BASE.md, BASE.svg, BASE.json [build/benchmarks/results/DATE]",
    )
    add("--no-save", action="store_true", help="print only")
    add(
        "--render",
        type=Path,
        metavar="JSON",
        help="print and save the report of a run that was saved, measure nothing",
    )
    return parser


def positive(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def select_scenarios(names: Sequence[str]) -> list[Scenario]:
    """The scenarios of these names, in the order of the list; the default ones for no names.

    Raises:
        SelectionError: there is no such scenario.
    """
    check_names(names, [scenario.name for scenario in SCENARIOS], "scenario")
    return [scenario for scenario in SCENARIOS if (scenario.name in names if names else scenario.default)]


def select_servers(names: Sequence[str]) -> list[Server]:
    """The servers of these names, in the order of the list; the default ones for no names.

    Raises:
        SelectionError: there is no such server.
    """
    check_names(names, [server.name for server in SERVERS], "server")
    return [server for server in SERVERS if (server.name in names if names else server.default)]


def check_names(names: Iterable[str], known: Sequence[str], kind: str) -> None:
    """Raise SelectionError for a name that is not known."""
    for name in names:
        if name not in known:
            raise SelectionError(f"there is no {kind} {name!r}; there are: {', '.join(known)}")


def print_list() -> None:
    """Print what can be selected."""
    print("scenarios:")
    for scenario in SCENARIOS:
        print(f"  {scenario.name:14} {scenario.title}{'' if scenario.default else ' (only when named)'}")
    print("servers:")
    for server in SERVERS:
        interfaces = " and ".join(interface.upper() for interface in server.commands)
        print(f"  {server.name:14} {interfaces}{'' if server.default else ' (only when named)'}")


def save(results: Results, base: Path) -> None:
    """Write the three files of a run."""
    base.parent.mkdir(parents=True, exist_ok=True)
    if base.is_relative_to(BUILD):
        ignore(BUILD)
    # Appended, not with_suffix(): the name may hold dots.
    results.save(base.with_name(base.name + ".json"))
    base.with_name(base.name + ".md").write_text(markdown(results))
    base.with_name(base.name + ".svg").write_text(svg(results))
    say(f"saved {base}.md, .svg and .json")


def prepare(options: argparse.Namespace) -> Environment:
    """The environment with the peers and with aserve as it is now."""
    environment = Environment(options.environment.resolve(), say=say)
    environment.prepare(find_python(options.python), upgrade=options.upgrade)
    environment.install_aserve()
    return environment


def measure(
    options: argparse.Namespace, scenarios: list[Scenario], servers: list[Server], command: str
) -> Results:
    """Prepare everything and measure."""
    environment = prepare(options)
    ours = next(server for server in SERVERS if server.name == "aserve")
    for revision in options.compare:
        path = str(environment.install_revision(revision))
        servers.append(replace(ours, name=f"aserve@{revision}", environment={"PYTHONPATH": path}))
    cores = Cores.choose(options.server_cpu, options.load_cpu)
    idle_connections = bounded(options.idle_connections)
    if idle_connections < options.idle_connections:
        say(f"the limit of open descriptors allows {idle_connections} idle connections only")
    settings = Settings(
        options.duration, options.rounds, options.connections, options.threads, idle_connections
    )
    results = Results(machine.facts(environment, settings, cores, servers, command))
    if cores.load is not None:
        # Inherited by wrk.
        os.sched_setaffinity(0, {cores.load})
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        session = Session(environment, settings, cores, Path(folder))
        for scenario in scenarios:
            results.scenarios.append(session.measure(scenario, servers))
    return results


def end(number: int, frame: FrameType | None) -> None:
    """End by an exception on SIGTERM, so that servers are stopped."""
    raise SystemExit(128 + number)


def run(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status.

    Raises:
        SelectionError, EnvironmentSetupError, LoadError: with one line for the user.
    """
    parser = arguments_parser()
    options = parser.parse_args(arguments)
    if options.list:
        print_list()
        return 0
    base = options.output or RESULTS / datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    if options.render is not None:
        results = Results.load(options.render)
        if options.scenarios:
            check_names(options.scenarios, [scenario.name for scenario in results.scenarios], "result of")
            results.scenarios = [each for each in results.scenarios if each.name in options.scenarios]
    else:
        if not sys.platform.startswith("linux"):
            parser.error("this needs Linux: CPU time and memory of process trees are read from /proc")
        scenarios = select_scenarios(options.scenarios)
        servers = select_servers(options.servers.split(",") if options.servers else [])
        if options.setup_only:
            prepare(options)
            return 0
        wrk.find()
        signal.signal(signal.SIGTERM, end)
        results = measure(options, scenarios, servers, command_line(arguments))
    print(markdown(results))
    if not options.no_save and (options.render is None or options.output is not None):
        save(results, base)
    return 0


def main() -> int:
    """Run, with errors of the user as one line."""
    try:
        return run(sys.argv[1:])
    except (SelectionError, EnvironmentSetupError, wrk.LoadError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
