"""For servers whose workers run as another user: an interpreter and folders that they can reach."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aserve

# Puts an open folder in the place of each closed one, with what is needed in it: $1 is the closed
# one, $2 the name of the entry. In a mount namespace, so that nobody else sees it.
_OPEN = """
set -e
stage=$(mktemp -d)
while [ "$1" != -- ]; do
    mount --bind "$1" "$stage"
    mount -t tmpfs -o mode=755 none "$1"
    mkdir "$1/$2"
    mount --bind "$stage/$2" "$1/$2"
    umount -l "$stage"
    shift 2
done
rmdir "$stage"
shift
exec "$@"
"""


def opened() -> list[str] | None:
    """Return a command that executes what follows it so that everybody can read Python and aserve.

    None where that cannot be had: it takes root, and for folders that are closed a mount namespace.
    """
    if os.geteuid() != 0:
        return None
    pairs = list(dict.fromkeys(_closed()))
    if not pairs:
        return ["env"]
    words = [word for folder, name in pairs for word in (str(folder), name)]
    command = ["unshare", "--mount", "sh", "-c", _OPEN, "sh", *words, "--"]
    try:
        done = subprocess.run([*command, "true"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return command if done.returncode == 0 else None


def _closed() -> Iterator[tuple[Path, str]]:
    """Yield the folders that others may not enter, each with the entry that is needed."""
    needed = {Path(prefix) for prefix in (sys.prefix, sys.base_prefix)}
    needed |= {Path(aserve.__file__), Path(aserve.__file__).resolve()}
    needed |= {Path(entry).resolve() for entry in sys.path if entry}
    for path in sorted(needed):
        for parent in reversed(path.parents):
            if parent.is_dir() and not parent.stat().st_mode & 0o001:
                yield parent, path.relative_to(parent).parts[0]
                break
