"""The server's own log: its lines, where they go, and what an application cannot do to them."""

from __future__ import annotations

import logging
import logging.config
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aserve import logs
from aserve.errors import UsageError
from aserve.options import Settings

LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[(\d+)\] \[([A-Z]+)\] (.*)")


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    """Leave the logger as it was."""
    logger = logging.getLogger("aserve")
    before = logger.handlers[:], logger.level, logger.propagate, logger.__class__
    logger.handlers = []
    yield
    for handler in logger.handlers:
        handler.close()
    logger.handlers, logger.level, logger.propagate, logger.__class__ = before


def configure(file: Path, level: str = "info") -> logging.Logger:
    return logs.configure(Settings(app="main:app", error_logfile=str(file), log_level=level))  # type: ignore[arg-type]


def test_lines_look_like_gunicorns(tmp_path: Path) -> None:
    configure(tmp_path / "log").info("worker=%d ready", 0)
    found = LINE.fullmatch((tmp_path / "log").read_text().rstrip("\n"))
    assert found
    assert found.groups() == (str(os.getpid()), "INFO", "worker=0 ready")


def test_what_has_a_format_of_its_own_stands_as_it_is(tmp_path: Path) -> None:
    configure(tmp_path / "log").error("%s", '{"json": 1}\nsecond', extra={"verbatim": True})
    assert (tmp_path / "log").read_text() == '{"json": 1}\nsecond\n'


def test_times_are_local_with_their_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        configure(tmp_path / "log").info("x")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert " +0530] [" in (tmp_path / "log").read_text()


def test_standard_error_is_the_default(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(app="main:app")).warning("careful")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.endswith("[WARNING] careful\n")


def test_files_are_appended_to(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    configure(tmp_path / "log").info("after")
    assert (tmp_path / "log").read_text().startswith("before\n[")


def test_the_level_holds(tmp_path: Path) -> None:
    logger = configure(tmp_path / "log", "error")
    logger.warning("no")
    logger.error("yes")
    assert [line[-3:] for line in (tmp_path / "log").read_text().splitlines()] == ["yes"]


def test_a_second_configuration_replaces_the_first(tmp_path: Path) -> None:
    configure(tmp_path / "first")
    configure(tmp_path / "second").info("x")
    assert (tmp_path / "first").read_text() == ""
    assert (tmp_path / "second").read_text().count("\n") == 1


def test_the_root_logger_does_not_repeat_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    configure(tmp_path / "log").info("x")
    assert caplog.records == []


def test_an_applications_dictconfig_does_not_silence_it(tmp_path: Path) -> None:
    logger = configure(tmp_path / "log")
    logger.info("before")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logging.config.dictConfig({"version": 1, "root": {"level": "WARNING"}})
        logger.info("after")
    finally:
        root.handlers[:], root.level = handlers, level
    assert [line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()] == ["before", "after"]


def test_a_file_that_an_applications_dictconfig_has_closed(tmp_path: Path) -> None:
    """As Django does in each worker; it is opened again by the next line, and no matter before."""
    logger = configure(tmp_path / "log")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        logs.reopen(only_moved=True)
        logs.reopen()
        logger.info("after")
        (tmp_path / "log").rename(tmp_path / "log.1")
        logs.reopen()
        logger.info("later")
    finally:
        root.handlers[:], root.level = handlers, level
    assert (tmp_path / "log.1").read_text().endswith("after\n")
    assert (tmp_path / "log").read_text().endswith("later\n")


def test_what_cannot_be_encoded_is_written_all_the_same(tmp_path: Path) -> None:
    configure(tmp_path / "log").info("path %s", "\udcff")
    assert "path \\udcff" in (tmp_path / "log").read_text()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^--error-logfile: cannot write to '.*': No such file or directory"
    ):
        configure(tmp_path / "no" / "log")
