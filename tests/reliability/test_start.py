"""What a start says, and how it fails: docs/logging.md, and the exit statuses 3 and 4."""

from __future__ import annotations

import platform
import re
import signal
import socket

import pytest

import aserve
from tests.conftest import Serve
from tests.reliability.conftest import Code, ask
from tests.support.process import ServerProcess


def test_the_lines_of_a_start(serve: Serve, code: Code) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app")
    start, listening, *workers, ready = [text.split("] ", 3)[3] for text in server.lines("stderr")]
    assert start == (
        f"aserve {aserve.__version__} starting: app=main:app workers=2 pid={server.pid} "
        f"python={platform.python_version()}"
    )
    assert listening == f"listening on http://127.0.0.1:{server.port}"
    assert re.fullmatch(r"ready: 2 workers in \d+\.\d\d s", ready)
    for number in (0, 1):
        booting, up = [line for line in workers if line.startswith(f"worker={number} ")]
        match = re.fullmatch(rf"worker={number} gen=1 pid=(\d+) booting", booting)
        assert match is not None
        assert up == (
            f"worker={number} gen=1 pid={match[1]} ready: interface=asgi3 loop=uvloop http=httptools"
        )
    assert all(
        re.match(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] ", text) for text in server.lines("stderr")
    )


@pytest.mark.parametrize(("loop", "http"), [("asyncio", "h11"), ("uvloop", "httptools")])
def test_loop_and_parser_are_told(serve: Serve, code: Code, loop: str, http: str) -> None:
    code.wsgi()
    server = serve("--loop", loop, "--http", http, "--threads", "3", "main:app")
    server.wait_line(rf"worker=0 gen=1 pid=\d+ ready: interface=wsgi, 3 threads loop={loop} http={http}$")
    server.wait_line(r"ready: 1 worker in [\d.]+ s$")
    assert ask(server) == "one"


def test_a_port_in_use(serve: Serve, code: Code) -> None:
    code.asgi()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve("main:app", bind=f"127.0.0.1:{port}", ready=False)
        assert server.wait() == 3
    assert f"aserve: error: cannot listen on 127.0.0.1:{port}: " in server.lines("stderr")[-1]
    assert server.tracebacks() == []


def only_error(server_lines: list[str]) -> str:
    """Return the one line of the log that is an error."""
    (line,) = [text for text in server_lines if "[ERROR]" in text or "[CRITICAL]" in text]
    return line


@pytest.mark.parametrize("workers", ["1", "3"])
def test_an_import_error_is_told_once_with_the_applications_traceback(
    serve: Serve, code: Code, workers: str
) -> None:
    code.broken("def broken():\n    raise RuntimeError('deliberate')\n\nbroken()\n")
    server = serve("-w", workers, "main:app", ready=False)
    assert server.wait() == 4
    line = only_error(server.lines("stderr"))
    assert "not started: importing 'main' failed: RuntimeError: deliberate" in line
    (traceback,) = server.tracebacks()
    assert "main.py" in traceback
    assert "aserve" not in traceback
    assert server.lines("stderr")[-1].endswith("] stopped")


@pytest.mark.parametrize(
    ("source", "application", "status", "words"),
    [
        ("app = 1\n", "main:app", 4, "cannot be called"),
        ("x = 1\n", "main:app", 4, "has no attribute 'app'"),
        ("x = 1\n", "gone:app", 4, "no module named 'gone'"),
        ("def app(environ, start_response): ...\n", "-k asgi main:app", 4, "serve it with -k wsgi"),
        ("import sys\nsys.exit('deliberate')\n", "main:app", 4, "SystemExit"),
        ("import os\nos._exit(9)\n", "main:app", 3, "the worker died while it booted: status 9"),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
            "main:app",
            3,
            "the worker died while it booted: signal SIGKILL",
        ),
    ],
)
def test_an_application_that_cannot_be_served(
    serve: Serve, code: Code, source: str, application: str, status: int, words: str
) -> None:
    code.broken(source)
    server = serve(*application.split(), ready=False)
    assert server.wait() == status
    assert any("not started: " in text and words in text for text in server.lines("stderr")), server.output()
    for traceback in server.tracebacks():
        assert "main.py" in traceback


def test_a_lifespan_that_fails(serve: Serve, code: Code) -> None:
    code.asgi(on_startup="raise RuntimeError('deliberate')")
    server = serve("--lifespan", "on", "-w", "2", "main:app", ready=False)
    assert server.wait() == 3
    line = only_error(server.lines("stderr"))
    assert "not started: " in line
    assert "RuntimeError: deliberate" in line
    (traceback,) = server.tracebacks()
    assert "main.py" in traceback


def test_a_lifespan_that_says_that_it_failed(serve: Serve, code: Code) -> None:
    code.asgi(on_startup="await send({'type': 'lifespan.startup.failed', 'message': 'no database'}); return")
    server = serve("main:app", ready=False)
    assert server.wait() == 3
    assert only_error(server.lines("stderr")).endswith("not started: start-up failed: no database")
    assert server.tracebacks() == []


def test_a_framework_that_sends_its_traceback_as_the_reason(serve: Serve, code: Code) -> None:
    code.broken(
        "import contextlib\n"
        "from starlette.applications import Starlette\n"
        "@contextlib.asynccontextmanager\n"
        "async def lifespan(app):\n"
        "    raise RuntimeError('deliberate\\nand more')\n"
        "    yield\n"
        "app = Starlette(lifespan=lifespan)\n"
    )
    server = serve("main:app", ready=False)
    assert server.wait() == 3
    assert only_error(server.lines("stderr")).endswith(
        "not started: start-up failed: RuntimeError: deliberate"
    )
    (traceback,) = server.tracebacks()
    assert "main.py" in traceback
    assert "and more" in traceback


def test_a_boot_that_hangs(serve: Serve, code: Code) -> None:
    code.asgi(on_import="time.sleep(3600)")
    server = serve("--boot-timeout", "0.5", "main:app", ready=False)
    assert server.wait() == 3
    server.wait_line(r"not started: not ready within 0\.5 s \(--boot-timeout\)$")
    assert any("main.py" in text for text in server.lines("stderr")), "its stack was not dumped"
    assert server.lines("stderr")[-1].endswith("] stopped")


def test_a_start_that_fails_is_told_at_the_terminal_too_when_the_log_is_a_file(
    serve: Serve, code: Code
) -> None:
    code.broken("raise RuntimeError('deliberate')\n")
    server = serve("--error-logfile", "error.log", "main:app", ready=False)
    assert server.wait() == 4
    assert server.lines() and "aserve: error: importing 'main' failed" in server.lines("stderr")[-1]
    assert "not started: importing 'main' failed" in (code.folder / "error.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["import", "startup"])
def test_a_stop_during_the_boot(serve: Serve, code: Code, number: int, moment: str) -> None:
    if moment == "import":
        code.asgi(on_import="say('importing'); time.sleep(3600)")
        server = serve("-w", "2", "main:app", ready=False)
        server.wait_line("^importing$")
    else:
        code.asgi(
            on_startup="say('starting')\n"
            "        try: await asyncio.sleep(3600)\n"
            "        finally: say('cleaned up')"
        )
        server = serve("-w", "2", "main:app", ready=False)
        for _ in range(2):
            server.wait_line("^starting$")
    server.stop(number, timeout=10)
    assert server.tracebacks() == []
    assert not any("died" in text for text in server.lines("stderr"))
    if moment == "startup":
        assert "cleaned up" in server.lines("stdout")


def test_closed_standard_streams_are_no_places_for_sockets(code: Code) -> None:
    """A `print` of the application must not end up in a connection."""
    code.asgi(on_startup="print('x' * 10_000, flush=True)")
    program = code.folder / "closed.py"
    program.write_text(
        "import os, sys\n"
        "os.close(0); os.close(1)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'aserve', *sys.argv[1:]])\n"
    )
    server = ServerProcess(cwd=code.folder)
    server.command[1:] = [str(program), "-b", "127.0.0.1:0", "main:app"]
    with server:
        assert ask(server) == "one"


def test_the_supervisor_imports_nothing_of_the_applications(serve: Serve, code: Code) -> None:
    code.asgi(on_import="say('imported by', os.getpid())")
    # Names that are imported late; started like the command, which has no folder of its own to import from.
    for name in ("uvloop", "tempfile", "colorsys", "h11"):
        (code.folder / f"{name}.py").write_text("raise RuntimeError('deliberate: not this one')\n")
    server = ServerProcess("-w", "2", "main:app", cwd=code.folder)
    server.command.insert(1, "-P")
    with server:
        server.signal(signal.SIGHUP)
        server.wait_line("reload complete: gen=2")
        assert ask(server) == "one"
    pids = {int(text.split()[-1]) for text in server.lines("stdout") if text.startswith("imported by")}
    assert len(pids) == 4
    assert server.pid not in pids


def test_int_to_a_worker_that_boots_is_no_failure(serve: Serve, code: Code) -> None:
    """A terminal sends it to everybody, in an order that is nobody's business."""
    code.asgi(on_import="import signal; signal.raise_signal(signal.SIGINT); say('lives'); time.sleep(3600)")
    server = serve("main:app", ready=False)
    server.wait_line("^lives$")
    server.stop(signal.SIGINT, timeout=10)
    assert not any("[ERROR]" in text for text in server.lines("stderr"))
