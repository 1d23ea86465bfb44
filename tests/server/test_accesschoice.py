"""Filters and handlers that hooks and applications add to the loggers of the access log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aserve import config
from aserve.accesschoice import ChosenLog
from aserve.accesslogger import NAME
from aserve.overseer import open_access_log
from aserve.serverlogger import ACCESS_NAMES, logger
from tests.server.conftest import Script
from tests.server.test_accesslogger import Finished, Kept


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """Have none of them, and leave none."""
    table = logging.root.manager.loggerDict
    before = {name: table.pop(name, None) for name in ACCESS_NAMES}
    yield
    for name, found in before.items():
        table.pop(name, None)
        if found is not None:
            table[name] = found


class Written:
    """The lines in the file of the access log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = config.resolve({"app": "main:app", "access_logfile": str(path)}, {})

    def after(self, *targets: bytes) -> list[str]:
        """Return them once these requests have been logged."""
        log = open_access_log(self.settings)
        assert log is not None
        for target in targets:
            exchange: Any = Finished()
            exchange.target = target
            log.log(exchange)
        log.reopen()
        log.close()
        return [line.split('"')[1] for line in self.path.read_text().splitlines()]


class Without(logging.Filter):
    """Does not want what has a text in its message."""

    def filter(self, record: logging.LogRecord) -> bool:
        return self.name not in record.getMessage()


def failing(_record: logging.LogRecord) -> bool:
    raise KeyError("nothing")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "access.log")


BOTH = ["GET / HTTP/1.1", "GET /health HTTP/1.1"]


@pytest.mark.parametrize(
    ("name", "is_wanted"),
    [
        ("aserve.access", lambda record: record.args["U"] != "/health"),
        ("gunicorn.access", Without("/health")),
        ("uvicorn.access", lambda record: record.args[2] != "/health"),
    ],
)
def test_a_filter_keeps_lines_out(
    name: str, is_wanted: Callable[[logging.LogRecord], bool], written: Written
) -> None:
    logging.getLogger(name).addFilter(is_wanted)
    assert written.after(b"/", b"/health") == BOTH[:1]


def test_every_filter_has_its_say(written: Written) -> None:
    for name in ACCESS_NAMES:
        logging.getLogger(name).addFilter(Without(f"/of-{name}"))
    others = [f"/of-{name}".encode() for name in ACCESS_NAMES]
    assert written.after(*others, b"/health") == BOTH[1:]


@pytest.mark.parametrize("name", ["aserve.access", "gunicorn.access"])
def test_a_filter_makes_secrets_unreadable(name: str, written: Written) -> None:
    def hide(record: logging.LogRecord) -> bool:
        atoms: Any = record.args
        atoms["r"] = atoms["r"].replace("secret", "...")
        return True

    logging.getLogger(name).addFilter(hide)
    logging.getLogger(NAME).addFilter(Without("/health"))
    handler = Kept()
    logging.getLogger(NAME).addHandler(handler)
    assert written.after(b"/?key=secret", b"/health") == ["GET /?key=... HTTP/1.1"]
    assert ["secret" in record.getMessage() for record in handler.records] == [False]


def test_a_logger_alone_changes_nothing(written: Written) -> None:
    """Nor does its level, if it is another server's: applications silence what they have no use for."""
    logging.getLogger("uvicorn.access").setLevel(logging.ERROR)
    assert logger().access_log.name == NAME
    assert not isinstance(open_access_log(written.settings), ChosenLog)
    assert written.after(b"/", b"/health") == BOTH


def test_handlers_get_what_is_logged(written: Written) -> None:
    handler, deaf = Kept(), Kept()
    deaf.setLevel(logging.ERROR)
    access_log = logger().access_log
    access_log.addHandler(handler)
    access_log.addHandler(deaf)
    access_log.addFilter(Without("/health"))
    assert written.after(b"/", b"/health") == BOTH[:1]
    assert [record.getMessage().split('"')[1] for record in handler.records] == BOTH[:1]
    assert deaf.records == []


def test_a_level_of_the_servers_own_silences_it(written: Written) -> None:
    logger().access_log.setLevel("CRITICAL")
    assert open_access_log(written.settings) is None


def test_a_filter_that_fails_is_told_and_costs_no_line(
    written: Written, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aserve.serverlogger._told", set())
    logging.getLogger("gunicorn.access").addFilter(failing)
    assert written.after(b"/", b"/health") == BOTH
    assert capfd.readouterr().err.count("a filter or handler of the access log failed: KeyError") == 1


def test_filters_of_hooks_outlive_a_configuration(script: Script) -> None:
    """It is applied in each worker, after the supervisor's hooks."""
    done = script("""
        import logging
        from aserve import config, logconfig
        from aserve.accesslogger import AccessLogger
        from tests.server.test_accesschoice import Without
        from tests.server.test_accesslogger import Finished, Kept
        table = {
            "version": 1,
            "filters": {"some": {"()": lambda: Without("/some")}},
            "loggers": {"gunicorn.access": {"level": "INFO", "filters": ["some"]}},
        }
        for where in ("gunicorn.access", "aserve.access"):
            logging.getLogger(where).addFilter(Without("/health"))
        settings = config.resolve({"app": "main:app", "log_config_dict": table}, {})
        configured = logging.getLogger("gunicorn.access")
        for _ in range(2):
            logconfig.apply(settings)
            assert len(configured.filters) == 2
        handler = Kept()
        configured.addHandler(handler)
        configured.propagate = False
        log = AccessLogger("gunicorn.access", "%(U)s")
        for target in (b"/", b"/health", b"/some"):
            exchange = Finished()
            exchange.target = target
            log.log(exchange)
        print([record.getMessage() for record in handler.records])
    """)
    assert (done.status, done.out) == (0, "['/']\n"), done


def test_dict_config_does_not_silence_a_configured_logger(script: Script) -> None:
    """It disables the loggers that it is not told of; the server's is made before."""
    done = script("""
        import logging.config
        from aserve.accesslogger import NAME, AccessLogger
        from aserve.serverlogger import logger
        from tests.server.test_accesslogger import Finished, Kept
        handler = Kept()
        logger().access_log.addHandler(handler)
        logging.config.dictConfig({"version": 1})
        AccessLogger(NAME, "%(U)s").log(Finished())
        print(len(handler.records))
    """)
    assert (done.status, done.out) == (0, "1\n"), done
