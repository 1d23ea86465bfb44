"""The command, as a process: what it serves, what it refuses, and how it says so."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import aserve
from aserve.options import OPTIONS
from tests.conftest import Serve
from tests.server.command import aserve as run
from tests.server.command import refused

ASGI = """\
import json, os, sys

async def app(scope, receive, send):
    assert scope["type"] == "http"
    seen = {"cwd": os.getcwd(), "root_path": scope["root_path"], "path": sys.path[:2]}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
"""
WSGI = """\
def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"wsgi"]

def make():
    return app
"""


@pytest.fixture
def folder(app_dir: Path) -> Path:
    (app_dir / "main.py").write_text(ASGI)
    (app_dir / "classic.py").write_text(WSGI)
    return app_dir


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        body = response.read()
    assert isinstance(body, bytes)
    return body


# -- what it says of itself -------------------------------------------------------------------


def test_version(tmp_path: Path) -> None:
    for flag in ("--version", "-v"):
        assert run(flag, cwd=tmp_path) == (0, f"aserve {aserve.__version__}\n", "")


def test_help_has_every_option_and_its_default(tmp_path: Path) -> None:
    status, out, err = run("--help", cwd=tmp_path)
    assert (status, err) == (0, "")
    assert run("-h", cwd=tmp_path) == (0, out, "")
    words = re.sub(r"\s+", " ", out)
    for option in OPTIONS:
        for flag in option.flags:
            assert flag in words
        if option.flags:
            assert f"{option.help} [{option.default_text}]" in words
            assert f" {option.section}: " in words


def test_little_is_imported_to_say_the_version(tmp_path: Path) -> None:
    source = (
        "import sys\nfrom aserve.cli import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'asyncio', 'anyio', 'uvloop', 'httptools', 'h11', 'logging', 'ssl', 'aserve.supervisor'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


# -- usage errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no application is named: write its module and attribute, such as main:app (--help tells more)"),
        (["--host", "x", "main:app"], "there is no option --host: write --bind ADDRESS"),
        (["--uds=/x", "main:app"], "there is no option --uds: write --bind ADDRESS"),
        (
            ["--interface", "wsgi", "main:app"],
            "there is no option --interface: write --worker-class auto|asgi|wsgi",
        ),
        (["--worker", "3", "main:app"], "there is no option --worker: did you mean --workers?"),
        (["--bnid", ":0", "main:app"], "there is no option --bnid: did you mean --bind?"),
        # What resembles another option only a little is more often one of another server.
        (
            ["--no-such-thing", "x", "main:app"],
            "there is no option --no-such-thing: aserve --help lists them",
        ),
        (
            ["--no-access-log", "main:app"],
            "there is no option --no-access-log, which is uvicorn's: leave it out",
        ),
        (
            ["--access-log", "main:app"],
            "there is no option --access-log, which is uvicorn's: write --access-logfile -",
        ),
        # Never its opposite
        (
            ["--server-header", "main:app"],
            "there is no option --server-header, which is uvicorn's: leave it out",
        ),
        (["--date-header", "main:app"], "there is no option --date-header, which is uvicorn's: leave it out"),
        (
            ["--no-proxy-headers", "main:app"],
            "there is no option --no-proxy-headers, which is uvicorn's: write --forwarded-allow-ips none",
        ),
        (
            ["--no-use-colors", "main:app"],
            "there is no option --no-use-colors, which is uvicorn's: write --log-colors off",
        ),
        (["--ssl-certfile", "x", "main:app"], "there is no option --ssl-certfile: write --certfile FILE"),
        (["--spew", "main:app"], "there is no option --spew, which is gunicorn's: use python -m trace, or a"),
        (
            ["--env-file", "x", "main:app"],
            "there is no option --env-file, which is uvicorn's: have the service",
        ),
        (["--zzzzzz", "main:app"], "there is no option --zzzzzz: aserve --help lists them"),
        (["-X", "main:app"], "there is no option -X: aserve --help lists them"),
        (["main:app", "--workers"], "--workers needs a value: write --workers N|auto"),
        (["--factory=1", "main:app"], "--factory takes no value: write it alone"),
        (
            ["main:app", "other:app"],
            "one application is served, 'other:app' is too much: quote a value with blanks",
        ),
        (["-w", "-1", "main:app"], "--workers: '-1' is too small: write at least 1"),
        (
            ["-t", "soon", "main:app"],
            "--timeout: 'soon' is not a time in seconds: write a number such as 30 or 0.5",
        ),
        (
            ["-k", "gunicorn", "main:app"],
            "--worker-class: 'gunicorn' is not known: write auto, asgi, wsgi",
        ),
        (
            ["-b", "8000", "main:app"],
            "--bind: '8000' is a port only: write :8000 for all addresses, or 127.0.0.1:8000",
        ),
        (
            ["--access-logformat", "%h", "main:app"],
            "--access-logformat: '%h' is not an atom: write one as in %(h)s",
        ),
        (
            ["--chdir", "no", "main:app"],
            "--chdir: cannot change to 'no': No such file or directory: name a folder",
        ),
        (
            ["--error-logfile", "no/log", "main:app"],
            "--error-logfile: cannot write to 'no/log': No such file",
        ),
        (
            ["--access-logfile", "no/log", "main:app"],
            "--access-logfile: cannot write to 'no/log': No such file",
        ),
    ],
)
def test_mistakes_get_one_line_and_status_2(args: list[str], message: str, tmp_path: Path) -> None:
    assert refused(*args, cwd=tmp_path).startswith(message)


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    message = refused("main:app", cwd=tmp_path, env={"WEB_CONCURRENCY": "lots"})
    assert message.startswith("WEB_CONCURRENCY: 'lots' is not a whole number")


# -- start errors -----------------------------------------------------------------------------


def test_a_port_in_use_gets_one_line_and_status_3(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        ended = run("--bind", bind, "main:app", cwd=folder)
    assert ended.status == 3
    assert "Traceback" not in ended.err
    assert ended.err.splitlines()[-1] == (
        f"aserve: error: cannot listen on {bind}: the address is in use: stop the server that listens "
        "there, or choose another with --bind"
    )


def test_with_an_error_log_it_stands_there_as_well(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        refused("--bind", bind, "--error-logfile", "log", "main:app", cwd=folder, status=3)
    assert "[ERROR] cannot listen on" in (folder / "log").read_text()


# -- checking ---------------------------------------------------------------------------------


def test_check_config(folder: Path) -> None:
    assert run("--check-config", "main:app", cwd=folder) == (
        0,
        "configuration ok: main:app can be served (asgi3)\n",
        "",
    )
    assert run("--check-config", "--factory", "classic:make", cwd=folder).out.endswith("(wsgi)\n")


@pytest.mark.parametrize("app", ["nothing:app", "main:nothing", "main.py", ":app"])
def test_check_config_refuses_what_cannot_be_loaded(app: str, folder: Path) -> None:
    """With status 2, as whatever is wrong with a configuration; a start that fails has one of its own."""
    refused("--check-config", app, cwd=folder, status=2)


def test_check_config_refuses_a_wrong_worker_class(folder: Path) -> None:
    refused("--check-config", "-k", "asgi", "classic:app", cwd=folder, status=2)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--pid", "no/pid"), "--pid: cannot write 'no/pid': No such file or directory: name a file in a"),
        (("-b", "unix:no/x"), "--bind: cannot listen on unix:no/x: there is no folder no: make it first"),
    ],
)
def test_check_config_looks_for_folders(args: tuple[str, str], message: str, folder: Path) -> None:
    assert refused("--check-config", *args, "main:app", cwd=folder).startswith(message)
    assert run("--check-config", "--pid", "pid", "-b", "unix:x", "main:app", cwd=folder).status == 0
    assert {path.name for path in folder.iterdir()} & {"pid", "x"} == set()


def test_check_config_shows_the_applications_own_traceback(folder: Path) -> None:
    (folder / "broken.py").write_text("import main\n1 / 0\n")
    ended = run("--check-config", "broken:app", cwd=folder)
    lines = ended.err.splitlines()
    assert ended.status == 2
    assert lines[0] == "Traceback (most recent call last):"
    assert "broken.py" in lines[1]
    assert lines[-1].startswith("aserve: error: ")
    assert "ZeroDivisionError" in lines[-1]


# -- serving ----------------------------------------------------------------------------------


def test_options_reach_the_application(folder: Path, serve: Serve) -> None:
    (folder / "lib").mkdir()
    server = serve(
        "--chdir", "app", "--pythonpath", "lib", "--root-path", "/api/", "main:app", cwd=folder.parent
    )
    url = server.wait_line(r"listening on (\S+)")[1]
    assert json.loads(get(url + "/api/")) == {
        "cwd": str(folder),
        "root_path": "/api",
        "path": [str(folder / "lib"), str(folder)],
    }


def test_the_installed_command_finds_modules_in_the_working_directory(folder: Path) -> None:
    # `python -m` puts that folder on the path by itself, the command does not.
    source = "import sys; sys.path.pop(0); from aserve.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", source, "--check-config", "main:app"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_users_module_called_server_is_found(folder: Path) -> None:
    (folder / "server.py").write_text(WSGI)
    assert run("--check-config", "server:app", cwd=folder).status == 0


def test_several_addresses(folder: Path, serve: Serve) -> None:
    server = serve("--bind", "127.0.0.1:0,unix:x.sock", "--bind", "127.0.0.1:0", "classic:app", bind=None)
    addresses = [found for line in server.lines() if (found := line.partition("listening on ")[2])]
    assert len(addresses) == 3
    assert addresses[1] == f"unix:{folder}/x.sock"
    for address in (addresses[0], addresses[2]):
        assert get(address + "/") == b"wsgi"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "x.sock"))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while data := client.recv(4096):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nwsgi")
    server.stop()
    assert not (folder / "x.sock").exists()


def test_an_inherited_socket(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        process = subprocess.Popen(
            [sys.executable, "-m", "aserve", "--bind", f"fd://{given.fileno()}", "classic:app"],
            cwd=folder,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            pass_fds=[given.fileno()],
            stderr=subprocess.PIPE,
        )
        port = given.getsockname()[1]
    try:
        assert get(f"http://127.0.0.1:{port}/") == b"wsgi"  # it waits in the queue until there is a worker
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_workers_from_the_environment(folder: Path, serve: Serve) -> None:
    server = serve("classic:app", env={"WEB_CONCURRENCY": "2"})
    server.wait_line(r"starting: app=classic:app workers=2 ")


def test_logs_in_files(folder: Path, serve: Serve) -> None:
    server = serve(
        "--error-logfile", "log", "--access-logfile", "access", "classic:app", ready=False, bind="unix:x.sock"
    )
    with socket.socket(socket.AF_UNIX) as client:
        while True:
            try:
                client.connect(str(folder / "x.sock"))
                break
            except OSError:  # no line tells that it listens: the log is in a file
                assert server.running, server.output()
                time.sleep(0.01)
        client.sendall(b'GET /a"b HTTP/1.0\r\nUser-Agent: a"b\r\n\r\n')
        while client.recv(4096):
            pass
    server.stop()
    assert server.lines() == []
    assert "[INFO] stopped" in (folder / "log").read_text()
    [line] = (folder / "access").read_text().splitlines()
    assert re.fullmatch(r'- - - \[[^]]+\] "GET /a\\x22b HTTP/1\.0" 200 4 "-" "a\\x22b"', line)
