"""A service manager's view: sockets that it passes, messages that it gets, units that it can read."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import PATIENCE, Code, wait_until
from tests.support.client import RawClient, request
from tests.support.host import group_members
from tests.support.process import ServerProcess

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "examples" / "systemd"

needs_activate = pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None, reason="needs systemd-socket-activate"
)


class Manager:
    """The receiver of the notifications: a thread that keeps them."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.messages: list[dict[str, str]] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(address.replace("@", "\0"))
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while text := self._sock.recv(4096).decode():
            with self._changed:
                self.messages.append(dict(line.split("=", 1) for line in text.split("\n")))
                self._changed.notify_all()

    def wait(self, key: str, value: str = ".*", since: int = 0) -> int:
        """Return the place of the first message from `since` on with that key and value, waiting for it."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                for index, message in enumerate(self.messages[since:], since):
                    if key in message and re.fullmatch(value, message[key]):
                        return index
                left = deadline - time.monotonic()
                assert left > 0, f"no {key}={value} in {self.messages[since:]}"
                self._changed.wait(left)

    def kinds(self, since: int = 0) -> list[str]:
        """Return the first word of each message that is not only about the status."""
        with self._changed:
            return [next(iter(message)) for message in self.messages[since:] if list(message) != ["STATUS"]]

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self.address.replace("@", "\0"))
        self._thread.join()
        self._sock.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@aserve-test-{os.getpid()}"
    manager = Manager(address)
    yield manager
    manager.close()


# -- notifications --------------------------------------------------------------------------------


def test_a_life_of_a_notify_reload_service(serve: Serve, code: Code, manager: Manager) -> None:
    code.asgi(on_import="say([name for name in os.environ if name.startswith(('NOTIFY', 'WATCHDOG'))])")
    server = serve("-w", "2", "main:app", env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"})
    assert server.wait_line(r"^\[.*\]$", stream="stdout")[0] == "[]"  # not for the application
    ready = manager.wait("READY", "1")
    assert manager.messages[0] == {"STATUS": "starting"}
    assert "EXTEND_TIMEOUT_USEC" in manager.kinds()[:2]
    manager.wait("STATUS", "2 workers")
    first = manager.wait("WATCHDOG", "1")
    manager.wait("WATCHDOG", "1", since=first + 1)

    asked = time.monotonic_ns() // 1000
    server.signal(signal.SIGHUP)
    reloading = manager.wait("RELOADING", "1")
    assert int(manager.messages[reloading]["MONOTONIC_USEC"]) >= asked
    done = manager.wait("READY", "1", since=reloading)
    server.wait_line("reload complete: gen=2")

    code.broken("raise RuntimeError('deliberate')")
    server.signal(signal.SIGHUP)
    reloading = manager.wait("RELOADING", "1", since=done)
    manager.wait("READY", "1", since=reloading)
    server.wait_line("reload abandoned: gen=3")

    server.stop()
    stopping = manager.wait("STOPPING", "1")
    assert manager.messages[stopping]["STATUS"] == "stopping"
    known = [key for key in manager.kinds(ready) if key in ("READY", "RELOADING", "STOPPING")]
    assert known == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]


def test_a_stop_is_told_even_if_it_is_over_at_once(serve: Serve, code: Code, manager: Manager) -> None:
    """The supervisor, who could not run, learns of the stop and of the last worker's end together."""
    code.asgi()
    server = serve("main:app", env={"NOTIFY_SOCKET": manager.address})
    manager.wait("STATUS", "1 worker")
    [worker] = server.worker_pids()
    server.signal(signal.SIGSTOP)
    server.signal(signal.SIGTERM)
    os.kill(worker, signal.SIGTERM)
    wait_until(lambda: group_members(server.pid) == [server.pid], "the worker has ended")
    server.signal(signal.SIGCONT)
    server.wait()
    manager.wait("STOPPING", "1")


def test_ready_means_that_a_worker_serves(serve: Serve, code: Code, manager: Manager) -> None:
    code.asgi(on_startup="while not (FOLDER / 'go').exists(): await asyncio.sleep(0.01)")
    server = serve("main:app", env={"NOTIFY_SOCKET": manager.address}, ready=False)
    server.wait_line("worker=0 gen=1 pid=.* booting$")
    manager.wait("EXTEND_TIMEOUT_USEC")
    assert "READY" not in manager.kinds()
    code.go()
    manager.wait("READY", "1")


def test_no_sign_of_life_without_a_worker(serve: Serve, code: Code, manager: Manager) -> None:
    code.asgi()
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "100000"}
    server = serve("--boot-timeout", "60", "main:app", env=environment)
    code.asgi(on_import="while not (FOLDER / 'go').exists(): time.sleep(0.01)")
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    gone = manager.wait("STATUS", "0 of 1 worker")
    # Enough for two more, if there were any: the next message but those is that all is well again.
    time.sleep(0.2)
    code.go()
    back = manager.wait("STATUS", "1 worker", since=gone)
    assert not any("WATCHDOG" in message for message in manager.messages[gone:back])
    manager.wait("WATCHDOG", "1", since=back)


# -- sockets --------------------------------------------------------------------------------------


def activated(code: Code, *options: str, fdnames: str = "", listen: list[str]) -> ServerProcess:
    """Start systemd-socket-activate, which executes the server when somebody connects."""
    words = [word for address in listen for word in ("-l", address)]
    prefix = ["systemd-socket-activate", *words, *([f"--fdname={fdnames}"] if fdnames else [])]
    server = ServerProcess(*options, "main:app", cwd=code.folder, bind=None, prefix=prefix)
    server.start(ready=False)
    server.wait_line(rf"Listening on {re.escape(listen[-1])} as ")
    return server


def ask_at(path: Path) -> str:
    with RawClient(str(path)) as client:
        return client.ask(request("GET", "/", [("Connection", "close")])).text


@needs_activate
def test_socket_activation(code: Code, tmp_path: Path) -> None:
    """The first request waits in the queue of the socket until the server is there."""
    listening = "sorted(name for name in os.environ if name.startswith('LISTEN_'))"
    code.asgi(on_import=f"say({listening}, [fd for fd in (3, 4) if os.get_inheritable(fd)])")
    one, two = tmp_path / "one.sock", tmp_path / "two.sock"
    server = activated(code, listen=[str(one), str(two)])
    try:
        assert ask_at(one) == "one"
        assert ask_at(two) == "one"
        assert server.addresses == [f"unix:{one}", f"unix:{two}"]
        assert server.wait_line("^\\[", stream="stdout").string == "[] []"
        server.signal(signal.SIGHUP)
        server.wait_line("reload complete: gen=2")
        assert ask_at(one) == "one"
        server.stop()
        assert one.exists()  # it is not ours to remove
    finally:
        server.kill()


@needs_activate
def test_sockets_by_name(code: Code, tmp_path: Path) -> None:
    code.asgi()
    one, two = tmp_path / "one.sock", tmp_path / "two.sock"
    options = ("-b", "fd://web", "-b", "unix:own.sock")
    server = activated(code, *options, listen=[str(one), str(two)], fdnames="admin:web")
    try:
        assert ask_at(two) == "one"
        assert server.addresses == [f"unix:{two}", f"unix:{code.folder}/own.sock"]
        server.wait_line(
            r"\[WARNING\] not listening on what the service manager has passed: "
            r"fd://3 \(admin\): --bind does not name it$"
        )
        server.wait_ready()
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
            client.connect(str(one))
        server.stop()
    finally:
        server.kill()


@needs_activate
def test_a_connection_instead_of_a_listening_socket(code: Code, tmp_path: Path) -> None:
    code.asgi()
    path = tmp_path / "one.sock"
    prefix = ["systemd-socket-activate", "--accept", "-l", str(path)]
    server = ServerProcess("main:app", cwd=code.folder, bind=None, prefix=prefix).start(ready=False)
    try:
        server.wait_line("Listening on ")
        with RawClient(str(path)):
            server.wait_line("aserve: error: cannot listen on fd://3: .*: pass a listening stream socket")
    finally:
        server.kill()


# -- units ----------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_units_are_understood(tmp_path: Path) -> None:
    if not UNITS.is_dir():
        pytest.skip("the examples are elsewhere")
    command = tmp_path / "aserve"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    units = []
    for unit in (UNITS / "shop.service", UNITS / "shop.socket"):
        text = unit.read_text().replace("/srv/shop/venv/bin/aserve", str(command))
        (tmp_path / unit.name).write_text(text)
        units.append(str(tmp_path / unit.name))
    verify = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    # It finds fault with the units of other packages as well.
    ours = [line for line in done.stderr.splitlines() if "shop" in line or str(tmp_path) in line]
    assert (done.returncode, ours) == (0, []), done.stderr
