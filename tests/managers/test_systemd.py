"""A restart of a unit with a socket of systemd's, which stays open meanwhile.

systemd-socket-activate opens the socket, and a shell with it starts the server anew whenever it has
ended, as a unit with Restart=always would.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Iterator

import pytest

from tests.managers.load import under_load
from tests.managers.manager import Site, needs
from tests.reliability.load import wait_line
from tests.support import report
from tests.support.process import ServerProcess

UNIT = """
while [ ! -e stopped ]; do
  sh -c 'export LISTEN_PID=$$; exec "$@"' sh "$@"
done
"""


@pytest.fixture
def unit(site: Site, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """The unit, which is started by the first connection."""
    address = f"127.0.0.1:{site.port}"
    prefix = [
        "systemd-socket-activate",
        "-l",
        address,
        "-E",
        "PYTHONDONTWRITEBYTECODE=1",
        "sh",
        "-c",
        UNIT,
        "sh",
    ]
    server = ServerProcess("-w", "2", "main:app", cwd=site.code.folder, bind=None, prefix=prefix)
    report.watch(request, server)
    server.start(ready=False)
    server.wait_line("Listening on ")
    yield server
    (site.code.folder / "stopped").touch()
    os.kill(supervisor(server), signal.SIGTERM)
    server.stop(0)


def supervisor(server: ServerProcess) -> int:
    """Return the pid of the server that was started last."""
    lines = server.lines("stderr")
    return [int(found[1]) for line in lines if (found := re.search(r"starting: .* pid=(\d+) ", line))][-1]


@needs("systemd-socket-activate", "systemd")
@pytest.mark.parametrize(
    ("interface", "number"), [("asgi", signal.SIGTERM), ("wsgi", signal.SIGTERM), ("asgi", signal.SIGKILL)]
)
async def test_restarts(site: Site, unit: ServerProcess, interface: str, number: signal.Signals) -> None:
    """Not one request fails, be it a restart or a crash of the supervisor."""
    versions = ["one", "two", "three"]
    site.code.write(interface, versions[0])
    async with under_load(site.target) as load:
        await wait_line(unit, r"ready: 2 workers in ")
        for version in versions[1:]:
            await asyncio.sleep(0.2)
            site.code.write(interface, version, on_import="time.sleep(0.2)")
            mark = unit.mark()
            os.kill(supervisor(unit), number)
            await asyncio.to_thread(unit.wait_line, r"ready: 2 workers in ", since=mark)
    assert set(load.answers) == set(versions)
