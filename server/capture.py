"""`--capture-output`: what the application writes to its standard streams goes into the error log.

By descriptor, so that it holds for C code and for programs that the application starts as well.
"""

from __future__ import annotations

import os
import sys
from os import close, dup2  # by name: see aserve.protocols.threads
from typing import TYPE_CHECKING

from aserve.loghandler import open_to_append
from aserve.streams import STANDARD_ERROR, STANDARD_OUTPUT

if TYPE_CHECKING:
    from aserve.options import Settings

_path: str | None = None
"""The file that both lead to, if they do."""
_output = STANDARD_OUTPUT


def begin(settings: Settings) -> None:
    """Lead standard output and standard error of this process into the error log.

    If the log itself is standard error, standard output joins it. Raises OSError if the file cannot
    be opened. To be called before anything of the application's is loaded.
    """
    global _path, _output
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if _output == STANDARD_OUTPUT:
        _output = os.dup(STANDARD_OUTPUT)  # not inherited by other programs
    if settings.error_logfile == "-":
        dup2(STANDARD_ERROR, STANDARD_OUTPUT)
    else:
        _path = os.path.abspath(settings.error_logfile)
        _lead(_path)
    # Or what is printed would wait for more of it: it is no terminal.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)


def reopen(path: str) -> None:
    """Go on in the file that has the name now, if it is `path`. Raises OSError if it cannot be opened."""
    if path == _path:
        _lead(path)


def standard_output() -> int:
    """Return the descriptor of standard output as the server was given it: for the access log."""
    return _output


def _lead(path: str) -> None:
    descriptor = open_to_append(path)
    dup2(descriptor, STANDARD_OUTPUT)
    dup2(descriptor, STANDARD_ERROR)
    close(descriptor)
