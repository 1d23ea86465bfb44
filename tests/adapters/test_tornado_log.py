"""Where Tornado's log lines go: to the error log, or to whoever the application has asked to take them."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

import pytest

from aserve.adapters import tornado_log

NAMES = ("tornado", "tornado.access", "tornado.application", "tornado.general")


@contextlib.contextmanager
def error_log() -> Iterator[io.StringIO]:
    """What the error log gets, while nobody else listens; all loggers are as they were afterwards.

    No fixture: while a test is called, pytest listens itself.
    """
    stream = io.StringIO()
    ours = logging.getLogger("aserve")
    loggers = [logging.getLogger(), ours, *map(logging.getLogger, NAMES)]
    before = [(each, each.handlers[:], each.propagate, each.level) for each in loggers]
    for logger in loggers:
        logger.handlers.clear()
        logger.disabled = False  # as other tests' dictConfig() leaves what was there before
    ours.addHandler(logging.StreamHandler(stream))
    ours.propagate = False
    ours.setLevel("INFO")
    tornado_log.connect()
    tornado_log.connect()  # the second time does nothing
    try:
        yield stream
    finally:
        for logger, handlers, propagate, level in before:
            logger.handlers[:] = handlers
            logger.propagate = propagate
            logger.setLevel(level)


def test_what_nobody_else_handles_goes_to_the_error_log() -> None:
    with error_log() as heard:
        logging.getLogger("tornado.application").error("failed: %s", "this")
        logging.getLogger("tornado.general").warning("and that")
        logging.getLogger("tornado.general").info("not asked for")  # by Python's own default
        assert heard.getvalue().splitlines() == ["failed: this", "and that"]


@pytest.mark.parametrize("name", ["", "tornado", "tornado.application"])
def test_what_the_application_handles_does_not(name: str) -> None:
    with error_log() as heard:
        stream = io.StringIO()
        logging.getLogger(name).addHandler(logging.StreamHandler(stream))
        logging.getLogger("tornado.application").error("failed")
        assert stream.getvalue() == "failed\n"
        assert heard.getvalue() == ""


def test_the_level_of_the_error_log_holds() -> None:
    with error_log() as heard:
        logging.getLogger("aserve").setLevel("CRITICAL")
        logging.getLogger("tornado.application").error("failed")
        assert heard.getvalue() == ""


def test_our_access_log_takes_the_place_of_tornados() -> None:
    with error_log() as heard:
        access = logging.getLogger("tornado.access")
        access.warning("404 GET /before")
        tornado_log.replace_access_log()
        access.warning("404 GET /")
        own = io.StringIO()
        access.addHandler(logging.StreamHandler(own))  # of somebody who wants it all the same
        access.warning("404 GET /own")
        assert heard.getvalue() == "404 GET /before\n"
        assert own.getvalue() == "404 GET /own\n"
