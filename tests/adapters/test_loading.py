"""Loading the application: what is found, and what the user is told when it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aserve.adapters.loading import ApplicationLoadError, load_application

SOURCE = """
class Place:
    app = "dotted"
    @property
    def late(self):
        raise ValueError("no settings")
    @property
    def wrong(self):
        return self.nothing
app = "app"
place = Place()
def make():
    return "made"
def configured(kind, *, debug=None):
    return f"{kind} {debug}"
Place.configured = staticmethod(configured)
async def slowly():
    return "made"
def broken():
    raise ValueError("no database")
number = 1
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules to load from; forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    (tmp_path / "loadable.py").write_text(SOURCE)
    (tmp_path / "both.py").write_text("application = 'application'\napp = 'app'\n")
    (tmp_path / "nothing.py").write_text("apps = 1\n")
    (tmp_path / "raises.py").write_text("raise RuntimeError('at import')\n")
    (tmp_path / "wordy.py").write_text("raise ValueError('2 errors\\na\\n  missing')\n")
    (tmp_path / "lazy.py").write_text("def __getattr__(name):\n    raise RuntimeError('late')\n")
    (tmp_path / "exits.py").write_text("raise SystemExit(7)\n")
    (tmp_path / "lacks.py").write_text("import no_such_dependency\n")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("app = 'inner'\n")
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("spec", "factory", "found"),
    [
        ("loadable:app", False, "app"),
        ("loadable:place.app", False, "dotted"),
        ("loadable:make()", False, "made"),
        ("loadable:configured('a:b/c(d)')", False, "a:b/c(d) None"),
        ("loadable:configured('production', debug=[1, True])", False, "production [1, True]"),
        ("loadable:place.configured({'a': -1})", True, "{'a': -1} None"),
        ("loadable:make", True, "made"),
        ("loadable:make() ", False, "made"),
        ("loadable", False, "app"),
        ("both", False, "application"),
        ("package.inner:app", False, "inner"),
    ],
)
def test_found(spec: str, factory: bool, found: str) -> None:
    assert load_application(spec, factory) == found


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("absent:app", "no module named 'absent'"),
        ("package.absent:app", "no module named 'package.absent'"),
        ("loadable:ap", "did you mean 'app'"),
        ("loadable:place.ap", "has no attribute 'place.ap'"),
        ("nothing", "neither 'application' nor 'app'"),
        ("calendar:app", "'app': this is Python's own module of that name, rename yours"),
        ("calendar", "neither 'application' nor 'app': this is Python's own module"),
        ("loadable.py:app", "write loadable:app"),
        ("package/inner.py", "write package.inner:app"),
        (":app", "MODULE:ATTRIBUTE"),
        ("loadable:", "MODULE:ATTRIBUTE"),
        ("loadable:number()", "no application factory"),
        (
            "loadable:make(app)",
            "is no call of a factory with plain values: write MODULE:FACTORY(), or one as in",
        ),
        ("loadable:make('x'", "is no call of a factory with plain values"),
        ("loadable:make('x') or app", "is no call of a factory with plain values"),
        ("loadable:make(__import__('os'))", "is no call of a factory with plain values"),
        ("loadable:make(**{'a': 1})", "is no call of a factory with plain values"),
        ("loadable:make()('x')", "has no attribute 'make()'"),
        ("loadable:slowly()", "is async: make it a plain function"),
    ],
)
def test_not_found(spec: str, message: str) -> None:
    with pytest.raises(ApplicationLoadError) as caught:
        load_application(spec)
    assert message in str(caught.value)
    assert caught.value.cause is None


@pytest.mark.parametrize(
    ("spec", "message", "cause"),
    [
        ("raises:app", "RuntimeError: at import", RuntimeError),
        ("exits:app", "SystemExit: 7", SystemExit),
        ("lacks:app", "'no_such_dependency': is it installed for /", ModuleNotFoundError),
        ("wordy:app", "ValueError: 2 errors", ValueError),
        ("loadable:broken()", "ValueError: no database", ValueError),
        ("loadable:place.late", "looking up 'late' failed: ValueError: no settings", ValueError),
        ("loadable:place.wrong", "has no attribute 'nothing'", AttributeError),
        ("lazy:app", "looking up 'app' failed: RuntimeError: late", RuntimeError),
        ("lazy", "RuntimeError: late", RuntimeError),
    ],
)
def test_the_applications_own_errors(spec: str, message: str, cause: type[BaseException]) -> None:
    with pytest.raises(ApplicationLoadError) as caught:
        load_application(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)  # the traceback has all of it
    assert isinstance(caught.value.cause, cause)
