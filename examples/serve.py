"""Serve the FastAPI and the Flask example at once, until Ctrl-C: what `make serve` runs.

Each has an `aserve` of its own, on the addresses that FASTAPI_BIND and FLASK_BIND name, by default
127.0.0.1:8000 and 127.0.0.1:8001.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

HERE = Path(__file__).parent
EXAMPLES = (
    ("FastAPI", "fastapi_app:app", os.environ.get("FASTAPI_BIND") or "127.0.0.1:8000"),
    ("Flask", "flask_app:app", os.environ.get("FLASK_BIND") or "127.0.0.1:8001"),
)


class Server:
    """One `aserve`, whose log is passed on line by line under the name of its example.

    `ended` is set when it has ended.
    """

    def __init__(self, name: str, app: str, bind: str, ended: threading.Event) -> None:
        self.name = name
        self.address = ""
        self.ready = False
        self.settled = threading.Event()
        self._ended = ended
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aserve", "--chdir", str(HERE), "--bind", bind, app],
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C goes to this script only, which passes it on
        )
        self.thread = threading.Thread(target=self._pass_on)
        self.thread.start()

    def _pass_on(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as log:
            for line in log:
                print(f"{self.name:<8}{line}", end="", file=sys.stderr, flush=True)
                if found := re.search(r"listening on (\S+)", line):
                    self.address = found[1]
                if "] ready: " in line:
                    self.ready = True
                    self.settled.set()
        self.process.wait()
        self.settled.set()
        self._ended.set()


def main() -> int:
    """Return 0 when both were stopped, else the exit status of the one that failed."""
    servers: list[Server] = []
    ended = threading.Event()

    def pass_on(number: int, _: FrameType | None = None) -> None:
        for server in servers:
            if server.process.poll() is None:
                server.process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on if number != signal.SIGHUP else lambda *_: pass_on(signal.SIGTERM))
    for name, app, bind in EXAMPLES:
        servers.append(Server(name, app, bind, ended))
    for server in servers:
        server.settled.wait()
    if all(server.ready for server in servers):
        print("".join(f"\n  {server.name:<8}{server.address}" for server in servers))
        print("\nCtrl-C stops both.\n", flush=True)
    ended.wait()
    pass_on(signal.SIGTERM)  # one without the other is no example
    for server in servers:
        server.thread.join()
    status = max(abs(server.process.wait()) for server in servers)
    if status and not all(server.ready for server in servers):
        print("\nFASTAPI_BIND=HOST:PORT and FLASK_BIND=HOST:PORT say where to listen.", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
