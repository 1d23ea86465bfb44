"""aserve.run: the whole server, started by a program."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import aserve
from tests.embedding.conftest import Script
from tests.support.client import RawClient, request
from tests.support.footprint import needs_proc
from tests.support.host import group_members
from tests.support.process import ServerProcess

APP = """\
import os
import sys
import aserve
import part


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%s %d" % (part.TEXT, os.getpid())})

"""
MAIN = APP + 'if __name__ == "__main__":\n    '
NAMED, OBJECT = '"main:app"', "app"


def serving(app: str, options: str = "") -> str:
    """Return a program that serves, and says when it goes on."""
    return f'{MAIN}aserve.run({app}, bind="127.0.0.1:0", {options})\n    print("after", flush=True)\n'


@pytest.fixture(autouse=True)
def part(app_dir: Path) -> Path:
    """A module of the application's."""
    path = app_dir / "part.py"
    path.write_text('TEXT = b"one"\n')
    return path


def ask(program: ServerProcess) -> tuple[str, int]:
    """Return what the application says, and in which process."""
    with RawClient(("127.0.0.1", program.port)) as client:
        text, pid = client.ask(request()).text.split()
    return text, int(pid)


def wait_until_gone(program: ServerProcess) -> None:
    """Return when none of the program's processes is left that outlived the first one."""
    deadline = time.monotonic() + 10
    while group_members(program.pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def end(program: ServerProcess, status: int) -> str:
    """Return what a program has written to standard error that ends by itself."""
    assert program.wait() == status
    return "\n".join(program.lines("stderr"))


@pytest.mark.parametrize("app", [NAMED, OBJECT])
def test_serves_until_a_signal_and_returns(app: str, script: Script) -> None:
    program = script(serving(app, "workers=2"))
    text, pid = ask(program)
    assert text == "one"
    assert pid in program.worker_pids()
    assert len(program.worker_pids()) == 2
    program.stop()
    assert program.lines("stdout") == ["after"]


def test_keywords_win_over_the_environment(script: Script) -> None:
    given = {"ASERVE_WORKERS": "3", "ASERVE_NO_SERVER_HEADER": "1"}
    program = script(serving(NAMED, "workers=1, no_server_header=None"), env=given)
    program.wait_line("ready: 1 worker ")
    with RawClient(("127.0.0.1", program.port)) as client:
        assert client.ask(request()).header("server") is None


def test_a_reload_says_what_is_not_read_again(part: Path, script: Script) -> None:
    program = script(serving(NAMED))
    part.write_text('TEXT = b"another"\n')
    program.signal(signal.SIGHUP)
    program.wait_line(r"changed, but imported before aserve\.run\(\).*part\.py; USR2 does that$")
    program.wait_line("reload complete")
    assert ask(program)[0] == "one"


def test_a_reload_of_an_object_says_so(script: Script) -> None:
    program = script(serving(OBJECT))
    program.signal(signal.SIGHUP)
    program.wait_line("the application is an object of the program: its code is not read again")
    program.wait_line("reload complete")


@pytest.mark.parametrize("app", [NAMED, OBJECT])
def test_an_upgrade_starts_the_script_anew(app: str, part: Path, script: Script) -> None:
    program = script(serving(app))
    part.write_text('TEXT = b"another"\n')
    program.signal(signal.SIGUSR2)
    successor = int(program.wait_line(r"stopping: replaced by pid=(\d+)")[1])
    program.wait_line(r"\] stopped$")  # and with it the worker that has the old code
    assert ask(program)[0] == "another"
    os.kill(successor, signal.SIGTERM)
    assert program.wait() == 0
    wait_until_gone(program)


def test_reload_upon_a_change(part: Path, script: Script) -> None:
    program = script(serving(NAMED, "reload=True, reload_engine='poll'"))
    program.wait_line("watcher .* ready")
    assert ask(program)[0] == "one"
    part.write_text('TEXT = b"another"\n')
    program.wait_line("reload complete")
    assert ask(program)[0] == "another"
    program.stop()
    assert program.lines("stdout") == ["after"]


def test_an_upgrade_with_reload_is_refused(script: Script) -> None:
    program = script(serving(NAMED, "reload=True, reload_engine='poll'"))
    program.signal(signal.SIGUSR2)
    program.wait_line(r"upgrade refused: the program that has called aserve\.run\(\) waits for this process")
    assert ask(program)[0] == "one"
    program.stop()
    assert program.lines("stdout") == ["after"]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2)")
def test_the_server_ends_with_a_program_that_is_killed(script: Script) -> None:
    program = script(serving(NAMED, "reload=True, reload_engine='poll'"))
    program.signal(signal.SIGKILL)
    program.wait_line("stopping: signal SIGTERM")
    program.wait_line(r"\] stopped$")
    assert program.wait() == -signal.SIGKILL
    wait_until_gone(program)


def test_workers_do_not_call_what_ends_the_program(script: Script) -> None:
    source = (
        "import atexit, tempfile, weakref\n"
        + APP
        + """\
class Thing: pass
thing = Thing()
weakref.finalize(thing, lambda: print("finalized", os.getpid(), flush=True))
atexit.register(lambda: print("at exit", os.getpid(), flush=True))
folder = tempfile.TemporaryDirectory()
aserve.run(app, bind="127.0.0.1:0", workers=2)
print("there" if os.path.isdir(folder.name) else "gone", flush=True)
folder.cleanup()
"""
    )
    program = script(source)
    program.stop()
    assert program.lines("stdout") == ["there", f"at exit {program.pid}", f"finalized {program.pid}"]


def test_what_a_worker_registers_for_its_end_is_called(script: Script) -> None:
    source = "import atexit\n" + APP
    source += 'atexit.register(lambda: print("at exit", os.getpid(), flush=True))\n'
    program = script(source + 'if __name__ == "__main__":\n    aserve.run("main:app", bind="127.0.0.1:0")\n')
    worker = program.worker_pids()[0]
    program.stop()
    assert program.lines("stdout") == [f"at exit {worker}", f"at exit {program.pid}"]


def test_the_programs_handlers_come_back(script: Script) -> None:
    source = (
        "import signal\n"
        + APP
        + """\
handler = lambda number, frame: None
numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD]
for number in numbers:
    signal.signal(number, handler)
aserve.run(app, bind="127.0.0.1:0")
print([signal.getsignal(number) is handler for number in numbers], flush=True)
"""
    )
    program = script(source)
    program.stop()
    assert program.lines("stdout") == ["[True, True, True, True]"]


@needs_proc
@pytest.mark.parametrize("bind", ["127.0.0.1:0", "1.2.3.4:80"], ids=["stopped", "failed"])
def test_no_descriptor_stays_open(bind: str, script: Script) -> None:
    source = (
        APP
        + f"""\
before = os.listdir("/proc/self/fd")
try:
    aserve.run(app, bind="{bind}")
except SystemExit as end:
    print(end.code, flush=True)
print(sorted(set(os.listdir("/proc/self/fd")) - set(before)), flush=True)
"""
    )
    starts = bind.endswith(":0")
    program = script(source, ready=starts)
    if starts:
        program.stop()
        assert program.lines("stdout") == ["[]"]
    else:
        end(program, 0)
        assert program.lines("stdout") == ["3", "[]"]


# -- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        ('"main:app", workers="many"', 2, "aserve: error: workers: 'many' is not a whole number"),
        ('"main:app", bind="1.2.3.4:80"', 3, "aserve: error: cannot listen on 1.2.3.4:80: "),
        ('"main:nothing", bind="127.0.0.1:0"', 4, "module 'main' has no attribute 'nothing'"),
        ("app, reload=True", 2, "aserve: error: reload: an object cannot be reloaded: name the application"),
        ('"__main__:app", reload=True', 2, "reload: '__main__:app' names the running program"),
        ('app, worker_class="gevent"', 2, "aserve: error: worker_class: gevent has to be there before"),
        ('app, worker_class="wsgi", bind="127.0.0.1:0"', 4, "this is an ASGI application"),
        ('"", bind="127.0.0.1:0"', 2, "aserve: error: APP: '' is not a text"),
    ],
)
def test_mistakes_are_said_in_a_line_and_end_with_the_commands_status(
    arguments: str, status: int, line: str, script: Script
) -> None:
    said = end(script(MAIN + f"aserve.run({arguments})\n", ready=False), status)
    assert line in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        ('raise RuntimeError("deliberate")', "the application raised RuntimeError: deliberate"),
        ('sys.exit("deliberate")', "start-up failed: SystemExit: deliberate"),
    ],
)
def test_a_start_up_that_fails(failure: str, line: str, script: Script) -> None:
    source = APP.replace("raise NotImplementedError", failure)
    source += 'if __name__ == "__main__":\n    aserve.run("main:app", bind="127.0.0.1:0", lifespan="on")\n'
    assert f"not started: {line}" in end(script(source, ready=False), 3)


@pytest.mark.parametrize("more", ["", ", reload=True, reload_engine='poll'"])
def test_without_a_guard_the_mistake_is_named(more: str, script: Script) -> None:
    program = script(APP + f'aserve.run("main:app", bind="127.0.0.1:0"{more})\n', ready=False)
    program.allowed_tracebacks.append("while the application is imported")
    program.wait_line(r'put it under if __name__ == "__main__":')
    if more:
        program.stop()
    else:
        assert program.wait() == 4


def test_threads_of_the_program_are_named(script: Script) -> None:
    source = APP + (
        "import threading\n"
        'if __name__ == "__main__":\n'
        '    threading.Thread(target=threading.Event().wait, name="busy", daemon=True).start()\n'
        '    aserve.run("main:app", bind="127.0.0.1:0")\n'
    )
    script(source).wait_line("threads of this program are not in the workers: busy")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("host", "write bind=ADDRESS"),
        ("log_file", "write error_logfile=FILE"),
        ("loglevel", "write log_level=debug|info"),
        ("worker", "did you mean workers?"),
        ("xyzzy", "docs/settings.md lists them"),
    ],
)
def test_unknown_names(name: str, advice: str) -> None:
    options: Any = {name: 1}
    with pytest.raises(TypeError) as caught:
        aserve.run("main:app", **options)
    assert str(caught.value).startswith(f"aserve.run() has no option {name!r}: {advice}")


async def test_beside_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match=r"cannot run beside an event loop: use await aserve\.Server"):
        aserve.run("main:app")


def test_in_another_thread() -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            aserve.run("main:app")
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "needs the main thread" in str(errors[0])
