"""Explore for a while, and stop at the first thing found."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time


def main() -> int:
    """Returns an exit status, not 0 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="how long (default: 300)")
    parser.add_argument("--examples", type=int, default=1000, help="for each property in a round (1000)")
    parser.add_argument("--atheris", action="store_true", help="let coverage guide, with libFuzzer")
    options = parser.parse_args()
    if options.atheris:
        return run_atheris(options.seconds)
    return run_properties(options.seconds, options.examples)


def run_properties(seconds: int, examples: int) -> int:
    """Try the properties round after round, each time with other examples."""
    environment = os.environ | {"ASERVE_FUZZ_EXAMPLES": str(examples)}
    end = time.monotonic() + seconds
    status = 0
    while not status and time.monotonic() < end:
        print(f"{examples} examples of each property", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "tests/fuzz"]
        status = subprocess.run(command, env=environment, check=False).returncode
    return status


def run_atheris(seconds: int) -> int:
    """Look for bytes that lead somewhere new."""
    if importlib.util.find_spec("atheris") is None:
        print("atheris is missing: python -m pip install atheris", file=sys.stderr)
        return 2
    command = [sys.executable, "-m", "tests.fuzz.atheris_target", f"-max_total_time={seconds}"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
