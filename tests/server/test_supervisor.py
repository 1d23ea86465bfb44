"""What only a supervisor in trouble shows (server/supervisor.py); the rest is in tests/reliability."""

from __future__ import annotations

import os
import signal

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import Code, ask, wait_until

# Put into a supervisor by the interpreter itself: from the moment on that a file called `no-more`
# is there, there can be no more processes.
_NO_MORE_PROCESSES = """
import os
real_fork = os.fork
def fork():
    if os.path.exists("no-more"):
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return real_fork()
os.fork = fork
"""


@pytest.fixture
def limited(code: Code) -> dict[str, str]:
    """The environment of a server for which processes can run out."""
    (code.folder / "sitecustomize.py").write_text(_NO_MORE_PROCESSES)
    return {"PYTHONPATH": str(code.folder)}


def test_no_process_for_the_first_worker(serve: Serve, code: Code, limited: dict[str, str]) -> None:
    code.asgi()
    (code.folder / "no-more").touch()
    server = serve("-w", "2", "main:app", env=limited, ready=False)
    assert server.wait() == 3
    (line,) = [text for text in server.lines("stderr") if "[ERROR]" in text]
    assert "not started: cannot start a process: " in line
    assert "Resource temporarily unavailable" in line


def test_no_process_for_a_replacement(serve: Serve, code: Code, limited: dict[str, str]) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app", env=limited)
    (code.folder / "no-more").touch()
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    server.wait_line(r"worker=0 failed: cannot start a process: .*; next try in 1 s$")
    server.wait_line(r"worker=1 failed: cannot start a process: .*; next try in 1 s$")
    (code.folder / "no-more").unlink()
    wait_until(lambda: len(server.worker_pids()) == 2, "two new workers")
    assert ask(server) == "one"


def test_no_process_for_a_reload(serve: Serve, code: Code, limited: dict[str, str]) -> None:
    code.asgi()
    server = serve("-w", "2", "main:app", env=limited)
    code.asgi("two")
    (code.folder / "no-more").touch()
    server.signal(signal.SIGHUP)
    server.wait_line(r"reload abandoned: gen=2: cannot start a process: ")
    assert ask(server) == "one"
    (code.folder / "no-more").unlink()
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=3")
    assert ask(server) == "two"


def test_no_descriptor_for_a_reload(serve: Serve, code: Code) -> None:
    """What was opened for a worker that did not come to be is closed again."""
    (code.folder / "sitecustomize.py").write_text(
        "import os, resource, socket\n"
        "real = socket.socketpair\n"
        "def socketpair(*given):\n"
        "    if os.path.exists('no-more'):\n"
        "        highest = os.dup(0); os.close(highest)\n"
        "        old = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, old[1]))\n"
        "        try: return real(*given)\n"
        "        finally: resource.setrlimit(resource.RLIMIT_NOFILE, old)\n"
        "    return real(*given)\n"
        "socket.socketpair = socketpair\n"
    )
    code.asgi()
    server = serve("main:app", env={"PYTHONPATH": str(code.folder)})
    (code.folder / "no-more").touch()
    for generation in (2, 3, 4):
        server.signal(signal.SIGHUP)
        server.wait_line(
            rf"reload abandoned: gen={generation}: cannot start a process: .*Too many open files"
        )
    (code.folder / "no-more").unlink()
    server.signal(signal.SIGHUP)
    server.wait_line("reload complete: gen=5")
    assert ask(server) == "one"


def test_what_is_no_message_is_told_and_harmless(serve: Serve, code: Code) -> None:
    """An application that writes to descriptors that it does not know."""
    code.asgi(
        on_import="""
import socket
def write_everywhere():
    for fd in range(3, 64):
        try:
            with socket.socket(fileno=os.dup(fd)) as copy:
                if copy.family == socket.AF_UNIX:
                    os.write(fd, b'rubbish')
                    os.write(fd, b'\\n["Retire", {}]\\n')
        except OSError:
            pass
""",
        on_startup="write_everywhere()",
    )
    server = serve("main:app")
    server.wait_line(r"\[WARNING\] worker=0 gen=1 pid=\d+ sent not a message: b'rubbish'$")
    server.wait_line(r"\[WARNING\] worker=0 gen=1 pid=\d+ sent what only a supervisor sends: Retire\(")
    assert ask(server) == "one"
