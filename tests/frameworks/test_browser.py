"""A browser's WebSocket: headless Chromium on a page that a FastAPI application serves."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.pool import FLAVOURS, ServerPool
from tests.support.site import Site

REQUIRED = "TEST_CHROMIUM"
"""If this variable is "required", a missing browser is a failure; otherwise its test is skipped."""

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find_browser() -> str:
    """Return Chromium's path, or skip the test."""
    for name in NAMES:
        if (found := shutil.which(name)) is not None:
            return found
    reason = f"no Chromium: none of {', '.join(NAMES)} is installed"
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{REQUIRED} is set, but {reason}")
    pytest.skip(reason)


@contextmanager
def browser(page: str, folder: Path) -> Iterator[None]:
    """Have Chromium open a page."""
    command = [
        find_browser(),
        "--headless",
        "--no-sandbox",  # which root cannot have
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-proxy-server",
        f"--user-data-dir={folder}",
        "--remote-debugging-port=0",  # or it ends at once
        page,
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        except BaseException as error:
            error.add_note((folder / "log").read_text(errors="replace")[-2000:])
            raise
        finally:
            process.terminate()
            process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # not all of its own processes end with it


@pytest.mark.slow
async def test_chromium(pool: ServerPool, tmp_path: Path) -> None:
    """Text, binary, the subprotocol, compression and the closing handshake, as a page sees them."""
    async with Site(pool.get("websocket_app:fastapi", FLAVOURS[0])) as site:
        with browser(site.server.url, tmp_path):
            async with asyncio.timeout(60):
                while not (reports := (await site.http.get("/report")).json()):
                    await asyncio.sleep(0.1)
    assert [json.loads(report) for report in reports] == [
        [
            "chat",
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
            "gr\u00fc\u00df dich",
            *(100_000, True),
            *(4000, "", True),
        ]
    ]
