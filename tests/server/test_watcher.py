"""How the watcher is told that it is time to look (server/watcher.py)."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from aserve.options import Settings
from aserve.watcher import CLOCK_STEP, Notifications, Polling, _tops
from aserve.watchlist import Watchlist

pytest.importorskip("watchfiles", reason="the extra is not installed")


def test_only_what_matters_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").touch()
    watchlist = Watchlist.of(Settings(app="main:app"))
    seen = watchlist.scan()
    hints = Notifications()
    assert hints.cover(seen.folders)
    assert not hints.cover(seen.folders)
    ended = threading.Event()

    def wait() -> None:
        hints.wait(seen)
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    (tmp_path / "database.sqlite").write_text("x")
    assert not ended.wait(0.3)
    (tmp_path / "main.py").write_text("x = 1")
    assert ended.wait(10)
    thread.join()


_TELL = """
import select, sys
from aserve.messages import Changed, Channel
from aserve.options import Settings
from aserve.processes import fork
from aserve.watcher import WatcherProcess
from aserve.watchlist import Watchlist

settings = Settings(app="main:app", reload=True, reload_engine="poll")
ours, theirs = Channel.pair()

def watch():
    ours.close()
    return WatcherProcess(settings, Watchlist.of(settings), float(sys.argv[1]), theirs).run()

fork(watch)
theirs.close()
while True:
    select.select([ours], [], [])
    for message in ours.receive():
        print(message, flush=True)
        if isinstance(message, Changed):
            raise SystemExit
"""


def test_what_has_changed_before_it_began_is_told(tmp_path: Path) -> None:
    """A worker may have read the file before the watcher has looked at it for the first time."""
    (tmp_path / "older.py").touch()
    (tmp_path / "main.py").touch()
    since = (tmp_path / "main.py").stat().st_ctime + 10 * CLOCK_STEP
    while time.time() < since + CLOCK_STEP:
        time.sleep(CLOCK_STEP)
    (tmp_path / "main.py").write_text("x = 1")
    done = subprocess.run(
        [sys.executable, "-c", _TELL, str(since)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "Watching(what='2 files in 1 folder, polling', trouble='')",
        "Changed(what='main.py')",
    ]


def test_a_folder_that_goes_in_that_moment(tmp_path: Path) -> None:
    hints = Notifications()
    assert hints.cover({str(tmp_path / "gone")})  # look again
    assert hints.cover({str(tmp_path)})
    assert not hints.cover({str(tmp_path)})


def test_polling_has_nothing_to_cover(tmp_path: Path) -> None:
    assert not Polling().cover({str(tmp_path)})


def test_the_tops_of_trees() -> None:
    folders = {"/srv/shop", "/srv/shop/cart", "/srv/shop/cart/tests", "/srv/shop2", "/etc"}
    assert _tops(folders) == {"/srv/shop", "/srv/shop2", "/etc"}
    assert _tops({"/", "/srv"}) == {"/"}
