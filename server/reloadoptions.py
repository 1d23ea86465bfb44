"""The options for those who write the application: reloads upon a change of its files.

A part of the one table of options, see options.py. gunicorn's names where it has them, else uvicorn's.
"""

from __future__ import annotations

from typing import Literal

from aserve import validators
from aserve.declaration import declared, option
from aserve.websockets import WebSocketSettings


@declared(frozen=True, kw_only=True)
class ReloadSettings(WebSocketSettings):
    """Those settings, and the ones of websockets.py: one line of classes, since they have slots."""

    reload: bool = option(
        "--reload",
        section="Development",
        parse=validators.boolean,
        default=False,
        default_text="off",
        help="Reload when a file of the application changes; what does not start waits for the next change. "
        "Needs the extra aserve-server[reload]. Not for production.",
    )
    reload_dirs: tuple[str, ...] = option(
        "--reload-dir",
        section="Development",
        metavar="FOLDER",
        parse=validators.each(validators.text, none=True),
        multiple=True,
        default=(),
        default_text="the working folder and those of --pythonpath",
        elsewhere=("--reload-paths",),
        help="Watch this folder, with all that are in it except hidden ones, virtual environments, "
        "node_modules and the like. Can be given more than once.",
    )
    reload_includes: tuple[str, ...] = option(
        "--reload-include",
        section="Development",
        metavar="PATTERN",
        parse=validators.each(validators.text, none=True),
        multiple=True,
        default=(),
        default_text="none",
        help="Files that count besides *.py, such as '*.html' or 'templates/**/*.txt', or folders of "
        "which every file counts. Can be given more than once.",
    )
    reload_excludes: tuple[str, ...] = option(
        "--reload-exclude",
        section="Development",
        metavar="PATTERN",
        parse=validators.each(validators.text, none=True),
        multiple=True,
        default=(),
        default_text="none",
        elsewhere=("--reload-ignore-dirs", "--reload-ignore-patterns", "--reload-ignore-paths"),
        help="Files that do not count, and folders that are not looked into, such as 'test_*.py' or "
        "frontend. Can be given more than once.",
    )
    reload_extra_files: tuple[str, ...] = option(
        "--reload-extra-file",
        section="Development",
        metavar="PATH",
        parse=validators.each(validators.text, none=True),
        multiple=True,
        default=(),
        default_text="none",
        help="A file that counts wherever it is, a folder of which every file counts, or a pattern such as "
        "'conf/*.yaml'. Can be given more than once.",
    )
    reload_engine: Literal["auto", "inotify", "poll"] = option(
        "--reload-engine",
        section="Development",
        metavar="auto|inotify|poll",
        parse=validators.choice("auto", "inotify", "poll"),
        default="auto",
        help="How changes are noticed: the system tells them (inotify, or what takes its place), or they "
        "are looked for again and again (poll; needs no extra); auto polls where the system does not tell.",
    )
