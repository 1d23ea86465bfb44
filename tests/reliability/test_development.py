"""--reload: a change of a file brings new code, and what does not start waits for the next change."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, wait_until
from tests.reliability.test_reload import BROKEN, _broken
from tests.server.command import refused
from tests.support.client import RawClient, request
from tests.support.host import group_members
from tests.support.process import ServerProcess

RELOAD = ("--reload", "--lifespan", "on", "main:app")

OPTIONS = [
    (),
    pytest.param(
        ("--preload", "-w", "2"),
        marks=pytest.mark.skipif(sys.platform != "linux", reason="--preload needs Linux"),
    ),
]

NO_INOTIFY = (
    "unshare",
    "-Ur",
    "sh",
    "-c",
    'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"',
    "sh",
)


HANGS = "say('hangs'); time.sleep(3600)"


def changes(server: ServerProcess) -> list[str]:
    """Return what the log says has changed, a text for each line about that."""
    return [match[1] for text in server.lines("stderr") if (match := re.search(r"\] changed: (.*)$", text))]


def wait_reloaded(server: ServerProcess, what: str, generation: int) -> None:
    """Return when `what` has changed and is in service."""
    server.wait_line(rf"\[INFO\] changed: {re.escape(what)}$")
    server.wait_line(f"reload complete: gen={generation} ")


def watcher_pid(server: ServerProcess, since: int = 0) -> int:
    return int(server.wait_line(r"watcher pid=(\d+) ready", since=since)[1])


# -- what works -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "preload"])
def test_a_change_brings_new_code(serve: Serve, code: Code, options: tuple[str, ...]) -> None:
    code.asgi()
    server = serve("--keep-alive", "60", *options, *RELOAD)
    server.wait_line(r"watcher pid=\d+ ready: 1 file in 1 folder, notified$")
    with RawClient(server.target) as idle:
        assert idle.ask(request()).text == "one"
        code.asgi("two")
        wait_reloaded(server, "main.py", 2)
        # Not even on a connection that was left open does the old code answer once more.
        assert idle.read_until_closed() == b""
    assert {ask(server) for _ in range(4)} == {"two"}
    server.stop(signal.SIGINT, timeout=5)


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "preload"])
def test_a_change_during_the_start_is_not_missed(serve: Serve, code: Code, options: tuple[str, ...]) -> None:
    """What has read the file will not get ready; the watcher may not even have begun."""
    code.asgi(on_import=HANGS)
    server = serve(*options, *RELOAD, ready=False)
    server.wait_line("^hangs$")
    code.asgi("two")
    wait_reloaded(server, "main.py", 2)
    server.wait_ready()
    assert ask(server) == "two"
    assert not any("not started" in text for text in server.lines("stderr"))


def test_a_request_at_work_is_finished(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve(*RELOAD)
    with RawClient(server.target) as client:
        client.send(request(target="/wait"))
        client.read_head()
        code.asgi("two")
        wait_reloaded(server, "main.py", 2)
        code.go()
        assert b"one" in client.read_bytes(len(b"6\r\nbegun \r\n3\r\none\r\n"))
        client.incoming.data.clear()
    assert changes(server) == ["main.py"]


def test_a_change_without_another_size_or_second_is_seen(serve: Serve, code: Code) -> None:
    """Python would take the compiled module of the version before."""
    module = code.folder / "shop.py"
    moment = int(time.time())

    def write(version: str) -> None:
        module.write_text(f"VERSION = {version!r}\n")
        os.utime(module, ns=(0, moment * 10**9 + int(version) * 10**8))

    write("1")
    code.asgi(on_import="import shop; VERSION = shop.VERSION")
    server = serve(*RELOAD, env={"PYTHONDONTWRITEBYTECODE": ""})
    assert ask(server) == "1"
    for version, generation in (("2", 2), ("3", 3)):
        write(version)
        server.wait_line(f"reload complete: gen={generation} ")
        assert ask(server) == version
    assert set(changes(server)) == {"shop.py"}


# -- what does not ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["syntax", "lifespan", "exit"])
def test_a_start_that_fails_waits_for_a_change(serve: Serve, code: Code, how: str) -> None:
    _broken(code, how)
    server = serve("-w", "2", *RELOAD, ready=False)
    server.wait_line(rf"\[ERROR\] not started: {BROKEN[how]}; waiting for a change$")
    if how in ("syntax", "lifespan"):
        assert any("main.py" in text for text in server.lines("stderr"))
    with RawClient(server.target) as waiting:
        waiting.send(request())
        if how == "syntax":  # and still does not work
            code.broken("import gone_for_good  # deliberate\n")
            server.wait_line(r"reload abandoned: gen=2: importing 'main' failed: .*'gone_for_good'")
        code.asgi("two")
        server.wait_ready()
        assert waiting.read().text == "two"
    assert sum("not started" in text for text in server.lines("stderr")) == 1
    assert len(server.worker_pids()) == 2


@pytest.mark.parametrize("how", ["import", "hangs"])
def test_ctrl_c_while_nothing_works(serve: Serve, code: Code, how: str) -> None:
    _broken(code, how) if how == "import" else code.asgi(on_import=HANGS)
    server = serve(*RELOAD, ready=False)
    server.wait_line("not started: " if how == "import" else "^hangs$")
    if how == "import":  # HUP is another try as well
        server.signal(signal.SIGHUP)
        server.wait_line("reload abandoned: gen=2: ")
    os.killpg(server.pid, signal.SIGINT)  # as a terminal does: to everybody
    server.stop(0, timeout=5)
    assert not any("killing" in text or "died" in text for text in server.lines("stderr"))


def test_in_the_background_a_start_fails_as_ever(code: Code) -> None:
    _broken(code, "import")
    message = "importing 'main' failed: No module named 'gone_for_good'"
    done = subprocess.run(
        [sys.executable, "-m", "aserve", "-D", "--bind", "127.0.0.1:0", *RELOAD],
        cwd=code.folder,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 4
    assert message in done.stderr


def test_a_broken_change_leaves_the_old_code_in_service(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve(*RELOAD)
    _broken(code, "import")
    server.wait_line(rf"\[ERROR\] reload abandoned: gen=2: {BROKEN['import']}$")
    assert ask(server) == "one"
    code.asgi("bad", on_import=HANGS)
    server.wait_line("^hangs$")
    assert ask(server) == "one"
    code.asgi("two")  # nobody waits for the one that hangs
    server.wait_line(r"\[INFO\] reload abandoned: gen=3: there is newer code$")
    server.wait_line("reload complete: gen=4 ")
    assert ask(server) == "two"


# -- which files ------------------------------------------------------------------------------


def test_files_that_count_and_files_that_do_not(serve: Serve, code: Code, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.py").touch()
    (code.folder / "link").symlink_to(elsewhere)
    environment = code.folder / "environment"
    for folder in (".git", "__pycache__", "node_modules", "environment/lib", "docs"):
        (code.folder / folder).mkdir(parents=True)
    (environment / "pyvenv.cfg").touch()
    (tmp_path / "shop.toml").write_text("a = 1")
    code.asgi()
    server = serve(
        *("--reload-include", "*.html", "--reload-exclude", "docs", "--reload-extra-file", "../shop.toml"),
        *RELOAD,
    )
    watcher_pid(server)
    for noise in (
        ".git/index.py",
        "__pycache__/x.py",
        "environment/lib/x.py",
        "node_modules/x.py",
        "docs/x.py",
    ):
        (code.folder / noise).touch()
    for noise in (".main.py.swp", "main.py~", ".#main.py", "flycheck_main.py", "database.sqlite", "4913"):
        (code.folder / noise).touch()
    (code.folder / "4913").unlink()
    expected = []

    def changed(what: str) -> None:
        expected.append(what)
        wait_reloaded(server, what, len(expected) + 1)

    (code.folder / "new.py").touch()
    changed("new.py")
    (code.folder / "package").mkdir()
    (code.folder / "package" / "names.py").touch()  # in a folder that was not there before
    changed("package/names.py")
    (elsewhere / "linked.py").write_text("x = 1")
    changed("link/linked.py")
    (code.folder / "package" / "page.html").touch()
    changed("package/page.html")
    (tmp_path / "shop.toml.new").write_text("a = 2")
    (tmp_path / "shop.toml.new").replace(tmp_path / "shop.toml")
    changed(str(tmp_path / "shop.toml"))
    shutil.rmtree(code.folder / "package")
    changed("package/names.py, package/page.html")
    assert changes(server) == expected


def test_many_files_at_once_are_one_reload(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve(*RELOAD)
    watcher_pid(server)
    for number in range(200):
        (code.folder / f"module{number:03}.py").write_text("x = 1\n")
    wait_reloaded(server, "module000.py, module001.py, module002.py and 197 more", 2)
    assert len(changes(server)) == 1


def test_a_folder_that_goes_and_comes_back(serve: Serve, code: Code) -> None:
    """As with a branch that does not have it."""
    code.asgi()
    server = serve(*RELOAD)
    watcher_pid(server)
    shutil.rmtree(code.folder)
    server.wait_line("reload abandoned: gen=2: ")
    code.folder.mkdir()
    code.asgi("two")
    server.wait_line("reload complete: gen=3 ")
    assert ask(server) == "two"


# -- the watcher ------------------------------------------------------------------------------


def test_the_watcher_is_replaced_and_ends_with_the_supervisor(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve(*RELOAD)
    first = watcher_pid(server)
    if sys.platform == "linux":  # it forks: none of the library's threads may be in it
        assert len(os.listdir(f"/proc/{server.pid}/task")) == 1
    before = server.mark()
    os.kill(first, signal.SIGKILL)
    server.wait_line(rf"\[ERROR\] watcher pid={first} died: signal SIGKILL$")
    assert watcher_pid(server, before) != first
    code.asgi("two")
    wait_reloaded(server, "main.py", 2)
    assert ask(server) == "two"
    server.signal(signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    wait_until(lambda: group_members(server.pid) == [], "nobody is left")


def _without_inotify() -> bool:
    try:
        return subprocess.run([*NO_INOTIFY, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _without_inotify(), reason="inotify cannot be taken away here")
@pytest.mark.parametrize("engine", ["auto", "inotify"])
def test_without_inotify(code: Code, engine: str) -> None:
    code.asgi()
    server = ServerProcess("--reload-engine", engine, *RELOAD, cwd=code.folder, prefix=NO_INOTIFY)
    with server.start():
        if engine == "inotify":
            server.wait_line(
                r"\[ERROR\] watcher pid=\d+ failed: --reload-engine inotify: .*Too many open files.*; "
                r"next try in 1 s$"
            )
            return
        server.wait_line(r"\[WARNING\] watcher pid=\d+ ready: .*, polling: .*Too many open files")
        code.asgi("two")
        wait_reloaded(server, "main.py", 2)
        assert ask(server) == "two"


def test_without_the_library(serve: Serve, code: Code, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['watchfiles'] = None\n")
    environment = {"PYTHONPATH": str(tmp_path)}
    code.asgi()
    assert refused(*RELOAD, cwd=code.folder, env=environment) == (
        "--reload needs watchfiles: install the extra aserve-server[reload], or add --reload-engine poll\n"
    ).rstrip("\n")
    server = serve("--reload-engine", "poll", *RELOAD, env=environment)
    server.wait_line(r"\[INFO\] watcher pid=\d+ ready: 1 file in 1 folder, polling$")
    code.asgi("two")
    wait_reloaded(server, "main.py", 2)
    assert ask(server) == "two"


def test_what_is_not_there_is_told(code: Code) -> None:
    code.asgi()
    assert refused("--reload-dir", "src", *RELOAD, cwd=code.folder) == (
        "--reload-dir: there is no folder 'src': name one that is there"
    )
    assert refused("--reload-extra-file", "shop.toml", *RELOAD, cwd=code.folder) == (
        "--reload-extra-file: there is no 'shop.toml': name a file that is there, or a pattern"
    )
