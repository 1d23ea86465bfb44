"""A configuration file in service: read again at each reload, and never the end of the server."""

from __future__ import annotations

import os
import signal

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, pid_of, wait_until
from tests.reliability.hooks import Conf
from tests.reliability.hooks import conf as conf
from tests.support.process import ServerProcess

# An application that says what the configuration file has brought into its process.
TELLS = """
import os, sys
import brought

async def app(scope, receive, send):
    seen = [brought.value, os.environ.get("NEW"), os.environ.get("RAW"), str(len(brought.calls))]
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": " ".join(map(str, seen)).encode()})
"""


def reload(server: ServerProcess, generation: int) -> None:
    server.signal(signal.SIGHUP)
    server.wait_line(f"reload complete: gen={generation} ")


def test_new_values_are_taken_over(serve: Serve, code: Code, conf: Conf) -> None:
    code.asgi()
    conf("bind = '127.0.0.1:0'\nworkers = 1\nwsgi_app = 'main:app'")
    server = serve("--config", "conf.py", bind=None)
    (code.folder / "other.py").write_text((code.folder / "main.py").read_text().replace("'one'", "'two'"))
    conf("bind = '127.0.0.1:0'\nworkers = 3\nwsgi_app = 'other:app'\nworker = 1")
    reload(server, 2)
    server.wait_line(r"\[WARNING\] conf.py:4: there is no setting 'worker': did you mean 'workers'\?$")
    wait_until(lambda: len(server.worker_pids()) == 3, "three workers")
    assert ask(server) == "two"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1\nworkers = = 2", "conf.py:2: SyntaxError: invalid syntax"),
        ("raise ValueError('deliberate')", "conf.py:1: ValueError: deliberate$"),
        ("import sys\nsys.exit('deliberate')", "conf.py:2: SystemExit: deliberate$"),
        ("workers = 'x'", "conf.py:1: workers: 'x' is not a whole number"),
        ("def on_exit(): pass", "conf.py:1: on_exit: it is called with other arguments"),
        ("chdir = 'nowhere'", "--chdir: cannot change to 'nowhere'"),
        (None, "--config: cannot read 'conf.py': No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_the_old_one(
    serve: Serve, code: Code, conf: Conf, source: str | None, reason: str
) -> None:
    code.asgi()
    good = "import os\nos.environ['NEW'] = 'x'\ndef on_exit(server): server.log.info('on_exit of %s', NAME)\n"
    conf(good + "NAME = 'the first'")
    server = serve("-c", "conf.py", "main:app")
    before = server.worker_pids()
    if source is None:
        (code.folder / "conf.py").unlink()
    else:
        conf(source)
    server.signal(signal.SIGHUP)
    server.wait_line(rf"\[ERROR\] reload abandoned: gen=2: {reason}")
    assert server.worker_pids() == before
    assert ask(server) == "one"
    os.kill(before[0], signal.SIGKILL)  # the old settings are still those that new workers get
    server.wait_line(rf"worker=0 gen=1 pid=(?!{before[0]}\b)\d+ ready")
    conf(good + "NAME = 'the third'")
    reload(server, 3)
    server.stop()
    server.wait_line("on_exit of the third$")


def test_a_file_cannot_make_the_supervisor_deaf(serve: Serve, code: Code, conf: Conf) -> None:
    code.asgi()
    conf("workers = 1")
    server = serve("-c", "conf.py", "main:app")
    conf(
        "import os, signal\n"
        "for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "def on_reload(server):\n"
        "    signal.signal(signal.SIGCHLD, signal.SIG_DFL)\n"
        "    os.chdir('/')\n"
    )
    reload(server, 2)
    reload(server, 3)
    pid = pid_of(server, 0, 3)
    os.kill(pid, signal.SIGKILL)
    server.wait_line(rf"worker=0 gen=3 pid=(?!{pid}\b)\d+ ready")
    assert ask(server) == "one"


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["", "preload"])
def test_what_it_brings_is_of_its_generation(
    serve: Serve, code: Code, conf: Conf, options: list[str]
) -> None:
    """The application finds the same modules and variables as the hooks, and none of an older file."""
    (code.folder / "brought.py").write_text("value = 'old'\ncalls = []")
    code.broken(TELLS)
    conf(
        "import os, brought\nos.environ['NEW'] = 'first'\nraw_env = ['RAW=1']\n"
        "def post_fork(server, worker): brought.calls.append(os.environ['NEW'])\n"
    )
    server = serve("-c", "conf.py", "--lifespan", "off", *options, "main:app")
    assert ask(server) == "old first 1 1"
    (code.folder / "brought.py").write_text("value = 'new'\ncalls = [1, 2]")
    conf("import brought")
    reload(server, 2)
    assert ask(server) == "new None None 2"


def test_it_is_found_again_wherever_the_server_has_gone(serve: Serve, code: Code, conf: Conf) -> None:
    """Its path, and what it imports, are meant from the folder of the start: not from that of --chdir."""
    shop = code.folder / "shop"
    shop.mkdir()
    code.asgi()
    (code.folder / "main.py").rename(shop / "main.py")
    (code.folder / "values.py").write_text("count = 1")
    conf("import os, values\nchdir = 'shop'\nworkers = values.count\nassert os.path.exists('conf.py')")
    server = serve("-c", "conf.py", "main:app")
    for count in (2, 3):
        (code.folder / "values.py").write_text(f"count = {count}")
        reload(server, count)
        wait_until(lambda count=count: len(server.worker_pids()) == count, f"{count} workers")  # type: ignore[misc]
    assert ask(server) == "one"


# -- TOML -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "head"), [("aserve.toml", ""), ("pyproject.toml", "[tool.aserve]\n")])
def test_a_file_that_is_found_is_read_again(serve: Serve, code: Code, name: str, head: str) -> None:
    """And found again: one that has come meanwhile counts, and so does one that has gone."""
    code.asgi()
    file = code.folder / name
    file.write_text(head + 'app = "main:app"\nbind = "127.0.0.1:0"\nraw_env = ["A=1"]\n')
    server = serve(bind=None)
    server.wait_line(rf"\[INFO\] configuration file found: {name}$")
    file.write_text(head + 'app = "main:app"\nbind = "127.0.0.1:0"\nworkers = 2\nwokers = 3\n')
    reload(server, 2)
    line = 5 if head else 4
    server.wait_line(rf"\[WARNING\] {name}:{line}: there is no setting 'wokers': did you mean 'workers'\?$")
    wait_until(lambda: len(server.worker_pids()) == 2, "two workers")
    file.write_text(head + 'app = "main:app"\nworkers = "x"\n')
    server.signal(signal.SIGHUP)
    server.wait_line(
        rf"\[ERROR\] reload abandoned: gen=3: {name}:{line - 2}: workers: 'x' is not a whole number"
    )
    assert ask(server) == "one"
    file.unlink()
    server.signal(signal.SIGHUP)
    server.wait_line(r"\[ERROR\] reload abandoned: gen=4: no application is named")
    assert len(server.worker_pids()) == 2
    (code.folder / "aserve.toml").write_text('app = "main:app"\nbind = "127.0.0.1:0"\nworkers = 1\n')
    reload(server, 5)
    wait_until(lambda: len(server.worker_pids()) == 1, "one worker")


def test_hooks_of_toml_are_called(serve: Serve, code: Code) -> None:
    code.asgi()
    (code.folder / "shop_hooks.py").write_text(
        "def post_fork(server, worker): server.log.info('forked by the first')\n"
    )
    (code.folder / "aserve.toml").write_text('post_fork = "shop_hooks.post_fork"\n')
    server = serve("main:app")
    server.wait_line(r"\[INFO\] forked by the first$")
    (code.folder / "shop_hooks.py").write_text(
        "def post_fork(server, worker): server.log.info('forked by the second')\n"
    )
    reload(server, 2)
    server.wait_line(r"\[INFO\] forked by the second$")
