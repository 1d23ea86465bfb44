"""What the settings are as objects (server/declaration.py): what a frozen dataclass would be."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from aserve.hooks import NO_HOOKS, Hooks
from aserve.options import OPTIONS, Settings


def test_defaults_and_keywords() -> None:
    settings = Settings(app="main:app", workers=3)
    assert (settings.app, settings.workers, settings.backlog) == ("main:app", 3, 2048)
    assert settings.threads >= 5  # made anew for each
    names = [field.name for field in dataclasses.fields(settings)]
    assert list(vars(settings)) != [] and set(vars(settings)) == set(names)
    assert {option.name for option in OPTIONS} <= set(names)


def test_no_other_keywords() -> None:
    wrong: dict[str, Any] = {"wokers": 3, "aap": "x"}
    with pytest.raises(TypeError, match="Settings has no aap, wokers"):
        Settings(**wrong)


def test_nothing_can_be_changed() -> None:
    settings = Settings(workers=3)
    for name in ("workers", "wokers"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(settings, name, 4)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'workers'"):
        del settings.workers
    assert settings.workers == 3


def test_changed_copies() -> None:
    first = Settings(app="main:app")
    second = dataclasses.replace(first, workers=2)
    assert (second.app, second.workers, first.workers) == ("main:app", 2, 1)


def test_equal_is_what_has_equal_values() -> None:
    assert Settings(workers=2) == Settings(workers=2)
    assert Settings(workers=2) != Settings()
    assert Settings() != "settings"
    # What has no value of its own is not compared.
    assert Settings(hooks=Hooks()) == Settings(hooks=NO_HOOKS, application=print)


def test_shown_with_all_that_may_be_seen() -> None:
    text = repr(Settings(app="main:app", application=print))
    assert text.startswith("Settings(") and "app='main:app'" in text and "workers=1" in text
    assert "hooks=" not in text and "application=" not in text
