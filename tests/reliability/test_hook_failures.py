"""Hooks that raise: what follows, and that it is told."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from aserve.hooks import HOOKS
from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, pid_of, wait_until
from tests.reliability.hooks import ALL, Calls, Conf, get
from tests.reliability.hooks import calls as calls
from tests.reliability.hooks import conf as conf

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="--preload needs Linux")

FAIL = """
def {name}({arguments}):
    raise {error}
"""


def failing(name: str, error: str = "ValueError('deliberate')") -> str:
    (arguments,) = [hook.arguments for hook in HOOKS if hook.name == name]
    return FAIL.format(name=name, arguments=", ".join(arguments), error=error)


@pytest.mark.parametrize("error", ["ValueError('deliberate')", "SystemExit('deliberate')"])
@pytest.mark.parametrize("name", ["on_starting", "when_ready", "pre_fork", "post_fork", "post_worker_init"])
def test_the_start_fails(serve: Serve, code: Code, conf: Conf, name: str, error: str) -> None:
    code.asgi()
    conf(failing(name, error))
    server = serve("-c", "conf.py", "main:app", ready=False)
    assert server.wait() == 3
    kind = error.partition("(")[0]
    server.wait_line(rf"(^aserve: error|not started): .*the hook {name} failed: {kind}: deliberate$")
    server.wait_line(rf'File ".*/conf.py", line 3, in {name}')


@LINUX_ONLY
def test_the_start_fails_in_a_mold(serve: Serve, code: Code, conf: Conf) -> None:
    code.asgi()
    conf(failing("pre_fork"))
    server = serve("-c", "conf.py", "--preload", "main:app", ready=False)
    assert server.wait() == 3
    server.wait_line("not started: .*mold gen=1 .*the hook pre_fork failed: ValueError: deliberate$")
    server.wait_line(r'File ".*/conf.py", line 3, in pre_fork')


@pytest.mark.parametrize("name", ["on_reload", "pre_fork", "post_fork", "post_worker_init"])
def test_a_reload_fails(serve: Serve, code: Code, conf: Conf, name: str) -> None:
    code.asgi()
    conf("workers = 1")
    server = serve("-c", "conf.py", "main:app")
    before = server.worker_pids()
    conf(failing(name))
    server.signal(signal.SIGHUP)
    server.wait_line(rf"reload abandoned: gen=2: .*the hook {name} failed: ValueError: deliberate$")
    server.wait_line(rf'File ".*/conf.py", line 3, in {name}')
    wait_until(lambda: server.worker_pids() == before, "the old worker alone")
    assert ask(server) == "one"
    conf("workers = 1")
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=3 ")


def test_a_worker_is_not_replaced_at_once(serve: Serve, code: Code, conf: Conf) -> None:
    """A hook that fails later on is tried again, and the log says so each time."""
    code.asgi()
    conf("import os\ndef pre_fork(server, worker):\n    if worker.age == 2: raise ValueError('deliberate')\n")
    server = serve("-c", "conf.py", "main:app")
    os.kill(pid_of(server, 0), signal.SIGKILL)
    first = server.mark()
    server.wait_line("worker=0 failed: the hook pre_fork failed: ValueError: deliberate; next try in 1 s$")
    server.wait_line(r"worker=0 gen=1 pid=\d+ ready", since=first)
    assert ask(server) == "one"


@pytest.mark.parametrize("error", ["ValueError('deliberate')", "SystemExit('deliberate')"])
def test_what_cannot_be_undone_is_logged(serve: Serve, code: Code, conf: Conf, error: str) -> None:
    names = ("nworkers_changed", "worker_int", "worker_exit", "child_exit", "pre_exec", "on_exit")
    code.asgi()
    conf("".join(failing(name, error) for name in names))
    server = serve("-c", "conf.py", "main:app")
    pid = pid_of(server, 0)
    os.kill(pid, signal.SIGINT)
    server.wait_line(rf"worker=0 gen=1 pid=(?!{pid}\b)\d+ ready")
    assert ask(server) == "one"
    server.signal(signal.SIGUSR2)
    server.wait_line("upgrade abandoned: the hook pre_exec failed: ")
    server.stop()
    for name in names:
        server.wait_line(rf"\[ERROR\] .*the hook {name} failed: {error.partition('(')[0]}: deliberate$")
        server.wait_line(rf'File ".*/conf.py", line \d+, in {name}')


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_failures_around_a_request(
    serve: Serve, code: Code, conf: Conf, calls: Calls, interface: str
) -> None:
    code.write(interface)
    conf(
        ALL
        + "def pre_request(worker, req):\n"
        + "    req.token = 1\n"
        + "    if req.path == '/before': raise ValueError('deliberate')\n"
        + "def post_request(worker, req, environ, resp):\n"
        + "    _note('post_request', req.token, environ['PATH_INFO'], resp.status_code)\n"
        + "    if req.path == '/after': raise ValueError('deliberate')\n"
    )
    server = serve("-c", "conf.py", "main:app")
    for count, (path, status) in enumerate((("/before", 500), ("/after", 200), ("/fine", 200)), 1):
        get(server, path, status)
        wait_until(lambda count=count: len(calls.of("post_request")) == count, path)  # type: ignore[misc]
    server.wait_line("the hook pre_request failed: GET /before$")
    server.wait_line("the hook post_request failed: GET /after$")
    assert [call[1:] for call in calls.of("post_request")] == [
        ["1", "/before", "500"],
        ["1", "/after", "200"],
        ["1", "/fine", "200"],
    ]
