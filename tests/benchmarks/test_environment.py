"""When aserve is installed again, and where files go."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.environment import EnvironmentSetupError, digest, find_python, ignore


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("server", "protocols/deeper", "adapters", "server/__pycache__"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / "server/worker.py").write_text("one = 1")
    (tmp_path / "protocols/deeper/frames.py").write_text("two = 2")
    return tmp_path


def test_the_digest_sees_every_change_that_matters(checkout: Path) -> None:
    seen = {digest(checkout)}
    for change in (
        lambda: (checkout / "server/worker.py").write_text("one = 2"),
        lambda: (checkout / "protocols/deeper/frames.py").rename(checkout / "protocols/frames.py"),
        lambda: (checkout / "pyproject.toml").write_text("[project] # changed"),
        lambda: (checkout / "adapters/new.py").touch(),
    ):
        change()
        assert digest(checkout) not in seen
        seen.add(digest(checkout))


def test_the_digest_does_not_see_the_rest(checkout: Path) -> None:
    before = digest(checkout)
    (checkout / "server/__pycache__/worker.cpython-313.pyc").write_bytes(b"compiled")
    (checkout / "tests").mkdir()
    (checkout / "tests/test_x.py").touch()
    assert digest(checkout) == before


def test_an_interpreter_that_does_not_run_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "python3.99"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    for name in (str(broken), "python3.98"):
        with pytest.raises(EnvironmentSetupError, match=r"--python .*no such interpreter"):
            find_python(name)


def test_ignored_folders_are_ignored_as_a_whole(tmp_path: Path) -> None:
    ignore(tmp_path / "a/b")
    assert (tmp_path / "a/b/.gitignore").read_text() == "*\n"
