"""gunicorn's server hooks: which are called, in which process, when, and what follows if they fail."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from aserve.hooks import HOOKS
from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, pid_of, wait_until
from tests.reliability.hooks import ALL, Calls, Conf, get
from tests.reliability.hooks import calls as calls
from tests.reliability.hooks import conf as conf
from tests.reliability.test_upgrade import Succession
from tests.support.client import RawClient, request
from tests.support.websocket import WebSocketClient, handshake

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="--preload needs Linux")

# -- all of them ------------------------------------------------------------------------------


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_life_with_all_hooks(serve: Serve, code: Code, conf: Conf, calls: Calls, interface: str) -> None:
    code.write(interface)
    conf(ALL)
    server = serve("-c", "conf.py", "-n", "shop", "-w", "2", "main:app")
    supervisor, first, second = str(server.pid), str(pid_of(server, 0)), str(pid_of(server, 1))
    server.wait_line(rf"\[INFO\] Worker spawned \(pid: {first}\)")
    noted = calls.all()
    assert noted[:3] == [
        ["nworkers_changed", supervisor, "None", "2"],
        ["on_starting", supervisor, supervisor, "2", "0"],
        ["when_ready", supervisor, "127.0.0.1"],
    ]
    assert calls.of("pre_fork") == [[supervisor, "[booting]", "1"], [supervisor, "[booting]", "2"]]
    for age, pid in (("1", first), ("2", second)):
        assert ["post_fork", pid, pid, age, supervisor, "of", "the", "server"] in noted
        assert ["post_worker_init", pid, "True", "shop"] in noted
        assert noted.index(["pre_fork", supervisor, "[booting]", age]) < noted.index(
            ["post_worker_init", pid, "True", "shop"]
        )

    calls.clear()
    get(server, "/a%20b?c=d")
    wait_until(lambda: calls.names() == ["pre_request", "post_request"], "two calls")
    (before,), (after,) = calls.of("pre_request"), calls.of("post_request")
    assert before[0] == after[0]
    assert before[0] in (first, second)
    assert before[1:] == ["GET", "/a%20b?c=d", "/a%20b", "c=d"]
    assert after[1:] == ["mine", "mine", "200", "OK", "3"]

    calls.clear()
    server.signal(signal.SIGTTIN)
    server.wait_line(r"worker=2 gen=1 pid=\d+ ready")
    assert calls.of("nworkers_changed") == [[supervisor, "2", "3"]]
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=2 ")
    assert calls.of("on_reload") == [[supervisor, "30.0"]]
    assert calls.of("nworkers_changed") == [[supervisor, "2", "3"], [supervisor, "3", "2"]]
    wait_until(lambda: len(calls.of("child_exit")) == 3, "the end of three workers")
    for pid in (first, second):
        assert [pid, str(int(pid == before[0]))] in calls.of("worker_exit")
        assert [supervisor, pid, "False"] in calls.of("child_exit")

    calls.clear()
    server.stop(signal.SIGINT)
    assert len(calls.of("worker_int")) == len(calls.of("worker_exit")) == len(calls.of("child_exit")) == 2
    assert calls.all()[-1] == ["on_exit", supervisor, "0"]


@pytest.mark.parametrize(
    "option", ["--worker-class=auto", "--worker-class=sync", pytest.param("--preload", marks=LINUX_ONLY)]
)
def test_the_application_before_its_time(option: str, serve: Serve, code: Code, conf: Conf) -> None:
    """As tools for tracing ask for it, which wrap it in post_fork. It is loaded once."""
    code.wsgi(on_import="print('imported', flush=True)")
    conf(
        "def post_fork(server, worker):\n"
        "    app = worker.app.wsgi()\n"
        "    assert app is worker.wsgi is worker.app.callable is server.app.wsgi()\n"
        "    print('has', app.__module__, flush=True)\n"
        "def pre_fork(server, worker):\n"
        "    assert not server.cfg.preload_app or server.app.callable.__module__ == 'main'\n"
        "def worker_exit(server, worker):\n"
        "    print('had', server.app.callable.__module__, flush=True)\n"
    )
    server = serve("-c", "conf.py", option, "main:app")
    get(server, "/")
    server.stop()
    assert server.lines("stdout") == ["imported", "has main", "had main"]


@LINUX_ONLY
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_a_life_with_a_mold(serve: Serve, code: Code, conf: Conf, calls: Calls, interface: str) -> None:
    """Workers are forked from it, so it calls what comes before a fork; all else is as without."""
    code.write(interface)
    conf(ALL)
    server = serve("-c", "conf.py", "--preload", "-w", "2", "main:app")
    mold = server.wait_line(r"mold gen=1 pid=(\d+) ready").group(1)
    supervisor, first = str(server.pid), str(pid_of(server, 0))
    assert calls.of("pre_fork") == [[mold, "[booting]", "1"], [mold, "[booting]", "2"]]
    assert [first, first, "1", supervisor, "of", "the", "server"] in calls.of("post_fork")
    assert [call[0] for call in calls.of("when_ready")] == [supervisor]
    get(server)
    wait_until(lambda: len(calls.of("post_request")) == 1, "the second hook of a request")
    os.kill(int(first), signal.SIGKILL)
    server.wait_line(rf"worker=0 gen=1 pid=(?!{first}\b)\d+ ready")
    assert calls.of("child_exit") == [[supervisor, first, "False"]]
    assert [mold, "[booting]", "3"] in calls.of("pre_fork")
    server.stop()
    assert len(calls.of("child_exit")) == 3  # the mold is no worker
    assert len(calls.of("worker_exit")) == 2
    assert calls.names()[-1] == "on_exit"


async def test_websockets(serve: Serve, code: Code, conf: Conf, calls: Calls) -> None:
    """They are requests as well: what a hook keeps away from the application it keeps away in any case."""
    code.broken(
        "async def app(scope, receive, send):\n"
        "    await send({'type': 'websocket.accept', 'headers': [(b'x-of', b'mine')]})\n"
        "    await send({'type': 'websocket.send', 'text': scope['path']})\n"
    )
    conf(
        ALL
        + "def pre_request(worker, req):\n"
        + "    _note('pre_request', req.method, req.uri)\n"
        + "    if req.path == '/kept': raise ValueError('deliberate')\n"
        + "def post_request(worker, req, environ, resp):\n"
        + "    _note('post_request', environ['PATH_INFO'], resp.status_code, resp.sent)\n"
    )
    server = serve("-c", "conf.py", "--lifespan", "off", "main:app")
    async with WebSocketClient(server.target) as client:
        await client.open("/chat?a=b")
        assert (await client.read_frame()).text == "/chat"
        assert await client.read_close() == (1000, "")
    async with WebSocketClient(server.target) as client:
        await client.send(handshake("/kept"))
        assert (await client.read()).status == 500
    await asyncio.to_thread(server.wait_line, "the hook pre_request failed: GET /kept$")
    await asyncio.to_thread(wait_until, lambda: len(calls.of("post_request")) == 2, "two calls")
    assert [call[1:] for call in calls.of("pre_request")] == [["GET", "/chat?a=b"], ["GET", "/kept"]]
    assert [call[1:] for call in calls.of("post_request")] == [
        ["/chat", "101", "11"],
        ["/kept", "500", "21"],
    ]


def test_an_upgrade(serve: Serve, code: Code, conf: Conf, calls: Calls) -> None:
    code.asgi()
    conf(ALL)
    succession = Succession(serve("-c", "conf.py", "main:app"))
    old = succession.pid
    new = succession.begin()
    succession.complete(new)
    assert calls.of("pre_exec") == [[str(old)]]
    assert [str(new), str(new), "1", "0"] in calls.of("on_starting")
    assert calls.of("on_exit") == [[str(old), "0"]]
    succession.stop()
    assert calls.of("on_exit") == [[str(old), "0"], [str(new), "0"]]


def test_the_documentation_has_them_all() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| `\w+` \|.*\|.*\|.*\|", line)]
    assert rows == [
        f"| `{hook.name}` | {', '.join(hook.arguments)} | {hook.process} | {hook.when} | {hook.failure} |"
        for hook in HOOKS
    ]


# -- ABRT -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_worker_whose_loop_hangs(serve: Serve, code: Code, conf: Conf, calls: Calls, loop: str) -> None:
    code.asgi()
    conf(ALL)
    server = serve("-c", "conf.py", "--loop", loop, "-t", "0.5", "main:app")
    pid = pid_of(server, 0)
    with RawClient(server.target) as client:
        client.send(request("GET", "/block", [("X-Token", "mine")]))
        server.wait_line(rf"pid={pid} died: signal SIGABRT")
    server.wait_line(r'File ".*main.py", line \d+ in app')  # the stacks are there all the same
    assert calls.of("worker_abort") == [[str(pid), "True"]]
    assert [call[0] for call in calls.of("worker_exit")] == [str(pid)]
    server.wait_line(rf"worker=0 gen=1 pid=(?!{pid}\b)\d+ ready")


@pytest.mark.slow
def test_a_worker_that_hangs_in_c_code(serve: Serve, code: Code, conf: Conf, calls: Calls) -> None:
    """No hook can be called there, but the stacks are in the log, and the worker is replaced."""
    code.broken(
        "import itertools\n"
        "async def app(scope, receive, send):\n"
        "    sum(itertools.repeat(0, 10**12))\n"  # looks at no signal
    )
    conf(ALL)
    server = serve("-c", "conf.py", "-t", "0.5", "--lifespan", "off", "main:app")
    pid = pid_of(server, 0)
    with RawClient(server.target) as client:
        client.send(request("GET", "/", [("X-Token", "mine")]))
        server.wait_line(rf"pid={pid} died: signal SIGKILL")
    server.wait_line(r'File ".*main.py", line 3 in app')
    server.wait_line(rf"worker=0 gen=1 pid=(?!{pid}\b)\d+ ready")
    wait_until(lambda: calls.of("child_exit") == [[str(server.pid), str(pid), "False"]], "child_exit")
    assert calls.of("worker_abort") == []


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_worker_that_is_idle(serve: Serve, code: Code, conf: Conf, calls: Calls, loop: str) -> None:
    """The handler does not wait for the next request."""
    code.asgi()
    conf(ALL)
    server = serve("-c", "conf.py", "--loop", loop, "main:app")
    pid = pid_of(server, 0)
    os.kill(pid, signal.SIGABRT)
    server.wait_line(rf"pid={pid} died: signal SIGABRT")
    assert calls.of("worker_abort") == [[str(pid), "True"]]


def test_abrt_without_the_hook(serve: Serve, code: Code, conf: Conf) -> None:
    code.asgi()
    conf("workers = 1")
    server = serve("-c", "conf.py", "main:app")
    pid = pid_of(server, 0)
    os.kill(pid, signal.SIGABRT)
    server.wait_line(rf"pid={pid} died: signal SIGABRT")
    server.wait_line(r"most recent call first")


def test_a_worker_that_drains_waits_for_the_last_hook(
    serve: Serve, code: Code, conf: Conf, calls: Calls
) -> None:
    """The response has left, and what the hook notes about it must not be lost."""
    code.wsgi()
    conf(
        ALL
        + "def post_request(worker, req, environ, resp):\n"
        + "    import time\n"
        + "    while not os.path.exists('go'): time.sleep(0.01)\n"
        + "    _note('post_request', resp.status)\n"
    )
    server = serve("-c", "conf.py", "main:app")
    with RawClient(server.target) as client:
        client.send(request("GET", "/", [("X-Token", "mine")]))
        assert client.read().status == 200
        server.signal(signal.SIGTERM)
        assert client.read_until_closed() == b""
    time.sleep(0.2)  # for a worker that would end here
    code.go()
    assert server.wait() == 0
    assert len(calls.of("post_request")) == 1


def test_a_folder_that_is_gone(serve: Serve, code: Code, conf: Conf, calls: Calls) -> None:
    """A deployment may remove it under the server's feet; hooks are called all the same."""
    code.asgi()
    conf("def child_exit(server, worker): server.log.info('child_exit of %s', worker.pid)")
    server = serve("-c", "conf.py", "main:app")
    pid = pid_of(server, 0)
    shutil.rmtree(code.folder)
    os.kill(pid, signal.SIGKILL)
    server.wait_line(f"child_exit of {pid}$")
    server.allowed_tracebacks.append("No such file or directory")  # of workers that find no application


# -- hooks that many have ---------------------------------------------------------------------


def test_prometheus_is_told_of_dead_workers(serve: Serve, code: Code, conf: Conf, app_dir: Path) -> None:
    """As prometheus-client's documentation has it; its files are of the worker that has ended."""
    folder = app_dir / "metrics"
    folder.mkdir()
    code.broken(
        "from prometheus_client import Gauge\n"
        "gauge = Gauge('at_work', 'x', multiprocess_mode='livesum')\n"
        "async def app(scope, receive, send):\n"
        "    gauge.inc()\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': b'one'})\n"
    )
    conf(
        "import os\n"
        f"os.environ['PROMETHEUS_MULTIPROC_DIR'] = {str(folder)!r}\n"
        "from prometheus_client import multiprocess\n"
        "def child_exit(server, worker):\n"
        "    multiprocess.mark_process_dead(worker.pid)\n"
    )
    server = serve("-c", "conf.py", "--lifespan", "off", "main:app")
    assert ask(server) == "one"
    pid = pid_of(server, 0)
    file = folder / f"gauge_livesum_{pid}.db"
    assert file.exists()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not file.exists(), "no file of a dead worker")


def test_threads_in_the_supervisor_are_warned_of(serve: Serve, code: Code, conf: Conf) -> None:
    code.asgi()
    conf(
        "import threading\n"
        "def when_ready(server):\n"
        "    threading.Thread(target=threading.Event().wait, name='metrics', daemon=True).start()\n"
    )
    server = serve("-c", "conf.py", "main:app")
    server.wait_line(r"the hook when_ready has started threads \(metrics\): workers do not have them")
    assert ask(server) == "one"
