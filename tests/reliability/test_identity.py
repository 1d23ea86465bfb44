"""Workers that run as another user, and what they must still be able to do."""

from __future__ import annotations

import os
import pwd
import re
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.conftest import ask, wait_until
from tests.support.client import RawClient, request
from tests.support.host import group_members
from tests.support.process import ServerProcess
from tests.support.reach import opened

USER = "nobody"

_APP = """
import os

def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/root":
        try:
            os.setuid(0)
        except PermissionError:
            return [b"no way back"]
    umask = os.umask(0)
    os.umask(umask)
    who = [os.getresuid(), os.getresgid(), sorted(os.getgroups()), oct(umask), os.environ.get("GREETING")]
    return ["\\n".join(map(str, who)).encode()]
"""


@pytest.fixture(scope="module")
def prefix() -> list[str]:
    command = opened()
    if command is None:
        pytest.skip("needs root, and a Python that another user can reach")
    return command


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody can read, which is not so of pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "main.py").write_text(_APP)
        yield Path(name)


@pytest.fixture
def nobody() -> pwd.struct_passwd:
    return pwd.getpwnam(USER)


def groups(user: pwd.struct_passwd, group: int) -> list[int]:
    return sorted(set(os.getgrouplist(user.pw_name, group)))


def test_logs_that_name_the_standard_streams(prefix: list[str], folder: Path) -> None:
    """Which another user could not open, as is the habit in containers; each by the other's name as well."""
    options = ("-u", USER, "--access-logfile", "/dev/stdout", "--error-logfile", "/dev/stderr")
    with ServerProcess(*options, "main:app", cwd=folder, prefix=prefix) as server:
        ask(server)
        server.signal(signal.SIGUSR1)
        server.wait_line("log files reopened")
        ask(server)
        server.stop()
        assert sum('"GET / HTTP/1.1" 200' in line for line in server.lines("stdout")) == 2
    options = ("-u", USER, "--access-logfile", "/dev/stderr", "--error-logfile", "/dev/stdout")
    with ServerProcess(*options, "main:app", cwd=folder, prefix=prefix).start(ready=False) as server:
        wait_until(lambda: any("ready: 1 worker" in line for line in server.lines("stdout")), "it is ready")
        (listening,) = (line for line in server.lines("stdout") if "listening on" in line)
        with RawClient(("127.0.0.1", int(listening.rpartition(":")[2]))) as client:
            assert client.ask(request()).status == 200
        server.stop()
        assert any('"GET / HTTP/1.1" 200' in line for line in server.lines("stderr"))


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_workers_are_another_user_for_good(
    prefix: list[str], folder: Path, nobody: pwd.struct_passwd, preload: tuple[str, ...]
) -> None:
    options = ("-u", USER, "-m", "027", "-e", "GREETING=hello, you", "-w", "2")
    with ServerProcess(*options, *preload, "main:app", cwd=folder, prefix=prefix) as server:
        uid, gid = nobody.pw_uid, nobody.pw_gid
        assert ask(server).splitlines() == [
            str((uid,) * 3),
            str((gid,) * 3),
            str(groups(nobody, gid)),
            "0o27",
            "hello, you",
        ]
        assert ask(server, "/root") == "no way back"
        assert os.stat(f"/proc/{server.pid}").st_uid == 0
        # The supervisor can still do with them what it has to.
        server.signal(signal.SIGHUP)
        server.wait_line("reload complete: gen=2")
        os.kill(server.worker_pids()[-1], signal.SIGKILL)
        server.wait_line(r"died: signal SIGKILL$")
        assert ask(server, "/root") == "no way back"


def test_another_supervisor_is_root_as_well(
    prefix: list[str], folder: Path, nobody: pwd.struct_passwd
) -> None:
    server = ServerProcess("-u", USER, "main:app", cwd=folder, prefix=prefix).start()
    try:
        server.signal(signal.SIGUSR2)
        new = int(server.wait_line(r"upgrade started: pid=(\d+)$")[1])
        assert server.wait() == 0
        assert os.stat(f"/proc/{new}").st_uid == 0
        assert ask(server).splitlines()[0] == str((nobody.pw_uid,) * 3)
        os.kill(new, signal.SIGTERM)
        wait_until(lambda: not group_members(server.pid), "everybody has ended")
        server.check()
    finally:
        server.kill()


def test_a_group_alone_and_a_user_with_another_group(
    prefix: list[str], folder: Path, nobody: pwd.struct_passwd
) -> None:
    with ServerProcess("-g", "1", "main:app", cwd=folder, prefix=prefix) as server:
        assert ask(server).splitlines()[:2] == ["(0, 0, 0)", "(1, 1, 1)"]
    with ServerProcess("-u", USER, "-g", "1", "main:app", cwd=folder, prefix=prefix) as server:
        uid = nobody.pw_uid
        assert ask(server).splitlines()[:3] == [str((uid,) * 3), "(1, 1, 1)", str(groups(nobody, 1))]


def test_a_number_without_a_name(prefix: list[str], folder: Path) -> None:
    with ServerProcess("-u", "54321", "main:app", cwd=folder, prefix=prefix) as server:
        assert ask(server).splitlines()[:3] == [str((54321,) * 3), str((54321,) * 3), "[54321]"]


def test_unix_sockets_belong_to_the_workers(
    prefix: list[str], folder: Path, nobody: pwd.struct_passwd
) -> None:
    path = folder / "a.sock"
    with ServerProcess(
        "-u", USER, "-m", "007", "main:app", cwd=folder, prefix=prefix, bind=f"unix:{path}"
    ) as server:
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (nobody.pw_uid, nobody.pw_gid)
        assert stat.S_IMODE(found.st_mode) == 0o770
        assert ask(server).splitlines()[0] == str((nobody.pw_uid,) * 3)
    assert not path.exists()


def test_log_files_belong_to_the_workers(prefix: list[str], folder: Path, nobody: pwd.struct_passwd) -> None:
    logs = folder / "logs"
    logs.mkdir()  # root's: a worker cannot make a file there
    options = ("--access-logfile", "logs/access", "--error-logfile", "logs/error", "-u", USER)
    server = ServerProcess(*options, "main:app", cwd=folder, prefix=prefix).start(ready=False)
    try:
        error = logs / "error"
        port = _wait_for(error, r"listening on http://127\.0\.0\.1:(\d+)$")
        _wait_for(error, "(ready: 1 worker)")
        for file in (error, logs / "access"):
            assert file.stat().st_uid == nobody.pw_uid
            assert file.stat().st_gid == nobody.pw_gid
        _ask_port(int(port))
    finally:
        server.stop()
    assert "GET / HTTP/1.1" in (logs / "access").read_text()


def test_a_link_is_not_given_away(prefix: list[str], folder: Path) -> None:
    """Who can write to the folder of the logs must not get any file of the system."""
    secret = folder / "shadow"
    secret.write_text("root only\n")
    (folder / "error").symlink_to(secret)
    os.link(secret, folder / "access")
    options = ("--access-logfile", "access", "--error-logfile", "error", "-u", USER)
    server = ServerProcess(*options, "main:app", cwd=folder, prefix=prefix).start(ready=False)
    try:
        _wait_for(secret, "(starting|not started)")
        assert secret.stat().st_uid == 0
    finally:
        server.kill()


def _wait_for(file: Path, pattern: str) -> str:
    found: list[str] = []

    def there() -> bool:
        text = file.read_text() if file.exists() else ""
        found[:] = re.findall(pattern, text, re.MULTILINE)
        return bool(found)

    wait_until(there, f"{pattern!r} in {file}")
    return found[0]


def _ask_port(port: int) -> None:
    with RawClient(("127.0.0.1", port)) as client:
        assert client.ask(request("GET", "/", [("Connection", "close")])).status == 200
