"""Where the application is imported from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aserve import importpath
from aserve.errors import UsageError
from aserve.options import Settings


def test_the_folder_comes_first_and_pythonpath_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["/elsewhere", str(tmp_path)])
    importpath.extend(Settings(app="main:app", pythonpath=("lib", "/opt/lib")))
    assert sys.path == [str(tmp_path / "lib"), "/opt/lib", str(tmp_path), "/elsewhere"]


def test_the_folder_is_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importpath, "_base", None)
    monkeypatch.chdir("/")
    importpath.enter(Settings(app="main:app"))
    assert Path.cwd() == Path("/")
    importpath.enter(Settings(app="main:app", chdir=str(tmp_path)))
    assert Path.cwd() == tmp_path


def test_a_folder_that_cannot_be_entered(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--chdir: cannot change to '.*': No such file or directory: name"):
        importpath.enter(Settings(app="main:app", chdir=str(tmp_path / "no")))
