"""Names of files that stand for the standard streams, as containers like them for logs.

Opened by such a name, a stream is another file than the one that was inherited: a worker that has given up
root may not open it, a socket cannot be opened at all, and writes to a plain file go over each other.
"""

from __future__ import annotations

from typing import Final

STANDARD_OUTPUT: Final = 1
STANDARD_ERROR: Final = 2

_NAMES: Final = {
    "/dev/stdout": STANDARD_OUTPUT,
    "/dev/fd/1": STANDARD_OUTPUT,
    "/proc/self/fd/1": STANDARD_OUTPUT,
    "/dev/stderr": STANDARD_ERROR,
    "/dev/fd/2": STANDARD_ERROR,
    "/proc/self/fd/2": STANDARD_ERROR,
}


def stream(path: str) -> int | None:
    """Return the descriptor of the standard stream that a path stands for, None for other files."""
    return _NAMES.get(path)
