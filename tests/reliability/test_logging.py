"""The logs of a running server: the application's own logging beside them, and what goes wrong with them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import ask, wait_until
from tests.support.client import RawClient, request
from tests.support.process import ServerProcess, clean_environment

# An application that arranges its own logging in whichever way `arrange` does, and says something.
APP = """
import logging, logging.config, os, subprocess, sys

{arrange}
log = logging.getLogger("myapp")
log.warning("imported")

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    path = scope["path"]
    if path == "/print":
        print("by print")
        print("by print to stderr", file=sys.stderr)
        os.write(1, b"by descriptor 1\\n")
        os.write(2, b"by descriptor 2\\n")
        subprocess.run(["echo", "by another program"])
    elif path == "/raise":
        headers = dict(scope["headers"])
        raise ValueError(f"deliberate {{headers.get(b'x-forged', b'').decode('latin-1')}}")
    else:
        log.warning("asked")
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"ok"}})
"""

BASIC = 'logging.basicConfig(format="mine|%(name)s|%(message)s", stream=sys.stderr)'
ROOT = """
handler = logging.StreamHandler()
handler.setFormatter(logging.Formatter("mine|%(name)s|%(message)s"))
logging.getLogger().addHandler(handler)
logging.getLogger().setLevel(logging.DEBUG)
"""
DICT = """
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": True,
    "formatters": {"mine": {"format": "mine|%(name)s|%(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "mine"}},
    "root": {"level": "INFO", "handlers": ["console"]},
})
"""


def write(folder: Path, arrange: str = "") -> None:
    (folder / "main.py").write_text(APP.format(arrange=arrange))


def said(server: ServerProcess, text: str) -> list[str]:
    return [line for line in server.lines() if text in line]


# -- the application's own logging ------------------------------------------------------------


@pytest.mark.parametrize("option", ["--no-server-header", "--preload"])
@pytest.mark.parametrize("arrange", [BASIC, ROOT, DICT], ids=["basicConfig", "root", "dictConfig"])
def test_the_applications_logging_is_its_own(arrange: str, option: str, serve: Serve, app_dir: Path) -> None:
    """Each line once, in the format of whoever says it; also after a reload."""
    write(app_dir, arrange)
    server = serve(option, "--log-level", "info", "main:app")
    ask(server)
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=2 ")
    ask(server)
    with RawClient(server.target) as client:
        assert client.ask(request("GET", "/raise", [("Connection", "close")])).status == 500
    server.stop()
    assert said(server, "imported") == ["mine|myapp|imported"] * 2
    assert said(server, "asked") == ["mine|myapp|asked"] * 2
    lines = server.lines("stderr")
    assert not [line for line in lines if line.startswith("mine|aserve")]
    for line in ("ready: 1 worker", "reload complete", "] stopped", "draining"):
        found = [each for each in lines if line in each]
        assert len(found) == (2 if line == "draining" else 1), found
        assert all(re.match(r"\[.* [+-]\d{4}\] \[\d+\] \[INFO\] ", each) for each in found)
    assert len(said(server, "[ERROR] exception in the application: GET /raise")) == 1  # by the worker
    assert len(server.tracebacks()) == 1
    assert server.lines("stdout") == []


def test_an_application_without_logging_gets_none(serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    server = serve("main:app")
    ask(server)
    server.stop()
    assert said(server, "asked") == ["asked"]  # by Python's handler of last resort


# -- configured by the user -------------------------------------------------------------------

CONFIG = {
    "version": 1,
    "formatters": {"short": {"()": "formatters.Short", "format": "%(levelname)s %(message)s"}},
    "handlers": {
        "error": {"class": "logging.FileHandler", "filename": "error.log", "formatter": "short"},
        "access": {"class": "logging.FileHandler", "filename": "access.log", "formatter": "short"},
    },
    "loggers": {
        "aserve": {"handlers": ["error"], "level": "INFO", "propagate": False},
        "gunicorn.access": {"handlers": ["access"], "propagate": False},
    },
}

FORMATTER = """
import logging
from collections.abc import Mapping

class Short(logging.Formatter):
    def format(self, record):
        line, atoms = super().format(record), record.args
        more = f"|{{atoms['m']}} {{atoms['U']}} {{atoms['s']}}" if isinstance(atoms, Mapping) else ""
        return f"{version} {{line}}{{more}}"
"""


def test_a_configuration_with_code_of_the_application(serve: Serve, app_dir: Path) -> None:
    """The logs go where it says, by new code after a reload, and into new files after a rotation."""
    write(app_dir)
    (app_dir / "log.json").write_text(json.dumps(CONFIG))
    (app_dir / "formatters.py").write_text(FORMATTER.format(version="one"))
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    server = serve(
        "--log-config",
        "log.json",
        "-b",
        f"unix:{app_dir}/s",
        "main:app",
        bind=None,
        env=environment,
        ready=False,
    )
    error, access = app_dir / "error.log", app_dir / "access.log"
    wait_until(lambda: error.exists() and "ready: 1 worker" in error.read_text(), "ready")

    def get(path: str) -> None:
        with RawClient(f"{app_dir}/s") as client:
            client.ask(request("GET", path, [("Connection", "close")]))

    get("/first")
    wait_until(lambda: "/first" in access.read_text(), "the access log")
    line = access.read_text()
    assert line.startswith("one INFO - - - [")
    assert line.endswith('"GET /first HTTP/1.1" 200 2 "-" "-"|GET /first 200\n')
    (app_dir / "formatters.py").write_text(FORMATTER.format(version="two"))
    server.signal(signal.SIGHUP)
    wait_until(lambda: "reload complete: gen=2" in error.read_text(), "reloaded")
    get("/second")
    wait_until(lambda: "/second" in access.read_text(), "the access log")
    assert access.read_text().splitlines()[-1].startswith("two INFO")
    assert "two INFO reload complete" in error.read_text()
    for file in (error, access):
        file.rename(file.with_suffix(".1"))
    server.signal(signal.SIGUSR1)
    wait_until(lambda: error.exists() and "log files reopened" in error.read_text(), "reopened")
    wait_until(access.exists, "reopened by the worker")
    get("/third")
    wait_until(lambda: "/third" in access.read_text(), "the access log")
    server.stop()
    assert server.lines() == ["imported", "asked", "imported", "asked", "asked"]


def test_uvicorns_records_for_uvicorns_logger(serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    config = {
        "version": 1,
        "formatters": {"five": {"()": "formatters.Five"}},
        "handlers": {
            "out": {"class": "logging.StreamHandler", "formatter": "five", "stream": "ext://sys.stdout"}
        },
        "loggers": {"uvicorn.access": {"handlers": ["out"], "level": "INFO", "propagate": False}},
    }
    (app_dir / "log.json").write_text(json.dumps(config))
    (app_dir / "formatters.py").write_text(
        "import logging\nclass Five(logging.Formatter):\n    def format(self, record):\n"
        "        client, method, path, version, status = record.args\n"
        "        return f'{method} {path} {version} {status:d} ' + record.getMessage()\n"
    )
    server = serve("--log-config", "log.json", "main:app")
    ask(server, "/x%0Ay?q=1")
    found = server.wait_line(r"^GET /x%0Ay\?q=1 1.1 200 127.0.0.1:\d+ - \"GET ", stream="stdout")
    assert found.string.endswith('"GET /x%0Ay?q=1 HTTP/1.1" 200')


def test_a_silenced_access_logger_is_none(serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    (app_dir / "log.json").write_text(
        json.dumps({"version": 1, "loggers": {"uvicorn.access": {"level": "ERROR"}}})
    )
    server = serve("--log-config", "log.json", "--access-logfile", "-", "main:app")
    ask(server)
    server.stop()
    assert server.lines("stdout") == []


def test_a_configuration_that_has_become_wrong_abandons_the_reload(serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    (app_dir / "log.json").write_text('{"version": 1}')
    server = serve("--log-config", "log.json", "main:app")
    (app_dir / "log.json").write_text('{"version": ')
    server.signal(signal.SIGHUP)
    server.wait_line("reload abandoned: gen=2: --log-config: log.json: is no JSON")
    (app_dir / "log.json").write_text('{"version": 1, "root": {"handlers": ["x"]}}')
    server.signal(signal.SIGHUP)
    server.wait_line("reload abandoned: gen=3: --log-config: log.json: Unable to configure root logger")
    assert ask(server) == "ok"


# -- JSON, colours ----------------------------------------------------------------------------


def test_everything_is_json(serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    server = serve("--log-format", "json", "main:app", ready=False)
    server.wait_line('"message": "ready: 1 worker')
    with RawClient(server_target(server)) as client:
        client.ask(request("GET", "/raise", [("Connection", "close")]))
    server.signal(signal.SIGTERM)
    server.wait()
    own = [json.loads(line) for line in server.lines("stderr") if line != "imported"]
    messages = [fields["message"] for fields in own]
    assert messages[-1] == "stopped"
    failure = next(fields for fields in own if "exception" in fields)
    assert (failure["level"], failure["exception"]) == ("ERROR", "ValueError")
    assert failure["message"] == "exception in the application: GET /raise"
    assert failure["details"].endswith("ValueError: deliberate ")
    assert len({fields["pid"] for fields in own}) == 2  # the supervisor and a worker


def server_target(server: ServerProcess) -> tuple[str, int]:
    """Where a server listens that logs in JSON."""
    return "127.0.0.1", int(server.wait_line(r"listening on http://127.0.0.1:(\d+)")[1])


# -- captured output --------------------------------------------------------------------------

CAPTURED = ["by descriptor 1", "by descriptor 2", "by another program", "by print", "by print to stderr"]


def test_captured_output_follows_the_file(serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    log = app_dir / "error.log"
    server = serve(
        *("--capture-output", "--error-logfile", "error.log", "--access-logfile", "-"),
        *("-b", f"unix:{app_dir}/s", "main:app"),
        bind=None,
        ready=False,
    )

    def get(path: str) -> None:
        with RawClient(f"{app_dir}/s") as client:
            client.ask(request("GET", path, [("Connection", "close")]))

    def captured() -> list[str]:
        return sorted(line for line in log.read_text().splitlines() if line.startswith("by "))

    wait_until(lambda: log.exists() and "ready: 1 worker" in log.read_text(), "ready")
    get("/print")
    wait_until(lambda: len(captured()) == 5, "captured")
    assert captured() == sorted(CAPTURED)
    assert "imported" in log.read_text()
    log.rename(app_dir / "error.log.1")
    server.signal(signal.SIGUSR1)
    wait_until(lambda: log.exists() and "log files reopened" in log.read_text(), "reopened")

    def printed_anew() -> bool:  # the worker is told after the supervisor
        get("/print")
        return len(captured()) >= 5

    wait_until(printed_anew, "captured in the new file")
    server.stop()
    assert server.lines("stderr") == []
    assert all('"GET /print HTTP/1.1" 200' in line for line in server.lines("stdout"))  # not captured
    assert server.lines("stdout")


@pytest.mark.parametrize("option", ["--no-server-header", "--preload"])
def test_captured_output_joins_standard_error(option: str, serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    server = serve("--capture-output", option, "main:app")
    ask(server, "/print")
    server.stop()
    assert sorted(line for line in server.lines("stderr") if line.startswith("by ")) == sorted(CAPTURED)
    assert server.lines("stdout") == []


def test_a_handler_on_a_captured_stream(serve: Serve, app_dir: Path) -> None:
    """Its records go where the stream leads: that of a worker into the error log."""
    write(app_dir)
    handlers = {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}}
    loggers = {"aserve": {"handlers": ["out"], "propagate": False}}
    (app_dir / "log.json").write_text(json.dumps({"handlers": handlers, "loggers": loggers}))
    server = serve(
        *("--capture-output", "--error-logfile", "error.log", "--log-config", "log.json"),
        *("-b", f"unix:{app_dir}/s", "main:app"),
        bind=None,
        ready=False,
    )
    server.wait_line("ready: 1 worker", stream="stdout")
    with RawClient(f"{app_dir}/s") as client:
        assert client.ask(request("GET", "/raise", [("Connection", "close")])).status == 500
    server.stop()
    failure = "exception in the application: GET /raise"
    assert failure in (app_dir / "error.log").read_text()
    assert not said(server, failure)


def test_output_is_left_alone_without(serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    server = serve("main:app")
    ask(server, "/print")
    server.stop()
    assert sorted(server.lines("stdout")) == sorted(["by descriptor 1", "by another program", "by print"])


# -- what goes wrong --------------------------------------------------------------------------


def listens(path: str) -> bool:
    """Whether connections are taken at `path`: its file is there before anybody listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@pytest.mark.parametrize("streams", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", "2>&1 | exec true"])
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_standard_streams_that_are_of_no_use(streams: str, interface: str, app_dir: Path) -> None:
    """The server starts, serves, logs a failure, reloads and stops as if it could be heard."""
    write(app_dir)
    (app_dir / "other.py").write_text(
        "import sys\ndef app(environ, start_response):\n"
        "    print('x', file=environ['wsgi.errors'], flush=True)\n"
        "    if environ['PATH_INFO'] == '/raise': raise ValueError('deliberate')\n"
        "    start_response('200 OK', [])\n    return [b'ok']\n"
    )
    app = "main:app" if interface == "asgi" else "other:app"
    command = f"{sys.executable} -m aserve -b unix:s -p pid --access-logfile - {app} {streams}"
    shell = subprocess.Popen(
        ["bash", "-c", command], cwd=app_dir, env=clean_environment(), start_new_session=True
    )
    try:
        wait_until(lambda: listens(f"{app_dir}/s"), "listening")
        wait_until((app_dir / "pid").exists, "the pid file")
        pid = int((app_dir / "pid").read_text())

        def get(path: str) -> int:
            with RawClient(f"{app_dir}/s") as client:
                return client.ask(request("GET", path, [("Connection", "close")])).status

        assert [get("/"), get("/raise"), get("/")] == [200, 500, 200]
        before = children(pid)
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: len(children(pid)) == 1 and children(pid) != before, "reloaded")
        assert get("/") == 200
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{pid}").exists() or children(pid) == [], "stopped")
        shell.wait(10)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()


def children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []


def test_a_full_disk_is_told_once(serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    server = serve(
        "--error-logfile", "/dev/full", "-b", f"unix:{app_dir}/s", "main:app", bind=None, ready=False
    )
    wait_until(lambda: listens(f"{app_dir}/s"), "listening")
    for _ in range(3):
        with RawClient(f"{app_dir}/s") as client:
            assert client.ask(request("GET", "/raise", [("Connection", "close")])).status == 500
    server.stop()
    told = [line for line in server.lines("stderr") if line != "imported"]
    assert len(told) == 1, told  # by the supervisor: its workers know
    for line in told:
        assert re.fullmatch(
            r"aserve: error: pid=\d+ cannot write to the error log '/dev/full': No space left on device; "
            "lines are lost until it works again",
            line,
        )


# -- what clients could try -------------------------------------------------------------------

FORGED = b"[2026-11-25 00:00:00 +0000] [1] [INFO] forged"
ENDINGS = (
    b"\n",
    b"\r",
    b"\r\n",
    b"\x0b",
    b"\x0c",
    b"\x1b[2K\r",
    b"\x85",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xff\n",
)

PLACES = {
    "method": b"GET%b / HTTP/1.1\r\nHost: x\r\n\r\n",
    "target": b"GET /raise%b HTTP/1.1\r\nHost: x\r\n\r\n",
    "quoted": b"GET /raise?%%0A%b HTTP/1.1\r\nHost: x\r\n\r\n",
    "version": b"GET / HTTP/1.1%b\r\nHost: x\r\n\r\n",
    "name": b"GET / HTTP/1.1\r\nHost: x\r\nx%b: y\r\n\r\n",
    "value": b"GET /raise HTTP/1.1\r\nHost: x\r\nx-forged: %b\r\n\r\n",
    "host": b"GET /raise HTTP/1.1\r\nHost: x%b\r\n\r\n",
    "forwarded": b"GET /raise HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.4%b\r\n\r\n",
    "proto": b"GET /raise HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https%b\r\n\r\n",
    "length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1%b\r\n\r\n",
}


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_no_client_begins_a_line_of_the_log(http: str, serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    server = serve("--http", http, "--log-level", "debug", "main:app")
    server.allowed_tracebacks.append("deliberate")
    for pattern in PLACES.values():
        for ending in ENDINGS:
            with RawClient(server.target) as client:
                client.send(pattern.replace(b"%b", ending + FORGED).replace(b"%%", b"%"))
                client.half_close()
                client.read_until_closed()
    assert ask(server) == "ok"
    server.stop()
    for line in server.lines("stderr"):
        for part in line.splitlines():  # also at what only some readers take for an end
            assert not part.startswith(("[2026-11-25 00:00:00 +0000]", "forged")), line
            assert "\x1b" not in part


def test_no_proxy_begins_one(serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    server = serve("--proxy-protocol", "auto", "main:app")
    for ending in ENDINGS:
        with RawClient(server.target) as client:
            client.send(b"PROXY TCP4 1.2.3.4" + ending + FORGED + b" 1.1.1.1 1 2\r\n")
            client.half_close()
            try:
                client.read_until_closed()
            except ConnectionError:
                pass  # reset, as it should be
    server.stop()
    for line in server.lines("stderr"):
        assert "forged" not in line


def test_the_logs_go_to_syslog_as_well(serve: Serve, app_dir: Path) -> None:
    write(app_dir)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10)
        to = f"udp://127.0.0.1:{daemon.getsockname()[1]}"
        server = serve("--log-syslog", "--log-syslog-to", to, "--name", "shop", "main:app")
        server.allowed_tracebacks.append("deliberate")
        with RawClient(server.target) as client:
            client.ask(request("GET", "/raise", [("Connection", "close")]))
        server.stop()
        daemon.settimeout(1)
        messages: list[bytes] = []
        while not messages or b"stopped" not in messages[-1]:
            messages.append(daemon.recv(9999))
    assert re.fullmatch(rb"<14>aserve\.shop\.error: \[%d\] aserve .* starting: .*" % server.pid, messages[0])
    [failure] = [each for each in messages if b"exception in the application: GET /raise" in each]
    assert failure.startswith(b"<11>aserve.shop.error: [")
    assert b"ready: 1 worker" in b"".join(messages)
    [access] = [each for each in messages if b'"GET /raise HTTP/1.1" 500' in each]
    assert access.startswith(b"<14>aserve.shop.access: [")
    server.wait_line(r"\[INFO\] stopped$")  # and to standard error


def test_an_application_that_formats_uvicorns_access_log(serve: Serve, app_dir: Path) -> None:
    """As many do when they start, whether it has been asked for or not; a filter counts."""
    (app_dir / "main.py").write_text(
        """
import logging

class WithoutHealth(logging.Filter):
    def filter(self, record):
        return record.args[2] != "/health"

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        logger = logging.getLogger("uvicorn.access")
        logger.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addFilter(WithoutHealth())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""
    )
    serve("--lifespan", "on", "main:app").stop()
    server = serve("--lifespan", "on", "--access-logfile", "-", "main:app")
    for path in ("/health", "/"):
        with RawClient(server_target(server)) as client:
            client.ask(request("GET", path, [("Connection", "close")]))
    server.stop()
    assert [line.split('"')[1] for line in server.lines("stdout")] == ["GET / HTTP/1.1"]
