"""What is installed: the command, the packages and what they say of themselves."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import aserve
from tests.server.command import aserve as run

DISTRIBUTION = "aserve-server"
ROOT = Path(__file__).parents[2]


def test_versions_agree() -> None:
    assert importlib.metadata.version(DISTRIBUTION) == aserve.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", aserve.__version__)


def test_metadata() -> None:
    metadata = importlib.metadata.metadata(DISTRIBUTION)
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def test_it_is_typed() -> None:
    assert (Path(aserve.__file__).parent / "py.typed").exists()


def test_the_command_is_installed(tmp_path: Path) -> None:
    command = shutil.which("aserve", path=sysconfig.get_path("scripts"))
    assert command is not None
    done = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"aserve {aserve.__version__}\n" == run("--version", cwd=tmp_path).out


def test_only_aserve_is_importable(tmp_path: Path) -> None:
    # In a process of its own: pytest has put the project's folder on this one's path.
    source = (
        "from importlib.util import find_spec\n"
        "print([name for name in ('server', 'protocols', 'adapters') if find_spec(name)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_every_source_file_is_installed() -> None:
    if not (ROOT / "server").is_dir():
        return  # this is the wheel's test, far from the sources
    installed = Path(aserve.__file__).parent
    for folder, package in (("server", "."), ("protocols", "protocols"), ("adapters", "adapters")):
        for file in (ROOT / folder).rglob("*.py"):
            name = installed / package / file.relative_to(ROOT / folder)
            assert name.exists(), f"{file} is not installed: run `make install`, or list its package"
