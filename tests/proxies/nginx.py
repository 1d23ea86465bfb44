"""A real nginx as a child of the test: an ordinary user's process, all of whose files are in one folder."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.client import TIMEOUT, RawClient, Target

PATIENCE: Final = 15.0
"""Seconds that nginx may take to start or to end."""

VISITOR: Final = "127.0.0.2"
"""Where visitors come from: an address that is local, but not that of a trusted proxy."""

_CONFIGURATION = """
{modules}
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
{stream}
"""

# Worse than what a client can bring about.
_SERIOUS = re.compile(r"\[(?:error|crit|alert|emerg)\]")


class Missing(Exception):
    """nginx, or a module of it, is not installed; the text says what to do."""


class Nginx:
    """A running nginx; a context manager.

    http, stream: what stands in these blocks of the configuration, with `LISTEN` where the address
    belongs at which visitors come in. Raises Missing.
    """

    def __init__(self, folder: Path, http: str = "", stream: str = "") -> None:
        self._folder = folder
        self._program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        if self._program is None:
            raise Missing("nginx is not installed: apt-get install nginx libnginx-mod-stream")
        modules = [_stream_module(self._program)] if stream else []
        # nginx takes the socket over as from an older nginx: so nobody else can have the port meanwhile.
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.target: Target = self._socket.getsockname()
        host, port = self._socket.getsockname()
        (folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                modules="\n".join(modules),
                user="user root;" if os.geteuid() == 0 else "",  # the folder is private to the test
                folder=folder,
                http=http.replace("LISTEN", f"{host}:{port}"),
                stream=f"stream {{ {stream.replace('LISTEN', f'{host}:{port}')} }}" if stream else "",
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert self._program is not None
        self._process = subprocess.Popen(
            [self._program, "-p", str(self._folder), "-c", "nginx.conf", "-e", "error.log"],
            env=dict(os.environ, NGINX=f"{self._socket.fileno()};"),
            pass_fds=[self._socket.fileno()],
            stdin=subprocess.DEVNULL,
        )
        try:
            self._wait_for_log("start worker process")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._socket.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        if error is not None:
            error.add_note(f"nginx: {self.log()}")
        else:
            assert status == 0, self.log()

    def log(self) -> str:
        """The error log so far."""
        path = self._folder / "error.log"
        return path.read_text(errors="backslashreplace") if path.exists() else ""

    def errors(self) -> list[str]:
        """The lines of the error log that are about errors."""
        return [line for line in self.log().splitlines() if _SERIOUS.search(line)]

    def visitor(self, *, receive_buffer: int | None = None) -> RawClient:
        """A client that connects now, from `VISITOR`."""
        return Visitor(self.target, receive_buffer=receive_buffer)

    def _wait_for_log(self, text: str) -> None:
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while text not in self.log():
            assert self._process.poll() is None, f"nginx has ended: {self.log()}"
            assert time.monotonic() < deadline, f"not within {PATIENCE} s: {text}\n{self.log()}"
            time.sleep(0.01)


class Visitor(RawClient):
    """A client from another address than that of the proxies."""

    def __init__(self, target: Target, *, receive_buffer: int | None = None) -> None:
        super(RawClient, self).__init__(target, receive_buffer=receive_buffer)
        self.socket.settimeout(TIMEOUT)
        self.socket.bind((VISITOR, 0))
        self.socket.connect(target)


def _stream_module(program: str) -> str:
    """The line that loads the stream module; nothing if it is built in."""
    shown = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stderr
    if "--with-stream " in shown:
        return ""
    folder = re.search(r"--modules-path=(\S+)", shown)
    path = Path(folder[1] if folder else "/usr/lib/nginx/modules") / "ngx_stream_module.so"
    if not path.exists():
        raise Missing("nginx has no stream module: apt-get install libnginx-mod-stream")
    return f"load_module {path};"
