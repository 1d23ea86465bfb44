"""What a plain server loads, from its start to its end, in all its processes: nothing that only others need.

Each of these modules costs every start and every worker. The application tells what its worker has, and with
that what the supervisor had when it forked; the interpreter tells of what is imported after that.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.reliability.conftest import ask
from tests.support.process import clean_environment

TELL = {"PYTHONPROFILEIMPORTTIME": "1"}
APPS = {
    "asgi": """
import sys

async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": " ".join(sys.modules).encode()})
""",
    "wsgi": """
import sys

def app(environ, start_response):
    start_response("200 OK", [])
    return [" ".join(sys.modules).encode()]
""",
}
_IMPORT = re.compile(r"import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)

# For other command lines, configurations and protocols.
OURS = (
    *("accesslog", "capture", "certificates", "command", "completion", "configfile", "configprint", "guest"),
    *("embedding", "equivalents", "gunicornsettings", "logconfig", "logtargets", "metrics", "program"),
    *("pythonfile", "reference", "rewording", "statsd", "syslog", "tomlfile", "uvicornoptions", "watcher"),
    *("watchlist", "workers", "protocols.parser_h11", "protocols.proxy_protocol", "protocols.tls_handshake"),
    *("protocols.websocket", "protocols.x509", "adapters.websocket", "adapters.tornado_group"),
    *("adapters.gevent_runner", "adapters.eventlet_runner", "adapters.requesthooks"),
)
# What these would bring, or what does a small thing in a large way.
OTHERS = (
    *("anyio", "click", "h11", "wsproto", "websockets", "watchfiles", "yaml", "prometheus_client"),
    *("argparse", "ctypes", "datetime", "difflib", "email", "encodings.idna", "gettext", "glob", "hashlib"),
    *("html", "http", "importlib.metadata", "importlib.resources", "logging.config", "logging.handlers"),
    *("multiprocessing", "pathlib", "platform", "pprint", "shlex", "shutil", "tempfile", "tomllib"),
    *("unicodedata", "unittest", "urllib.request", "uuid", "zipfile"),
)


def told(text: str) -> set[str]:
    return set(_IMPORT.findall(text))


@pytest.fixture(scope="module")
def bare() -> set[str]:
    """What the interpreter loads by itself, and what is installed next to us has it load."""
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", ""]
    done = subprocess.run(
        command, env=clean_environment() | TELL, capture_output=True, text=True, check=True, timeout=30
    )
    assert "site" in told(done.stderr)
    return told(done.stderr)


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_only_what_it_needs(serve: Serve, app_dir: Path, bare: set[str], interface: str) -> None:
    (app_dir / "main.py").write_text(APPS[interface])
    server = serve("-k", interface, "main:app", env=TELL)
    loaded = set(ask(server).split())
    assert {"aserve.supervisor", "aserve.protocols.http1", "main"} <= loaded  # of both processes
    server.stop()
    loaded |= told("\n".join(server.lines("stderr")))
    unwanted = {*OTHERS, *(f"aserve.{name}" for name in OURS)}
    assert sorted(loaded & unwanted - bare) == []


@pytest.mark.parametrize("name", OURS)
def test_there_is_such_a_module(name: str) -> None:
    """Or nobody would notice that the test above looks for nothing."""
    assert importlib.util.find_spec(f"aserve.{name}") is not None
