"""What is shown of an error, and the exit status that it leads to."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from aserve import errors
from aserve.adapters.loading import ApplicationLoadError, load_application
from aserve.errors import BootError, UsageError, application_traceback, describe, exit_status


def test_exit_statuses() -> None:
    assert exit_status(UsageError("x")) == 2
    assert exit_status(BootError("x")) == 3
    assert exit_status(ApplicationLoadError("x")) == 4
    assert exit_status(ValueError("x")) == 1
    assert (errors.EXIT_USAGE, errors.EXIT_BOOT, errors.EXIT_LOAD) == (2, 3, 4)


def test_an_error_without_a_cause_is_its_line() -> None:
    assert describe(UsageError("no such thing")) == "no such thing"
    assert describe(ApplicationLoadError("no module named 'x'")) == "no module named 'x'"


def test_the_applications_traceback_begins_with_its_own_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_app.py").write_text("def boot():\n    raise RuntimeError('deliberate')\nboot()\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(ApplicationLoadError) as caught:
        load_application("failing_app:app")
    sys.modules.pop("failing_app", None)
    first, frame, *_ = describe(caught.value).splitlines()
    assert first == "Traceback (most recent call last):"
    assert "failing_app.py" in frame
    assert "line 3" in frame
    assert describe(caught.value).splitlines()[-1] == str(caught.value)
    assert "importlib" not in describe(caught.value)


def test_a_syntax_error_has_no_frames_and_shows_the_line() -> None:
    with pytest.raises(SyntaxError) as caught:
        compile("x = = 1", "app.py", "exec")
    assert 'File "app.py", line 1' in application_traceback(caught.value)
    caught.value.__traceback__ = None
    assert application_traceback(caught.value).startswith('  File "app.py", line 1')
