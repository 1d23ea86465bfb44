"""An environment for the suites: what they need, and their source distributions. Made once, in build/."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aserve

REQUIREMENTS: Final = Path(__file__).parent / "requirements.txt"
SOURCES: Final = ("starlette", "fastapi", "flask")
FOLDER: Final = Path("build/suites").absolute()
INSTALL_TIME: Final = 600


class UnavailableError(Exception):
    """The environment could not be made: there is no network, or no package index."""


@dataclass(frozen=True)
class Environment:
    """Where things are. sources: the unpacked distribution by its name. path: to be PYTHONPATH."""

    python: Path
    sources: dict[str, Path]
    path: str


def prepare() -> Environment:
    """Return the environment for this Python, which is made if there is none yet.

    Raises UnavailableError.
    """
    text = REQUIREMENTS.read_text()
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder = FOLDER / f"{sys.implementation.cache_tag}-{digest}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _make(folder, text)
        (folder / "complete").touch()
    sources = {name: _source(folder, name) for name in SOURCES}
    _link(folder / "path")
    path = os.pathsep.join([str(Path(__file__).parent), str(folder / "path")])
    return Environment(folder / "venv" / "bin" / "python", sources, path)


def _make(folder: Path, requirements: str) -> None:
    python = folder / "venv" / "bin" / "python"
    archives = folder / "archives"
    _run(sys.executable, "-m", "venv", str(folder / "venv"))
    _run(str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS))
    for name in SOURCES:
        [pinned] = re.findall(rf"^{name}==\S+$", requirements, re.MULTILINE | re.IGNORECASE)
        source = ("--no-deps", "--no-binary", name, "--dest", str(archives))
        _run(str(python), "-m", "pip", "download", "--quiet", *source, pinned)
    for archive in archives.iterdir():
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "sources", filter="data")


def _run(*command: str) -> None:
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "DIST_EXTRA_CONFIG": ""}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=INSTALL_TIME, check=False
    )
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if "WARNING" not in line][-3:]
        raise UnavailableError(f"{' '.join(command[1:5])} ... has failed: {' '.join(last)}")


def _source(folder: Path, name: str) -> Path:
    [found] = (folder / "sources").glob(f"{name}-*")
    return found


def _link(path: Path) -> None:
    """Make a folder to import the aserve under test from, and nothing else of its environment."""
    path.mkdir(exist_ok=True)
    link = path / "aserve"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(aserve.__file__).parent)
