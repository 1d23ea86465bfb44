"""The access log of a server that runs: as gunicorn's, as JSON, in the journal, without a reader."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gunicorn_worker.process import GunicornProcess
from tests.gunicorn_worker.test_access_log import APP, FORMAT, REQUESTS, TIMES
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess

Serve = Callable[..., ServerProcess]
CLOSE = ("Connection", "close")


def lines_of(server: ServerProcess | GunicornProcess, folder: Path) -> list[str]:
    for data in REQUESTS:
        with RawClient(server.target) as client:
            client.send(data)
            client.read_until_closed()
    server.stop()
    lines = (folder / "access.log").read_text().splitlines()
    assert all(TIMES.search(line) for line in lines), lines
    return [TIMES.sub("", line) for line in lines]


@pytest.fixture
def gunicorns_lines(tmp_path: Path) -> list[str]:
    """What gunicorn's own thread worker writes."""
    folder = tmp_path / "gunicorn"
    folder.mkdir()
    (folder / "main.py").write_text(APP)
    options = ("--access-logfile", "access.log", "--access-logformat", FORMAT)
    server = GunicornProcess(*options, "-k", "gthread", "main:wsgi", cwd=folder, home=tmp_path, careful=False)
    try:
        server.start(ready=False)
        server.wait_line("Booting worker")
        return lines_of(server, folder)
    finally:
        server.finish()


def test_the_lines_are_gunicorns(serve: Serve, tmp_path: Path, gunicorns_lines: list[str]) -> None:
    """But for quotes, which are escaped as \\x22 here."""
    for app in ("wsgi", "asgi"):
        folder = tmp_path / app
        folder.mkdir()
        (folder / "main.py").write_text(APP)
        server = serve(
            "--access-logfile", "access.log", "--access-logformat", FORMAT, f"main:{app}", cwd=folder
        )
        lines = [line.replace("\\x22", '\\"') for line in lines_of(server, folder)]
        assert lines == gunicorns_lines


def test_json(serve: Serve, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(APP)
    server = serve("--access-logfile", "log", "--access-logformat", "json", "main:asgi")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    forged = 'a"}\u2028{"status":1\x1b'.encode()
    with RawClient(server.target) as client:
        client.ask(request("GET", "/a%0Ab?c=%22", [("X-Request-ID", "id-1"), ("traceparent", trace)]))
        client.send(
            b"GET /forged HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: "
            + forged[:-1]
            + b"\r\n\r\n"
        )
        client.read_until_closed()
    server.stop()
    data = (app_dir / "log").read_bytes()
    assert data.isascii() and data.count(b"\n") == 2
    first, second = map(json.loads, data.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert 0 <= first.pop("duration") < 10
    assert first.pop("pid") != server.pid
    assert first == {
        "client": "127.0.0.1",
        "user": None,
        "method": "GET",
        "path": "/a%0Ab",
        "query": "c=%22",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 5,
        "host": first["host"],
        "referer": None,
        "user_agent": None,
        "request_id": "id-1",
        "trace_id": trace[3:35],
        "span_id": trace[36:52],
        "close_code": None,
    }
    assert (second["path"], second["user_agent"].encode()) == ("/forged", forged[:-1])


def test_the_journal(serve: Serve, app_dir: Path) -> None:
    """https://systemd.io/JOURNAL_NATIVE_PROTOCOL: a field per line, and no client can add one."""
    (app_dir / "main.py").write_text(APP)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        path = str(app_dir / "journal")
        journal.bind(path)
        journal.settimeout(10)
        server = serve("--access-logfile", f"journald:{path}", "main:wsgi")
        with RawClient(server.target) as client:
            client.ask(request("GET", "/a%0APRIORITY=1", [("User-Agent", "me")]))
        fields = dict(line.split("=", 1) for line in journal.recv(65536).decode().splitlines())
    assert fields["PRIORITY"] == "6"
    assert fields["SYSLOG_IDENTIFIER"] == "aserve.access"
    assert (fields["HTTP_METHOD"], fields["HTTP_STATUS"], fields["HTTP_BYTES"]) == ("GET", "200", "5")
    assert (fields["HTTP_USER_AGENT"], fields["WEBSOCKET_CLOSE_CODE"]) == ("me", "-")
    assert '"GET /a%0APRIORITY=1 HTTP/1.1" 200 5' in fields["MESSAGE"]


def test_nothing_is_kept_of_an_environ_that_was_logged(serve: Serve, app_dir: Path) -> None:
    (app_dir / "main.py").write_text(
        "import gc\ngc.disable()\n"
        "def app(environ, start_response):\n"
        "    environ['shop.kept'] = 'x'\n"
        "    kept = sum(1 for each in gc.get_objects() if type(each) is dict and 'shop.kept' in each)\n"
        "    body = str(kept).encode()\n"
        "    start_response('200 OK', [('Content-Length', str(len(body)))])\n"
        "    return [body]\n"
    )
    server = serve("--access-logfile", "access.log", "--access-logformat", "%({shop.kept}e)s", "main:app")
    with RawClient(server.target) as client:
        assert [client.ask(request("GET", "/")).body for _ in range(5)] == [b"1"] * 5
    server.stop()
    assert (app_dir / "access.log").read_text() == "x\n" * 5


@pytest.mark.parametrize("what", ["closed", "a pipe without a reader", "a full disk"])
def test_standard_output_that_takes_nothing(app_dir: Path, what: str) -> None:
    """Requests are served all the same, and the log says so once."""
    (app_dir / "main.py").write_text(APP)
    code = (
        "import os, sys\n"
        "if sys.argv[1] == 'closed':\n"
        "    os.close(1)\n"
        "elif sys.argv[1] == 'a full disk':\n"
        "    os.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
        "else:\n"
        "    reading, writing = os.pipe()\n"
        "    os.dup2(writing, 1), os.close(reading), os.close(writing)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'aserve', *sys.argv[2:]])\n"
    )
    options = ["--bind", "unix:" + str(app_dir / "s"), "--access-logfile", "-", "main:wsgi"]
    with subprocess.Popen(
        [sys.executable, "-c", code, what, *options],
        cwd=app_dir,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "ready: 1 worker" in line:
                break
        for _ in range(3):
            with RawClient(str(app_dir / "s")) as client:
                assert client.ask(request("GET", "/", [CLOSE])).status == 200
        process.terminate()
        said += process.stderr.readlines()
        assert process.wait() == 0
    told = [line for line in said if "access log" in line]
    if what == "closed":
        assert len(told) == 1 and "standard output is closed: the access log is lost" in told[0]
    else:
        assert sum("cannot write to standard output" in line for line in told) == 1, told
    assert not any("Traceback" in line for line in said)
