"""Compiled modules that may be of another version of their source, and are not to be believed.

Python takes a compiled module for that of its source if size and second of change are the same. Who
saves twice within a second, such as a formatter after an editor, would get the version before.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source
from typing import Any, Final

RACE: Final = 2.0
"""Seconds: no file system's times are coarser. What lies further apart, Python tells apart by itself."""

_path_stats = SourceFileLoader.path_stats


def distrust_recent() -> None:
    """Import from the source, from now on and in this process, what was compiled in the moment of a change.

    Compiled modules of sources that have been in peace for longer are used and made as ever: an
    application of some size takes seconds to compile.
    """
    SourceFileLoader.path_stats = _peaceful_stats  # type: ignore[method-assign]


def _peaceful_stats(self: SourceFileLoader, path: str) -> Mapping[str, Any]:
    """Return what `path_stats` does; raise OSError if the source is only to be read as such.

    An import neither reads nor writes a compiled module then, see importlib.abc.SourceLoader.
    """
    stats = _path_stats(self, path)
    compiled = [time.time()]  # one that would be made now
    with contextlib.suppress(OSError, NotImplementedError):
        compiled.append(os.stat(cache_from_source(path)).st_mtime)
    if any(abs(moment - stats["mtime"]) < RACE for moment in compiled):
        raise OSError(f"{path} was changed in the moment of its compilation")
    return stats
