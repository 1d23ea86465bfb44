"""What is warned of at the start."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from aserve import cautions, config
from tests.conftest import Serve
from tests.reliability.conftest import Code
from tests.reliability.conftest import code as code

IS_ROOT = os.geteuid() == 0


def about(**given: object) -> list[str]:
    """Return the warnings but for the one that root gets."""
    settings = config.resolve({"app": "main:app", "user": str(os.geteuid()), **given}, {})
    return list(cautions.about(settings))


@pytest.mark.parametrize(
    ("given", "beginning"),
    [
        ({"bind": ":8000", "reload": True}, "--reload is for development, and everybody can reach :8000"),
        (
            {"bind": "127.0.0.1:1,[::]:2", "reload": True},
            "--reload is for development, and everybody can reach [::]:2",
        ),
        (
            {"bind": "0.0.0.0:1", "log_level": "debug"},
            "the log level is debug, and everybody can reach 0.0.0.0:1",
        ),
    ],
)
def test_development_for_everybody(given: Mapping[str, object], beginning: str) -> None:
    (line,) = about(**given)
    assert line.startswith(beginning)


@pytest.mark.parametrize(
    "given",
    [
        {"bind": ":8000"},
        {"bind": "127.0.0.1:1,unix:/x", "reload": True, "log_level": "debug"},
        {"bind": ":8000", "log_level": "info"},
    ],
)
def test_no_reason_to_warn(given: Mapping[str, object]) -> None:
    assert about(**given) == []


def test_root_is_warned_once_unless_it_names_a_user(serve: Serve, code: Code) -> None:
    code.wsgi()
    server = serve("main:app")
    warned = [line for line in server.lines("stderr") if "[WARNING] the application runs as root" in line]
    assert len(warned) == IS_ROOT
    named = serve("--user", str(os.geteuid()), "main:app")
    assert not any("runs as root" in line for line in named.lines("stderr"))
