"""One worker process, its supervisor being the test (server/worker.py and server/service.py)."""

from __future__ import annotations

import re

import pytest

from tests.server.conftest import Script

# What the scripts begin with: `start(**settings)` forks a worker and returns its pid; `channel` and
# `slot` are the supervisor's; `hear()` waits for the next message, `ended()` for its exit status.
_PREFIX = """
        import atexit, os, pathlib, select, signal, socket, sys, time
        from aserve import logs, sockets, worker
        from aserve.binds import Bind
        from aserve.messages import Channel, Draining, Failed, Ready, Retire
        from aserve.options import Settings
        from aserve.processes import fork
        from aserve.sharedpage import SharedPage
        from aserve.serverhooks import ServerHooks
        from aserve.stacks import StackFile
        from aserve.workerhooks import WorkerHooks

        pathlib.Path("main.py").write_text('''
        import asyncio, os, time
        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                while True:
                    event = (await receive())["type"]
                    print(event, flush=True)
                    await send({"type": event + ".complete"})
                    if event.endswith("shutdown"):
                        return
            if scope["path"] == "/slow":
                await asyncio.sleep(0.5)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hello"})
        ''')

        page = SharedPage()
        slot = page.take()
        stacks = StackFile()
        channel, workers_end = Channel.pair()
        (listening,) = sockets.listen([Bind.parse("127.0.0.1:0")], 100)
        atexit.register(channel.close)
        atexit.register(listening.close)

        def start(**given):
            settings = Settings(**{"app": "main:app", "keep_alive": 0.5, **given})
            logs.configure(settings)
            server = ServerHooks(settings)
            hooks = WorkerHooks(settings, server.arbiter, server.worker(settings, [listening]))
            assignment = worker.Assignment(3, 5, settings, workers_end, slot, stacks, [listening], hooks)

            def body():
                channel.close()
                return worker.Worker(assignment).run()

            pid = fork(body)
            workers_end.close()
            return pid

        heard = []

        def hear():
            while not heard:
                assert not channel.closed, "the worker says nothing any more"
                assert select.select([channel], [], [], 20)[0], "the worker says nothing"
                heard.extend(channel.receive())
            return heard.pop(0)

        def ended(pid):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        def connect():
            return socket.create_connection(listening.getsockname(), timeout=20)

        def ask(client, path="/"):
            client.sendall(b"GET %b HTTP/1.1\\r\\nHost: test\\r\\n\\r\\n" % path.encode())
            data = b""
            while not data.endswith(b"hello"):
                part = client.recv(1000)
                assert part, data
                data += part
            return data
"""


def test_a_worker_that_is_retired(script: Script) -> None:
    """Ready, served, told to retire: an idle connection gets one more answer, the lifespan its end."""
    ended = script(
        _PREFIX
        + """
        pid = start(loop="asyncio", http="h11")
        assert hear() == Ready("asgi3", "asyncio", "h11")
        with connect() as client:
            assert b"connection: close" not in ask(client).lower()
            channel.send(Retire())
            assert hear() == Draining()
            assert b"connection: close" in ask(client).lower()
            assert client.recv(1) == b""
        assert ended(pid) == 0
        channel.receive()
        assert channel.closed
        """
    )
    assert ended.status == 0, ended
    assert ended.out.split() == ["lifespan.startup", "lifespan.shutdown"]
    assert ended.err == ""


def test_a_worker_that_is_stopped_finishes_its_request(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        pid = start()
        assert hear() == Ready("asgi3", "uvloop", "httptools")
        with connect() as client, connect() as idle:
            ask(idle)
            ask(client)
            client.sendall(b"GET /slow HTTP/1.1\\r\\nHost: test\\r\\n\\r\\n")
            time.sleep(0.1)  # it is on its way; should it not be there yet, it is answered as well
            os.kill(pid, signal.SIGTERM)
            assert hear() == Draining()
            assert idle.recv(1) == b""
            assert client.recv(1000).endswith(b"hello")
        assert ended(pid) == 0
        """
    )
    assert ended.status == 0, ended
    assert ended.out.split() == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize("numbers", [["SIGQUIT"], ["SIGINT", "SIGINT"], ["SIGTERM", "SIGQUIT"]])
def test_a_worker_that_is_stopped_at_once(script: Script, numbers: list[str]) -> None:
    ended = script(
        _PREFIX
        + f"""
        pid = start()
        hear()
        with connect() as client:
            ask(client)
            client.sendall(b"GET /slow HTTP/1.1\\r\\nHost: test\\r\\n\\r\\n")
            time.sleep(0.1)
            begin = time.monotonic()
            first, *more = {numbers}
            os.kill(pid, getattr(signal, first))
            if more:
                assert hear() == Draining()  # signals of one kind become one if they are not taken
                os.kill(pid, getattr(signal, more[0]))
            try:
                assert client.recv(1000) == b""
            except ConnectionResetError:
                pass
        assert ended(pid) == 0
        assert time.monotonic() - begin < 5
        """
    )
    assert ended.status == 0, ended
    assert ended.out.split() == ["lifespan.startup", "lifespan.shutdown"]


def test_a_worker_without_a_supervisor_ends(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        pid = start()
        hear()
        channel.close()
        assert ended(pid) == 0
        """
    )
    assert ended.status == 0, ended
    assert re.search(r"worker=3 gen=5 pid=\d+: the supervisor is gone, stopping\n$", ended.err)
    assert ended.out.split() == ["lifespan.startup", "lifespan.shutdown"]


def test_what_a_worker_shows_in_the_shared_page(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        pid = start(timeout=0.4)  # beats ten times a second
        begin = time.monotonic()
        hear()
        assert begin <= slot.beat <= time.monotonic()
        with connect() as client:
            ask(client)
            ask(client)
            beats = set()
            while len(beats) < 3 or (slot.requests, slot.connections) != (2, 1):
                assert time.monotonic() < begin + 20
                beats.add(slot.beat)
                time.sleep(0.01)
        os.kill(pid, signal.SIGTERM)
        assert ended(pid) == 0
        # what lies in the future is a promise: silence is no hang any more
        assert slot.beat > time.monotonic() + 3
        """
    )
    assert ended.status == 0, ended


@pytest.mark.parametrize(
    ("source", "kind", "status", "words", "traceback"),
    [
        ("raise RuntimeError('deliberate')", "load", 4, "RuntimeError: deliberate", True),
        ("app = 1", "load", 4, "cannot be called", False),
        ("x = 1", "load", 4, "no attribute 'app'", False),
        (
            "async def app(scope, receive, send):\n"
            "    await receive()\n"
            "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})",
            "boot",
            3,
            "start-up failed: no database",
            False,
        ),
        (
            "async def app(scope, receive, send): raise RuntimeError('deliberate')",
            "boot",
            3,
            "RuntimeError: deliberate",
            True,
        ),
    ],
)
def test_a_worker_that_cannot_serve_says_why(
    script: Script, source: str, kind: str, status: int, words: str, traceback: bool
) -> None:
    ended = script(
        _PREFIX
        + f"""
        pathlib.Path("main.py").write_text({source!r})
        pid = start(lifespan="on")
        failed = hear()
        assert isinstance(failed, Failed) and failed.kind == {kind!r}, failed
        assert {words!r} in failed.reason and "\\n" not in failed.reason, failed
        assert ("main.py" in failed.traceback) is {traceback}, failed
        assert "aserve" not in failed.traceback, failed
        assert ended(pid) == {status}
        """
    )
    assert ended.status == 0, ended


def test_an_access_log_that_cannot_be_written_is_a_failed_boot(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        pid = start(access_logfile="gone/access.log")
        failed = hear()
        assert isinstance(failed, Failed) and failed.kind == "boot", failed
        assert "gone/access.log" in failed.reason and not failed.traceback
        assert ended(pid) == 3
        """
    )
    assert ended.status == 0, ended


def test_the_access_log_is_complete_when_the_worker_has_ended(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        pid = start(access_logfile="access.log")
        hear()
        with connect() as client:
            for _ in range(50):
                ask(client)
            os.kill(pid, signal.SIGTERM)
            assert ended(pid) == 0
        assert len(pathlib.Path("access.log").read_text().splitlines()) == 50
        """
    )
    assert ended.status == 0, ended


def test_what_a_supervisor_is_not_expected_to_say_is_ignored(script: Script) -> None:
    ended = script(
        _PREFIX
        + """
        pid = start()
        hear()
        channel.send(Draining())
        with connect() as client:
            ask(client)
        os.kill(pid, signal.SIGTERM)
        assert ended(pid) == 0
        """
    )
    assert ended.status == 0, ended


def test_the_loop_is_there_while_the_application_is_imported(script: Script) -> None:
    """Modules that ask for the event loop get the one that will serve them."""
    ended = script(
        _PREFIX
        + """
        with open("main.py", "a") as file:
            file.write("import warnings; warnings.simplefilter('ignore')\\n")
            file.write("loop = asyncio.get_event_loop()\\n")
            file.write("loop.call_soon(lambda: print('called', flush=True))\\n")
        pid = start()
        hear()
        os.kill(pid, signal.SIGTERM)
        assert ended(pid) == 0
        """
    )
    assert ended.status == 0, ended
    assert "called" in ended.out
