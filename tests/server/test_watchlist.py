"""Which files a reload depends on (server/watchlist.py), with real files and folders."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest

from aserve.options import Settings
from aserve.watchlist import Pattern, Watchlist


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with some of everything."""
    for name in (
        *("main.py", "page.html", ".env", ".hidden.py", "main.py~", "main.pyc", "flycheck_main.py"),
        *("cart/models.py", "cart/tests/test_models.py", "cart/__pycache__/models.py"),
        *("templates/a.html", "templates/mail/b.txt", "templates/mail/.b.txt.swp"),
        *(".venv/x.py", "env/pyvenv.cfg", "env/lib/x.py", "frontend/node_modules/x.py", "frontend/build.py"),
        *("lib/site-packages/x.py", ".git/hooks/x.py", "conf/a.yaml", "conf/deep/b.yaml"),
    ):
        file = tmp_path / "shop" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"


def found(**settings: object) -> set[str]:
    """Return the files that count, as seen from the working folder."""
    chosen = dataclasses.replace(Settings(app="main:app", reload=True), **settings)  # type: ignore[arg-type]
    return {os.path.relpath(path) for path in Watchlist.of(chosen).scan().files}


SOURCES = {"main.py", "cart/models.py", "cart/tests/test_models.py", "frontend/build.py"}


def test_the_sources_below_the_working_folder() -> None:
    assert found() == SOURCES


def test_and_of_the_python_path(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "tools.py").touch()
    assert found(pythonpath=("../more",)) == {*SOURCES, "../more/tools.py"}


def test_named_folders_take_their_place() -> None:
    assert found(reload_dirs=("cart/tests", "templates")) == {"cart/tests/test_models.py"}
    assert found(reload_dirs=(".venv",)) == {".venv/x.py"}  # hidden or not


@pytest.mark.parametrize(
    ("patterns", "more"),
    [
        (("*.html",), {"page.html", "templates/a.html"}),
        (("templates/*.html",), {"templates/a.html"}),
        (("templates",), {"templates/a.html", "templates/mail/b.txt"}),
        (("templates/**/*.txt",), {"templates/mail/b.txt"}),
        (("mail/b.*",), {"templates/mail/b.txt"}),
        (("./templates/a.html",), {"templates/a.html"}),
        ((".env",), {".env"}),
        ((".env*", "*.yaml"), {".env", "conf/a.yaml", "conf/deep/b.yaml"}),
        (("*.py*",), set()),
    ],
)
def test_includes(patterns: tuple[str, ...], more: set[str]) -> None:
    assert found(reload_includes=patterns) == SOURCES | more


@pytest.mark.parametrize(
    ("patterns", "less"),
    [
        (("test_*.py",), {"cart/tests/test_models.py"}),
        (("tests",), {"cart/tests/test_models.py"}),
        (("cart/tests/",), {"cart/tests/test_models.py"}),
        (("cart/*",), {"cart/models.py", "cart/tests/test_models.py"}),
        (("cart/**/test_*.py", "build.py"), {"cart/tests/test_models.py", "frontend/build.py"}),
        (("*.py",), SOURCES),
    ],
)
def test_excludes(patterns: tuple[str, ...], less: set[str]) -> None:
    assert found(reload_excludes=patterns) == SOURCES - less


def test_excludes_with_a_path(shop: Path) -> None:
    assert found(reload_excludes=(str(shop / "cart"), "../shop/main.py")) == {"frontend/build.py"}


def test_an_exclude_wins_over_an_include() -> None:
    assert found(reload_includes=("*.html",), reload_excludes=("templates",)) == {*SOURCES, "page.html"}


@pytest.mark.parametrize(
    ("extra", "more"),
    [
        (".env", {".env"}),
        ("templates", {"templates/a.html", "templates/mail/b.txt"}),
        ("conf/*.yaml", {"conf/a.yaml"}),
        ("conf/**/*.yaml", {"conf/a.yaml", "conf/deep/b.yaml"}),
        ("../shop/conf/?.yaml", {"conf/a.yaml"}),
        ("conf/none.yaml", set()),
        ("nowhere/none.yaml", set()),
        ("nowhere/*.yaml", set()),
    ],
)
def test_extras(extra: str, more: set[str]) -> None:
    assert found(reload_extra_files=(extra,)) == SOURCES | more


def test_links_are_followed_but_not_in_circles(shop: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.py").touch()
    (shop / "cart" / "again").symlink_to(shop)
    (shop / "self.py").symlink_to("self.py")
    (shop / "linked").symlink_to(elsewhere)
    (shop / "near.py").symlink_to(tmp_path / "apart" / "real.py")
    assert found() == {*SOURCES, "linked/far.py"}
    (tmp_path / "apart").mkdir()
    (tmp_path / "apart" / "real.py").touch()
    seen = Watchlist.of(Settings(app="main:app")).scan()
    assert str(shop / "near.py") in seen.files
    assert {str(elsewhere), str(tmp_path / "apart")} <= seen.folders
    assert seen.concerns(str(tmp_path / "apart" / "real.py"))


def test_what_has_changed(shop: Path) -> None:
    watchlist = Watchlist.of(Settings(app="main:app"))
    before = watchlist.scan()
    assert before.differences(watchlist.scan()) == set()
    (shop / "main.py").write_text("x = 1")
    (shop / "new.py").touch()
    (shop / "cart" / "models.py").unlink()
    (shop / "frontend" / "build.py").chmod(0o600)  # no change of what is in it
    after = watchlist.scan()
    assert before.differences(after) == {str(shop / name) for name in ("main.py", "new.py", "cart/models.py")}
    assert watchlist.named(before.differences(after)) == "cart/models.py, main.py, new.py"
    # Saved by another file in its place, with the same size and time
    kept = (shop / "main.py").stat()
    (shop / "main.py.new").write_text("x = 2")
    os.utime(shop / "main.py.new", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    (shop / "main.py.new").replace(shop / "main.py")
    assert after.differences(watchlist.scan()) == {str(shop / "main.py")}


def test_what_was_changed_since(shop: Path) -> None:
    watchlist = Watchlist.of(Settings(app="main:app"))
    since = time.time() + 60
    assert watchlist.scan(since).fresh == set()
    os.utime(shop / "main.py", (since, since))
    assert watchlist.scan(since).fresh == {str(shop / "main.py")}
    assert watchlist.scan().fresh == set()


def test_what_is_missing_is_looked_for_again(shop: Path) -> None:
    def incomplete(**settings: object) -> bool:
        chosen = dataclasses.replace(Settings(app="main:app"), **settings)  # type: ignore[arg-type]
        return Watchlist.of(chosen).scan().incomplete

    assert not incomplete()
    assert incomplete(reload_dirs=("gone",))
    assert incomplete(reload_extra_files=("gone/x.toml",))
    assert not incomplete(reload_extra_files=("x.toml",))  # its folder tells when it comes


def test_what_notifications_are_worth_a_look(shop: Path) -> None:
    settings = Settings(
        app="main:app", reload_includes=("*.html",), reload_extra_files=("templates", "conf/*.yaml", "x.toml")
    )
    seen = Watchlist.of(settings).scan()
    for name in ("main.py", "new.html", "templates/new.css", "conf/c.yaml", "x.toml", "cart"):
        assert seen.concerns(str(shop / name)), name
    for name in ("database.sqlite", "shop.log", "main.py~", "cart/4913", "4913"):
        assert not seen.concerns(str(shop / name)), name
    (shop / "new").mkdir()
    assert seen.concerns(str(shop / "new"))


def test_names_are_few_and_harmless(shop: Path) -> None:
    watchlist = Watchlist.of(Settings(app="main:app"))
    paths = [str(shop / f"{number}.py") for number in range(5)]
    assert watchlist.named(paths) == "0.py, 1.py, 2.py and 2 more"
    assert watchlist.named(["/etc/a.py", str(shop / "b\n[INFO] forged.py")]) == (
        "/etc/a.py, 'b\\n[INFO] forged.py'"
    )


def test_two_are_equal_if_they_mean_the_same(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Watchlist.of(Settings(app="main:app", reload_dirs=("cart",)))
    assert first == Watchlist.of(Settings(app="other:app", reload_dirs=("./cart/",)))
    assert first != Watchlist.of(Settings(app="main:app", reload_dirs=("cart",), reload_engine="poll"))
    monkeypatch.chdir(shop / "conf")
    assert first != Watchlist.of(Settings(app="main:app", reload_dirs=("cart",)))


def test_the_fixed_part_of_a_pattern() -> None:
    assert Pattern("/srv/shop/*.py").fixed == "/srv/shop"
    assert Pattern("/*.py").fixed == "/"
    assert Pattern("/srv/main.py").fixed == "/srv/main.py"
