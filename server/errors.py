"""What a user can do wrong, and what the process says and returns when it happens.

Each of these errors carries one clear line: what is wrong, and what to do instead. They are shown
without a traceback of ours, since the place in our code where a mistake was found tells its maker
nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Final

EXIT_USAGE: Final = 2
"""A command line, environment variable or setting is wrong."""
EXIT_BOOT: Final = 3
"""The application did not start, or an address cannot be listened on."""
EXIT_LOAD: Final = 4
"""The application cannot be loaded: no such module or attribute, or its import fails."""
EXIT_INTERRUPTED: Final = 130
"""INT before there was a server to stop, by the shells' convention."""

_OUR_FOLDER = os.path.dirname(__file__) + os.sep
_IMPORT_MACHINERY = ("<frozen importlib", "<frozen runpy")


class UserError(Exception):
    """The root of what users can cause and can mend.

    Arguments: `message` is one line without the program's name and without a full stop at its end.
    `status` is the exit status that it leads to. `remarks` are lines on what else is odd about the settings,
    which may be why.
    """

    status = 1
    remarks: Sequence[str] = ()


class UsageError(UserError):
    """An option, environment variable or setting has a wrong name or value."""

    status = EXIT_USAGE


class Mistakes(UsageError):
    """Several settings are wrong; `lines` say of each what is."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(f"{lines[0]} (and {len(lines) - 1} more)")
        self.lines = tuple(lines)


class BootError(UserError):
    """The server cannot start: an address is taken, or the application's start has failed."""

    status = EXIT_BOOT


def exit_status(error: BaseException) -> int:
    """Return the exit status that stands for `error`.

    A load error of `aserve.adapters.loading` is known by its name, so that telling a usage error
    does not import the adapters.
    """
    if isinstance(error, UserError):
        return error.status
    if any(base.__name__ == "ApplicationLoadError" for base in type(error).__mro__):
        return EXIT_LOAD
    return 1


def describe(error: BaseException) -> str:
    """Return what to show of `error`: the application's own traceback if it has one, then its line.

    The traceback is that of the error's `cause` attribute (or `__cause__`, for errors of ours),
    less the frames at its top that belong to aserve and the import machinery.
    """
    cause = getattr(error, "cause", None)
    if not isinstance(cause, BaseException):
        return str(error)
    return f"{application_traceback(cause)}{error}"


def application_traceback(error: BaseException) -> str:
    """Return the traceback of `error` from the application's first frame on, with a newline at its end."""
    import traceback  # heavy for what most starts do without

    first = _first_foreign(error.__traceback__)
    return "".join(traceback.format_exception(type(error), error, first))


def below(text: str) -> str:
    """Return `text` (a traceback, stacks) as it is put below a log line; nothing if it is empty."""
    return f"\n{text.rstrip()}" if text else ""


def _first_foreign(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if not file.startswith((_OUR_FOLDER, *_IMPORT_MACHINERY)) and "/importlib/" not in file:
            return frames
        frames = frames.tb_next
    return None
