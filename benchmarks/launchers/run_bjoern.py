"""Serve ``module:attribute`` with bjoern, which has no command line of its own: run_bjoern.py PORT APP."""

import importlib
import os
import sys


def main() -> None:
    """Serve on 127.0.0.1 until a signal ends the process."""
    port, (module, _, attribute) = int(sys.argv[1]), sys.argv[2].partition(":")
    sys.path[0] = os.getcwd()
    application = getattr(importlib.import_module(module), attribute)
    importlib.import_module("bjoern").run(application, "127.0.0.1", port)


if __name__ == "__main__":
    main()
