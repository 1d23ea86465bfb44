"""The options that have to do with the processes' surroundings: who they are to the system.

A part of the one table of options, see options.py.
"""

from __future__ import annotations

from aserve import identity, validators
from aserve.declaration import declared, option
from aserve.reloadoptions import ReloadSettings


@declared(frozen=True, kw_only=True)
class ProcessSettings(ReloadSettings):
    """Those settings, and the ones of reloadoptions.py: one line of classes, since they have slots."""

    pidfile: str | None = option(
        "-p",
        "--pid",
        section="Process",
        metavar="FILE",
        parse=validators.text,
        default_text="none",
        elsewhere=("--pidfile", "--pid-file"),
        help="A file for the supervisor's pid. A start is refused while the server that wrote it runs.",
    )
    daemon: bool = option(
        "-D",
        "--daemon",
        section="Process",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="Go on in the background. The command returns when the server is ready, with status 0, or "
        "has failed, with its status and reason.",
    )
    notify_fd: int | None = option(
        "--notify-fd",
        section="Process",
        metavar="N",
        parse=validators.integer(3),
        default_text="none",
        help="A descriptor, from 3 on, that gets a newline and is closed when the first worker serves: what "
        "s6 knows as a service's notification-fd.",
    )
    user: int | None = option(
        "-u",
        "--user",
        section="Process",
        metavar="USER",
        parse=identity.parse_user,
        default_text="the supervisor's",
        help="The user that workers run as (name or number), with all groups that it belongs to. Needs "
        "root; the supervisor stays root.",
    )
    group: int | None = option(
        "-g",
        "--group",
        section="Process",
        metavar="GROUP",
        parse=identity.parse_group,
        default_text="the user's own",
        help="The group that workers run in (name or number).",
    )
    umask: int | None = option(
        "-m",
        "--umask",
        section="Process",
        metavar="MODE",
        parse=validators.umask,
        default_text="as inherited; Unix sockets are open to everybody",
        help="Permissions that new files, log files and Unix sockets do not get, in octal: 027.",
    )
    raw_env: tuple[str, ...] = option(
        "-e",
        "--env",
        section="Process",
        metavar="NAME=VALUE",
        parse=validators.variables,
        multiple=True,
        default=(),
        default_text="none",
        help="An environment variable for the application. Can be given more than once.",
    )
    proc_name: str | None = option(
        "-n",
        "--name",
        section="Process",
        metavar="NAME",
        parse=validators.text,
        default_text="APP",
        elsewhere=("--process-name",),
        help="What ps and top show of the server's processes, beside what they are doing. Needs the "
        "extra aserve-server[setproctitle].",
    )
    worker_tmp_dir: str | None = option(
        "--worker-tmp-dir",
        section="Process",
        metavar="FOLDER",
        parse=validators.text,
        default_text="none",
        help="For gunicorn's configurations; nothing is written there. Heartbeats are in shared memory "
        "and touch no disk.",
    )
