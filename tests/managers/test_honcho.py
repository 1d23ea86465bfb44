"""honcho, which stands for all that read a Procfile: foreman, Heroku and its like."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.managers.manager import EXAMPLES, Manager, Site, Start, needs_proc

pytest.importorskip("honcho", reason="needs honcho")
pytestmark = needs_proc

TERMINATED = 128 + signal.SIGTERM


def honcho(manage: Start, site: Site, status: int = TERMINATED) -> Manager:
    folder = site.code.folder
    (folder / "fastapi_app.py").symlink_to(folder / "main.py")
    path = f"{site.folder}:/usr/bin:/bin"
    arguments = ("-f", str(EXAMPLES / "Procfile"), "start", "-p", str(site.port))
    env = {"PATH": path, "WEB_CONCURRENCY": "2"}
    return manage(sys.executable, "-m", "honcho", *arguments, cwd=folder, env=env, status=status)


def test_a_procfile(manage: Start, site: Site) -> None:
    """PORT says where, WEB_CONCURRENCY how many; TERM goes to all processes, and requests are finished."""
    manager = honcho(manage, site)
    manager.wait_line(rf"web\.1 .*listening on http://0\.0\.0\.0:{site.port}$")
    manager.wait_line(r"ready: 2 workers in ")
    assert site.ask() == "one"
    manager.wait_line(r'web\.1 .*"GET / HTTP/1\.1" 200 ')
    with site.begin("/wait") as client:
        manager.signal(signal.SIGTERM)
        manager.wait_line("worker=. .* draining$")
        site.code.go()
        assert b"one" in client.read_until_closed()
    assert manager.wait() == TERMINATED
    assert manager.tracebacks() == []


def test_code_that_does_not_start(manage: Start, site: Site) -> None:
    site.code.broken("raise RuntimeError('deliberate')")
    manager = honcho(manage, site, status=4)
    manager.wait_line("RuntimeError: deliberate")
    manager.wait_line(r"web\.1 stopped \(rc=4\)")
    assert manager.wait() == 4
