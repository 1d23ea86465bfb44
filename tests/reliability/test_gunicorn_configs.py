"""gunicorn's configuration files as they are found in production, loaded unchanged: what each setting does.

The files are in tests/gunicorn_configs. What has another effect than the same setting under gunicorn is
said in docs/gunicorn.md.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import re
import runpy
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import pid_of, wait_until
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess
from tests.support.reach import opened

CONFIGS = Path(__file__).parents[1] / "gunicorn_configs"

# Says what of the server's settings an application sees.
TELLS = """
import json, os, sys, threading
from urllib.parse import parse_qs

_at_work = 0
_all_there = threading.Event()

def app(environ, start_response):
    global _at_work
    path = environ["PATH_INFO"]
    if path.startswith("/together/"):  # answered when so many requests are at work at the same time
        _at_work += 1
        if _at_work >= int(path.removeprefix("/together/")):
            _all_there.set()
        together = _all_there.wait(10)
        start_response("200 OK" if together else "504 Gateway Timeout", [])
        return [b"together"]
    if path == "/hang":
        threading.Event().wait()
    umask = os.umask(0)
    os.umask(umask)
    start_response("200 OK", [])
    return [json.dumps({
        "pid": os.getpid(),
        "scheme": environ["wsgi.url_scheme"],
        "client": environ.get("REMOTE_ADDR"),
        "script_name": environ["SCRIPT_NAME"],
        "multithread": environ["wsgi.multithread"],
        "environ": dict(os.environ),
        "cwd": os.getcwd(),
        "path": sys.path,
        "umask": umask,
        "uid": os.getuid(),
        "gid": os.getgid(),
        "groups": os.getgroups(),
    }).encode()]

def make():
    return app
"""

ASGI = """
import asyncio, json

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["started"] = True
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown complete", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = {"root_path": scope["root_path"], "client": scope["client"], "started": scope["state"]["started"]}
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": json.dumps(body).encode(), "more_body": True})
    while scope["path"].endswith("/wait"):
        await asyncio.sleep(60)
    await send({"type": "http.response.body"})
"""


class Configured(Protocol):
    """Starts a server with one of the files, and nothing else; the working folder is the test's."""

    def __call__(
        self, name: str, *args: str, env: dict[str, str] | None = None, ready: bool = True
    ) -> ServerProcess: ...


@pytest.fixture
def configured(serve: Serve, app_dir: Path) -> Configured:
    def start(name: str, *args: str, env: dict[str, str] | None = None, ready: bool = True) -> ServerProcess:
        shutil.copy(CONFIGS / f"{name}.py", app_dir / "gunicorn.conf.py")
        (app_dir / "run").mkdir(exist_ok=True)
        return serve("-c", "gunicorn.conf.py", *args, bind=None, env=env, ready=ready)

    return start


def get(target: tuple[str, int] | str, path: str = "/", *fields: tuple[str, str]) -> Any:
    """Return what an application tells of itself, on a connection of its own."""
    with RawClient(target) as client:
        response = client.ask(request("GET", path, [*fields, ("Connection", "close")]))
        assert response.status == 200, response
        return json.loads(response.text)


def listens(path: Path) -> bool:
    """Can a Unix socket be connected to? For servers whose log is in a file."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


# -- the files --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.py")))
def test_gunicorn_itself_takes_each_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So they are what gunicorn's users have: every name and every value."""
    config = pytest.importorskip("gunicorn.config", reason="needs gunicorn: pip install gunicorn")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    monkeypatch.setattr(os, "environ", os.environ.copy())  # some files set variables
    cfg = config.Config()
    taken = 0
    for key, value in runpy.run_path(str(CONFIGS / f"{name}.py")).items():
        if key in cfg.settings:
            cfg.set(key, value)
            taken += 1
    assert taken >= 6


def test_django_behind_nginx(configured: Configured, app_dir: Path) -> None:
    shop = app_dir / "src" / "shop"
    shop.mkdir(parents=True)
    (shop / "__init__.py").touch()
    (shop / "settings.py").write_text(
        "SECRET_KEY = 'only for tests'\nROOT_URLCONF = 'shop.urls'\nALLOWED_HOSTS = ['*']\n"
        "MIDDLEWARE = ['django.middleware.common.CommonMiddleware']\n"
    )
    (shop / "urls.py").write_text(
        "import os\nfrom django.http import JsonResponse\nfrom django.urls import path\n"
        "def view(request):\n"
        "    return JsonResponse({'secure': request.is_secure(), 'url': request.build_absolute_uri(),\n"
        "        'greeting': os.environ['SHOP_GREETING'], 'cwd': os.getcwd()})\n"
        "urlpatterns = [path('cart/', view)]\n"
    )
    (shop / "wsgi.py").write_text(
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    )
    server = configured("django_nginx", ready=False)
    path = app_dir / "shop.sock"
    wait_until(lambda: "ready: 2 workers" in _text(app_dir / "error.log"), "two workers")
    assert stat.S_IMODE(path.stat().st_mode) == 0o770  # what umask leaves
    assert get(str(path), "/cart/", ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "9.9.9.9")) == {
        "secure": True,
        "url": "https://test/cart/",
        "greeting": "hello, nginx",
        "cwd": str(app_dir / "src"),
    }
    # Only the header that the file names tells the scheme
    others = [("X-Forwarded-Ssl", "on"), ("X-Forwarded-Protocol", "ssl"), ("Forwarded", "proto=https")]
    for fields in ([], [("X-Forwarded-Proto", "http")], others):
        assert get(str(path), "/cart/", *fields)["secure"] is False
    server.stop()
    lines = (app_dir / "access.log").read_text().splitlines()  # of two workers, each in its own time
    assert len([line for line in lines if re.fullmatch(r'9\.9\.9\.9 GET /cart/ 200 \d+ "-"', line)]) == 1
    assert len([line for line in lines if re.fullmatch(r'- GET /cart/ 200 \d+ "-"', line)]) == 3
    assert "interface=wsgi, inline" in _text(app_dir / "error.log")
    assert server.lines() == []  # all of it is in the files


def test_a_container(configured: Configured, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(TELLS)
    env = {"PORT": "0", "WEB_CONCURRENCY": "3", "PYTHON_MAX_THREADS": "4"}
    server = configured("docker", "main:app", env=env)
    server.wait_line("ready: 3 workers")
    server.wait_line(r"worker=2 gen=1 pid=\d+ ready: interface=wsgi, 4 threads ")
    server.wait_line(r"\[INFO\] gunicorn\.conf\.py:8: worker_class: gthread is wsgi here$")
    server.wait_line(r"listening on http://0\.0\.0\.0:\d+$", stream="stderr")
    assert get(server.target)["multithread"] is True
    line = json.loads(server.wait_line(r"^\{.*\}$", stream="stdout")[0])
    assert (line["remote"], line["request"], line["status"]) == ("127.0.0.1", "GET / HTTP/1.1", 200)
    assert line["us"] >= 0
    assert server.warnings() == []


def test_an_api_in_greenlets(configured: Configured, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(TELLS)
    server = configured("gevent_api", "main:app")
    server.wait_line("ready: interface=wsgi, gevent, 50 greenlets ")
    with contextlib.ExitStack() as clients:  # all of them wait for the last one, in one worker
        waiting = [clients.enter_context(RawClient(server.target)) for _ in range(40)]
        for client in waiting:
            client.send(request("GET", "/together/40"))
        assert {client.read().status for client in waiting} == {200}
    assert server.warnings() == []


def test_uvicorns_worker(configured: Configured, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(ASGI)
    server = configured("uvicorn_workers")
    server.wait_line(
        r"\[INFO\] gunicorn\.conf\.py:8: worker_class: uvicorn\.workers\.UvicornWorker is asgi here$"
    )
    server.wait_line("ready: interface=asgi3 loop=uvloop http=httptools")
    found = get(server.target)
    assert (found["root_path"], found["started"]) == ("/v1", True)
    assert server.warnings() == []
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(request("GET", "/wait"))
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
        server.signal(signal.SIGTERM)
        server.wait_line(r"1 s are over, connections cut off: 1$")  # graceful_timeout
    server.stop(0)
    server.wait_line("^shutdown complete$", stream="stdout")


def test_hooks_that_clean_up_for_prometheus(configured: Configured, app_dir: Path) -> None:
    (app_dir / "metrics").mkdir()
    (app_dir / "metrics" / "gauge_livesum_1.db").write_bytes(b"of a start before")
    (app_dir / "main.py").write_text(
        "from prometheus_client import Gauge\n"
        "gauge = Gauge('at_work', 'x', multiprocess_mode='livesum')\n"
        "gauge.inc()\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [b'{}']\n"
    )
    server = configured("prometheus_hooks")
    server.wait_line(r"\[INFO\] metrics cleared$")
    server.wait_line(r"\[INFO\] Server is ready\. Spawning workers$")
    first, second = sorted(server.worker_pids())
    for pid in (first, second):
        server.wait_line(rf"\[{pid}\] \[INFO\] Worker spawned \(pid: {pid}\)$")
    files = {pid: app_dir / "metrics" / f"gauge_livesum_{pid}.db" for pid in (first, second)}
    assert {path.name for path in (app_dir / "metrics").iterdir()} == {file.name for file in files.values()}
    os.kill(first, signal.SIGKILL)
    server.wait_line(rf"metrics of {first} removed$")
    assert not files[first].exists()
    assert files[second].exists()
    server.stop(signal.SIGINT)
    server.wait_line(r"worker received INT or QUIT signal$")
    server.wait_line(rf"bye from {server.pid}$")
    assert server.warnings() == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can read, which is not so of pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        for each in ("run", "src", "lib", "vendor"):
            (Path(name) / each).mkdir()
        (Path(name) / "src" / "main.py").write_text("from of_lib import app\nimport of_vendor\n")
        (Path(name) / "lib" / "of_lib.py").write_text(TELLS)
        (Path(name) / "vendor" / "of_vendor.py").touch()
        shutil.copy(CONFIGS / "privileges.py", Path(name) / "gunicorn.conf.py")
        yield Path(name)


@pytest.mark.parametrize("user", ["", "nobody"])
def test_what_the_system_sees(open_folder: Path, user: str) -> None:
    prefix = opened() if user else []
    if prefix is None:
        pytest.skip("needs root, and a Python that another user can reach")
    options = ["-c", "gunicorn.conf.py"]
    environ = {"SHOP_USER": user, "SHOP_GROUP": "daemon"} if user else {}
    with ServerProcess(*options, bind=None, cwd=open_folder, prefix=prefix, env=environ) as server:
        found = get(server.target)
        assert found["cwd"] == str(open_folder / "src")  # chdir
        for folder in ("lib", "vendor"):  # pythonpath
            assert str(open_folder / folder) in [os.path.realpath(entry) for entry in found["path"]]
        environ = found["environ"]  # raw_env
        assert (environ["SHOP_REGION"], environ["SHOP_KEY"]) == ("eu", "a=b,c")
        assert found["umask"] == 0o027
        if user:
            account = pwd.getpwnam(user)
            assert (found["uid"], found["gid"]) == (account.pw_uid, grp.getgrnam("daemon").gr_gid)
            assert 0 not in found["groups"]  # initgroups
        pid = int((open_folder / "run" / "shop.pid").read_text())
        assert pid == server.pid
        pytest.importorskip("setproctitle", reason="the extra is not installed")
        titles = [
            Path(f"/proc/{each}/cmdline").read_text().rstrip("\0") for each in (pid, *server.worker_pids())
        ]
        assert titles == ["aserve: supervisor [shop] 1 worker", "aserve: worker 0 [shop] ready"]
        assert server.warnings() == []


def test_an_application_that_leaks(configured: Configured, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(
        "import os\nos.write(1, f'imported by {os.getpid()}\\n'.encode())\n" + TELLS
    )
    server = configured("recycling")
    imports = [line for line in server.lines("stdout") if line.startswith("imported by ")]
    assert len(imports) == 1  # for two workers
    assert int(imports[0].split()[-1]) not in server.worker_pids()
    with RawClient(server.target) as client:  # all of one connection's requests go to one worker
        count = 0
        while not any("recycling" in line for line in server.lines("stderr")):
            assert client.ask(request("GET", "/")).status == 200
            count += 1
            assert count < 10000
    match = server.wait_line(r"recycling: (\d+) requests \(--max-requests\)$")
    assert 20 <= int(match[1]) <= count
    server.wait_line(r"worker=\d gen=1 pid=\d+ exited$")
    assert len([line for line in server.lines("stdout") if line.startswith("imported by ")]) == 1
    assert server.warnings() == []


def test_narrow_limits(configured: Configured, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(TELLS)
    server = configured("limits")

    def status(data: bytes) -> int:
        with RawClient(server.target) as client:
            return client.ask(data).status

    assert status(request("GET", "/" + "x" * 180)) == 200
    assert status(request("GET", "/" + "x" * 200)) == 414
    assert status(request("GET", "/", [("X-Long", "x" * 90)])) == 200
    assert status(request("GET", "/", [("X-Long", "x" * 100)])) == 431
    assert status(request("GET", "/", [(f"X-{number}", "x") for number in range(7)])) == 200
    assert status(request("GET", "/", [(f"X-{number}", "x") for number in range(9)])) == 431
    assert status(request("GET", "/", [("X_Under", "x")])) == 400
    # Nobody's word is taken for the scheme
    assert get(server.target, "/", ("X-Forwarded-Proto", "https"))["scheme"] == "http"
    with RawClient(server.target) as first, RawClient(server.target) as second:
        first.send(request("GET", "/together/2"))
        second.send(request("GET", "/together/2"))
        assert (first.read().status, second.read().status) == (200, 200)  # in two threads
        assert first.read_until_closed() == b""  # a second later
    assert server.warnings() == []


def test_one_request_at_a_time(configured: Configured, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(TELLS)
    server = configured("classic_sync", "main:app")
    server.wait_line("ready: interface=wsgi, inline ")
    assert get(server.target)["multithread"] is False
    assert get(server.target)["umask"] == 0
    before = pid_of(server, 0)
    with RawClient(server.target) as client:
        client.send(request("GET", "/hang"))
        server.wait_line(rf"pid={before} silent for [\d.]+ s: aborting it$")  # timeout
        server.wait_line(rf"\[{before}\] \[INFO\] worker received SIGABRT signal$")
    server.wait_line(rf"worker=0 gen=1 pid=(?!{before}\b)\d+ ready")
    assert get(server.target)["pid"] != before
    assert server.warnings() == []


def test_values_from_the_environment(configured: Configured, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(TELLS)
    env = {
        "HOST": "127.0.0.1",
        "PORT": "0",
        "LOG_LEVEL": "debug",
        "ACCESS_LOG": "",
        "GUNICORN_BACKLOG": "64",
        "GUNICORN_CMD_ARGS": "--name shop --workers 3 --umask 0o77",
    }
    server = configured("from_environment", "main:app", env=env)
    told = json.loads(server.wait_line(r"^\{.*\}$", stream="stdout")[0])
    assert told["bind"] == "127.0.0.1:0"
    server.wait_line("ready: 3 workers")  # GUNICORN_CMD_ARGS overrules the file
    assert get(server.target)["umask"] == 0o77
    assert server.lines("stdout")[1:] == []  # no access log
    (warned,) = server.warnings()
    assert "ignored, since there are no such settings: workers_per_core, cores, web_concurrency" in warned
    if (program := shutil.which("ss")) is not None:
        command = [program, "--listening", "--tcp", "--numeric", "--no-header", f"sport = :{server.port}"]
        listening = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert listening[2] == "64"  # backlog
    # A reload reads it again
    file = app_dir / "gunicorn.conf.py"
    file.write_text(file.read_text() + "\nraw_env = ['NEW=1']\nwokers = 5\n")
    server.signal(signal.SIGHUP)
    server.wait_line(
        r"\[WARNING\] gunicorn\.conf\.py:\d+: there is no setting 'wokers': did you mean 'workers'"
    )
    server.wait_line("reload complete: gen=2 ")
    assert get(server.target)["environ"]["NEW"] == "1"


def test_the_proxy_protocol(configured: Configured, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(ASGI)
    server = configured("proxy_protocol")
    server.wait_line("UvicornH11Worker is asgi here, http h11, loop asyncio$")
    server.wait_line("ready: interface=asgi3 loop=asyncio http=h11")
    with RawClient(server.target) as client:
        head = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n"
        response = client.ask(head + request("GET", "/", [("Connection", "close")]))
        assert json.loads(response.text)["client"] == ["203.0.113.7", 4711]
    server.wait_line(r"^203\.0\.113\.7 200$", stream="stdout")
    with socket.socket() as other:  # reuse_port
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", server.port))
    assert server.warnings() == []


def test_an_application_of_a_host(configured: Configured, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(TELLS)
    server = configured("hosting", ready=False)
    path = app_dir / "run" / "shop.sock"
    wait_until(lambda: listens(path), "a socket")
    found = get(str(path))
    assert (found["multithread"], found["umask"]) == (True, 0o117)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert (app_dir / "run" / "shop.pid").read_text().strip() == str(server.pid)
    server.stop()
    log = (app_dir / "run" / "error.log").read_text()
    assert [line for line in log.splitlines() if "runs as root" not in line] == []  # loglevel
    assert '"GET / HTTP/1.1" 200' in (app_dir / "run" / "access.log").read_text()
    assert not (app_dir / "run" / "shop.pid").exists()
    assert server.lines() == []


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
