"""Applications and settings that cannot be used: gunicorn says why and stops, instead of trying for ever."""

from __future__ import annotations

import pytest

from tests.gunicorn_worker.conftest import Gunicorn
from tests.reliability.conftest import Code

BOOT, LOAD = 3, 4
"""gunicorn's WORKER_BOOT_ERROR and APP_LOAD_ERROR."""

FAILING_LIFESPAN = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database: a deliberate failure"})
"""


@pytest.mark.parametrize(
    ("source", "interface", "line", "status"),
    [
        ("raise RuntimeError('deliberate')", "asgi", "RuntimeError: deliberate", BOOT),
        ("raise SystemExit('no key: deliberate')", "wsgi", "ended its import: SystemExit: no key", BOOT),
        ("import no_such_module  # deliberate", "wsgi", "No module named 'no_such_module'", BOOT),
        ("other = None", "asgi", "Failed to find attribute 'app' in 'main'", LOAD),
        (FAILING_LIFESPAN, "asgi", "no database: a deliberate failure", BOOT),
        (
            "def app(environ, start_response): pass",
            "asgi",
            "this is no ASGI application: serve it with -k aserve.workers.WSGIWorker",
            LOAD,
        ),
        (
            "async def app(scope, receive, send): pass",
            "wsgi",
            "this is no WSGI application: serve it with -k aserve.workers.ASGIWorker",
            LOAD,
        ),
    ],
    ids=["import", "exit", "module", "attribute", "lifespan", "wsgi", "asgi"],
)
def test_an_application_that_fails(
    gunicorn: Gunicorn, code: Code, source: str, interface: str, line: str, status: int
) -> None:
    code.broken(source)
    server = gunicorn("main:app", interface=interface, ready=False)
    server.allowed_tracebacks += ["ModuleNotFoundError"]
    server.wait_line(line, stream="stderr")
    server.stop(0, status=status)
    assert not [text for text in server.lines("stderr") if "Worker ready" in text]


def test_a_setting_that_cannot_be_used(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    server = gunicorn("main:app", interface="asgi", env={"ASERVE_WS_MAX_SIZE": "much"}, ready=False)
    server.wait_line(r"^Error: ASERVE_WS_MAX_SIZE: 'much' is not a size", stream="stderr")
    server.stop(0, status=1)


def test_what_has_no_effect_is_said(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    server = gunicorn(
        *("--keep-alive", "7", "--strip-header-spaces", "main:app"),
        interface="asgi",
        env={"ASERVE_WORKERS": "4", "ASERVE_KEEP_ALIVE": "9"},
    )
    said = "\n".join(server.lines("stderr"))
    assert "[WARNING] ASERVE_WORKERS has no effect under gunicorn" in said
    assert "[WARNING] ASERVE_KEEP_ALIVE has no effect: gunicorn's keepalive is set as well" in said
    assert "[WARNING] gunicorn's strip_header_spaces has no effect: such requests are refused" in said


def test_a_class_that_was_made_for_uvicorns_worker_is_told_what_to_do(gunicorn: Gunicorn, code: Code) -> None:
    code.asgi()
    (code.folder / "own.py").write_text(
        "from aserve.workers import ASGIWorker\n"
        "class Own(ASGIWorker):\n"
        "    CONFIG_KWARGS = {'loop': 'asyncio', 'ws_ping_timeout': 5, 'log_config': {}}\n"
    )
    (code.folder / "gunicorn.conf.py").write_text("worker_class = 'own.Own'\n")
    said = "\n".join(gunicorn("main:app").lines("stderr"))
    assert "[WARNING] Own: CONFIG_KWARGS has no effect: set ASERVE_LOOP, ASERVE_WS_PING_TIMEOUT\n" in said
