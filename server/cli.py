"""The command `aserve`: from the command line to a running supervisor, and from errors to one clear line.

What is heavy to import is imported where it is used: `--version` and `--help` should answer at
once, and so should a mistake.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from aserve import activation, commandline, config, daemon, origin
from aserve.errors import EXIT_INTERRUPTED, EXIT_USAGE, Mistakes, UserError, describe, exit_status
from aserve.options import Settings
from aserve.remarks import Note, level_of

if TYPE_CHECKING:
    from aserve.handover import Handover

serving = False
"""Is there a server in this process, or was it forked from one?"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command with `arguments` (by default the process's), and exit: see errors.EXIT_*."""
    try:
        given = commandline.read(sys.argv[1:] if arguments is None else arguments)
        status = given if isinstance(given, int) else serve(given)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # a terminal has written ^C
        status = EXIT_INTERRUPTED
    except BrokenPipeError:  # who reads what --print-config prints has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains when it ends
        status = 1
    except Exception as error:
        status = fail(error)
    raise SystemExit(status)


def run(
    settings: Settings,
    handover: Handover | None = None,
    load: Callable[[], Settings] | None = None,
    remarks: Iterable[str] = (),
) -> int:
    """Do what the settings say, and return the exit status when it is done.

    Arguments: `handover` comes from the supervisor that is to be replaced, if one is; `load` returns
    the settings anew for a reload (none: they stay); `remarks` are lines for the log about them.
    Raises UserError or ApplicationLoadError for what the user can mend.
    """
    from aserve import identity, importpath, logs

    identity.check(settings)
    # After an upgrade, the supervisor before this one has said it.
    if settings.notify_fd is not None and handover is None and not settings.check_config:
        from aserve import readiness

        readiness.expect(settings.notify_fd, settings.bind)
    importpath.enter(settings)
    if settings.reload:
        from aserve import watchlist

        watchlist.check(settings)
    identity.set_umask(settings)
    log = logs.configure(settings)
    for remark in remarks:
        log.log(level_of(remark), "%s", remark)
    if settings.access_logfile is not None:
        from aserve import accesslog

        accesslog.check(settings)
    if settings.check_config:
        return _check(settings)
    # What is imported now stays: a collection would find nothing. The supervisor turns it on again.
    gc.disable()
    from aserve.host import Host
    from aserve.supervisor import Supervisor

    host = Host(settings, handover)
    try:
        host.enter()
        return Supervisor(settings, host, load).run()
    except UserError as error:
        if settings.error_logfile == "-":
            raise
        log.error("%s", error)  # for who looks into the file
        raise
    finally:
        host.leave()


def serve(
    given: Mapping[str, object],
    remarks: Iterable[str] = (),
    finish: Callable[[Settings], Settings] = lambda settings: settings,
) -> int:
    """Serve with the options `given` by name, as the command does; return the exit status.

    Arguments: `remarks` are lines for the log; `finish` has the last word on the settings, at the start and
    at each reload. Raises what `run` does.
    """
    global serving
    from aserve.processes import have_standard_streams

    serving = True
    closed = have_standard_streams()  # before anything else is opened
    origin.remember()
    handover = _handover()

    try:
        found = config.resolution(given, os.environ, {})
        if found.settings.print_config:
            _print_config(found)
            if not found.settings.check_config:
                return 0
        found = dataclasses.replace(
            found, settings=finish(found.settings), remarks=(*remarks, *found.remarks)
        )
        return _run(found, handover, lambda: finish(config.resolve(given, os.environ, _remark)), closed)
    finally:
        serving = False
        if handover is not None:
            handover.channel.close()


def _check(settings: Settings) -> int:
    """Load the application as a worker does, and say whether it could be served."""
    import click

    from aserve import pidfile, sockets

    sockets.check(settings.bind)
    if settings.pidfile is not None:
        pidfile.check(settings.pidfile)
    interface = _interface(settings)
    click.echo(f"configuration ok: {settings.app} can be served ({interface})")
    return 0


def _interface(settings: Settings) -> str:
    import asyncio
    import atexit
    from contextlib import closing

    from aserve import identity, importpath
    from aserve.adapters import GREENLETS, make_runner
    from aserve.adapters.interfaces import detect
    from aserve.reload import load_certificates
    from aserve.worker import load

    load_certificates(settings)  # with the rights of who starts the server
    identity.assume(settings)
    importpath.extend(settings)
    if settings.hooks.footprint is not None:
        settings.hooks.footprint.settle(settings)
    kind = settings.worker_class
    with closing(asyncio.new_event_loop()) as loop:
        runner = make_runner(kind, loop) if kind in GREENLETS else None
        try:
            return str(detect(load(settings, runner), kind))
        finally:
            if runner is not None:
                loop.run_until_complete(runner.unload(atexit._run_exitfuncs))


def fail(error: Exception, status: int = 0) -> int:
    """Say what is wrong, and return `status`, by default the error's own; raise a mistake of ours."""
    status = status or exit_status(error)
    if status == 1:
        raise error  # our own mistake: its traceback is for us
    if isinstance(error, Mistakes):
        text = "\n".join(map(_first_line_last, error.lines))
    else:
        text = _first_line_last(describe(error))
    if isinstance(error, UserError):
        text = "\n".join([*_warnings(error.remarks), text])
    if not daemon.report(status, text):
        import click

        click.echo(text, err=True)
    return status


def _first_line_last(text: str) -> str:
    """Put the program's name before the last line; above it is the application's own traceback."""
    above, newline, line = text.rpartition("\n")
    return f"{above}{newline}aserve: error: {line}"


def _run(
    found: config.Resolution, handover: Handover | None, load: Callable[[], Settings], closed: list[int]
) -> int:
    """Do what the settings say; what is wrong with one is told with the place where it stands.

    Whatever --check-config finds to be wrong is a matter of the configuration.
    """
    remarks = list(found.remarks)
    if found.settings.access_logfile == "-" and 1 in closed:
        remarks.append("standard output is closed: the access log is lost; name a file for it")
    try:
        return run(found.settings, handover, load, remarks)
    except Exception as error:
        if isinstance(error, UserError):
            found.place(error)
        if found.settings.check_config and exit_status(error) != 1:
            return fail(error, EXIT_USAGE)
        raise


def _print_config(found: config.Resolution) -> None:
    import click

    from aserve import configprint

    for line in _warnings(found.remarks):
        click.echo(line, err=True)
    click.echo(configprint.text(found), nl=False)


def _warnings(remarks: Iterable[str]) -> Iterator[str]:
    """Yield the lines of what is no mere note, for where there is no log yet."""
    for remark in remarks:
        if not isinstance(remark, Note):
            yield f"aserve: warning: {remark}"


def _remark(remark: str) -> None:
    import logging  # there since long, when this is called

    logging.getLogger("aserve").log(level_of(remark), "%s", remark)


def _handover() -> Handover | None:
    """Take what other processes have left for this one: sockets, from a supervisor or a service manager."""
    if "ASERVE_HANDOVER" in os.environ:
        from aserve.handover import Handover  # with much that a mistake on the command line does not need

        if (handover := Handover.take(os.environ)) is not None:
            return handover
    activation.take(os.environ)
    return None
