"""`python -m aserve.afresh OPTIONS`: the server that `aserve.run` starts in an interpreter of its own.

OPTIONS is what program.py writes: a JSON object with the options by name, and the path to import from.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Final

from aserve import cli, origin

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def main() -> None:
    """Serve, and end with the status of that."""
    said = json.loads(sys.argv[1])
    sys.path[:] = said["path"]
    _end_with(said["parent"])
    origin.tie()
    try:
        status = cli.serve(said["options"])
    except Exception as error:
        status = cli.fail(error)
    raise SystemExit(status)


def _end_with(parent: int) -> None:
    """Have this process stop when the program that has started it has died (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it has died before
            raise SystemExit(0)


if __name__ == "__main__":
    main()
