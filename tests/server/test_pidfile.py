"""The pid file: whose it is, and what becomes of one that is nobody's any more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aserve.errors import EXIT_BOOT, EXIT_USAGE, BootError, UsageError
from aserve.pidfile import PidFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.pid"


@pytest.fixture
def living() -> Iterator[int]:
    """The pid of some process that has nothing to do with the file."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def refusal(path: Path) -> str:
    with pytest.raises(BootError) as caught:
        PidFile(str(path)).claim()
    assert caught.value.status == EXIT_BOOT
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]  # nothing is left beside it
    return str(caught.value)


def test_it_is_written_and_removed(path: Path) -> None:
    file = PidFile(str(path))
    file.claim()
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.stat().st_nlink == 1
    file.release()
    file.release()
    assert list(path.parent.iterdir()) == []


def test_a_relative_path_is_meant_from_the_folder_of_the_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    file = PidFile(path.name)
    file.claim()
    monkeypatch.chdir("/")
    file.release()
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "\n", "no pid", "0\n", "-1\n", "9" * 30, "1\0"])
def test_what_is_no_pid_is_stale(path: Path, text: str) -> None:
    path.write_text(text)
    file = PidFile(str(path))
    file.claim()
    assert path.read_text() == f"{os.getpid()}\n"
    file.release()


def test_the_pid_of_a_process_that_has_ended_is_stale(path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    path.write_text(f"{ended.pid}\n")
    file = PidFile(str(path))
    file.claim()
    file.release()


def test_a_living_process_may_be_a_server_that_holds_no_lock(path: Path, living: int) -> None:
    path.write_text(f"{living}\n")
    assert refusal(path) == (
        f"--pid: {str(path)!r} belongs to a server that runs, pid={living}: stop it, or name another file"
    )
    assert path.read_text() == f"{living}\n"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell a process's age")
def test_a_pid_that_was_given_to_a_younger_process_is_stale(path: Path, living: int) -> None:
    path.write_text(f"{living}\n")
    before = time.time() - 60
    os.utime(path, (before, before))
    file = PidFile(str(path))
    file.claim()
    file.release()


def test_our_own_pid_is_stale(path: Path) -> None:
    """In a container every start has the same number."""
    path.write_text(f"{os.getpid()}\n")
    file = PidFile(str(path))
    file.claim()
    file.release()


def holder(path: Path) -> subprocess.Popen[str]:
    """Claim the file in another process, which holds it until its input ends."""
    source = (
        "import sys; from aserve.pidfile import PidFile; from aserve.errors import BootError\n"
        "file = PidFile(sys.argv[1]); input()\n"
        "try: file.claim(); print('claimed', flush=True)\n"
        "except BootError: print('refused', flush=True)\n"
        "sys.stdin.read(); file.release()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", source, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_lock_counts_whatever_the_times_are(path: Path) -> None:
    with holder(path) as other:
        tell(other)
        assert said(other) == "claimed"
        before = time.time() - 86400  # the clock was wrong when it started
        os.utime(path, (before, before))
        assert f"pid={other.pid}:" in refusal(path)
        other.communicate()
    file = PidFile(str(path))
    file.claim()
    file.release()


def test_of_several_that_find_a_stale_file_one_gets_it(path: Path) -> None:
    for _ in range(5):
        path.write_text("no pid")
        others = [holder(path) for _ in range(6)]
        for other in others:
            tell(other)
        answers = [said(other) for other in others]
        assert sorted(answers) == ["claimed", *["refused"] * 5]
        assert path.read_text() == f"{others[answers.index('claimed')].pid}\n"
        for other in others:
            other.communicate()
            assert other.returncode == 0
        assert list(path.parent.iterdir()) == []


def test_what_is_somebody_elses_by_now_stays(path: Path) -> None:
    file = PidFile(str(path))
    file.claim()
    path.unlink()
    path.write_text("1\n")
    file.release()
    assert path.read_text() == "1\n"


def test_one_that_was_removed_is_no_trouble(path: Path) -> None:
    file = PidFile(str(path))
    file.claim()
    path.unlink()
    file.release()


@pytest.mark.parametrize("name", ["no/server.pid", "", "."])
def test_files_that_cannot_be_written(path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="^--pid: cannot write '.*': .*: name a file in a folder") as caught:
        PidFile(str(path.parent / name)).claim()
    assert caught.value.status == EXIT_USAGE


def test_a_successor_waits_beside_it(path: Path) -> None:
    with holder(path) as other:
        tell(other)
        assert said(other) == "claimed"
        beside = path.with_name("server.pid.2")
        file = PidFile(str(path))
        file.claim(predecessor=other.pid)
        assert beside.read_text() == f"{os.getpid()}\n"
        assert path.read_text() == f"{other.pid}\n"
        file.promote()
        assert path.read_text() == f"{os.getpid()}\n"
        assert not beside.exists()
        other.communicate()  # it leaves, and leaves the file, which is not its own any more
        assert path.read_text() == f"{os.getpid()}\n"
        with holder(path) as third:
            tell(third)
            assert said(third) == "refused"
            third.communicate()
        file.release()
        assert list(path.parent.iterdir()) == []


def test_what_is_left_to_a_successor_stays(path: Path) -> None:
    file = PidFile(str(path))
    file.claim()
    file.leave_to_successor()
    file.release()
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_successor_that_fails_removes_its_own(path: Path) -> None:
    with holder(path) as other:
        tell(other)
        assert said(other) == "claimed"
        file = PidFile(str(path))
        file.claim(predecessor=other.pid)
        file.release()
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
        other.communicate()


def test_a_successor_with_another_file_takes_that(path: Path) -> None:
    file = PidFile(str(path))
    file.claim(predecessor=os.getppid())
    assert path.read_text() == f"{os.getpid()}\n"
    file.promote()
    file.release()
