"""What goes from applications to the error log."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from aserve.adapters.errorlog import ErrorStream, log_exception


@pytest.fixture(autouse=True)
def errors(caplog: pytest.LogCaptureFixture) -> None:
    """Errors are what is captured."""
    caplog.set_level(logging.ERROR, "aserve")


def test_the_traceback_begins_with_the_application(caplog: pytest.LogCaptureFixture) -> None:
    server: dict[str, Any] = {"__name__": "aserve.server_side"}
    exec("def server_side(app):\n    app()", server)

    def application() -> None:
        raise ValueError("no database")

    try:
        server["server_side"](application)
    except ValueError as error:
        while (
            error.__traceback__ is not None and error.__traceback__.tb_frame.f_code.co_name != "server_side"
        ):
            error.__traceback__ = error.__traceback__.tb_next
        log_exception("GET /x", error)
    assert "exception in the application: GET /x" in caplog.text
    assert "in application\n" in caplog.text
    assert "ValueError: no database" in caplog.text
    assert "server_side" not in caplog.text


def test_error_stream_logs_whole_lines_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    """PEP 3333, Input and Error Streams."""
    stream = ErrorStream()
    assert stream.write("one\ntw") == 6
    stream.writelines(["o\n", "three %s\nfour\nfive"])
    stream.flush()
    stream.flush()
    assert caplog.messages == ["one", "two", "three %s\nfour", "five"]
    assert all(record.__dict__["verbatim"] for record in caplog.records)
