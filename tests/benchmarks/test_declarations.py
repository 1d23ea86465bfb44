"""Scenarios and servers: that the declarations fit together."""

from __future__ import annotations

import importlib
import string

import pytest

from benchmarks.__main__ import SelectionError, select_scenarios, select_servers
from benchmarks.measures import MEASURES
from benchmarks.results import STATISTICS
from benchmarks.scenarios import SCENARIOS, UPLOAD, Exchange, Scenario
from benchmarks.servers import SERVERS, Interface, Options, Server

VALUES = {
    "app": "module:app",
    "port": 20000,
    "threads": 8,
    "connections": 100,
    "seconds": 600,
    "scripts": "/env/bin",
    "launchers": "/launchers",
}


def test_names_are_unique() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert len({server.name for server in SERVERS}) == len(SERVERS)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_commands_have_no_gaps_left(server: Server) -> None:
    options: tuple[Options, ...] = ("quiet", "access-log", "idle")
    for interface in server.commands:
        for kind in options:
            words = server.arguments(interface, kind, VALUES)
            assert "20000" in " ".join(words)
            assert not any("{" in word or "}" in word for word in words)
        note = server.notes.get(interface, "")
        assert {name for _, name, _, _ in string.Formatter().parse(note) if name} <= {"threads"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenarios_name_a_measure_and_an_application_that_exist(scenario: Scenario) -> None:
    assert scenario.measure in MEASURES
    module, _, attribute = scenario.app.partition(":")
    application = importlib.import_module(f"benchmarks.apps.{module}")
    assert callable(getattr(application, attribute))


@pytest.mark.parametrize("name", MEASURES)
def test_columns_name_a_statistic_that_exists(name: str) -> None:
    assert {column.statistic for column in MEASURES[name].columns} <= set(STATISTICS)
    assert any(column.charted for column in MEASURES[name].columns)


@pytest.mark.parametrize(
    ("server", "interface", "options", "can"),
    [
        ("bjoern", "asgi", "quiet", False),
        ("bjoern", "wsgi", "quiet", True),
        ("bjoern", "wsgi", "access-log", False),
        ("uvicorn", "asgi", "access-log", True),
    ],
)
def test_a_server_takes_part_where_it_can(
    server: str, interface: Interface, options: Options, can: bool
) -> None:
    (found,) = select_servers([server])
    assert found.can(interface, options) is can


def test_the_limit_probe_takes_part_only_where_its_answer_is_the_right_one() -> None:
    (probe,) = select_servers(["limit"])
    assert [scenario.name for scenario in SCENARIOS if scenario.admits(probe)] == ["asgi-get", "wsgi-get"]


def test_selection_keeps_the_order_of_the_list() -> None:
    assert [scenario.name for scenario in select_scenarios(["wsgi-get", "asgi-get"])] == [
        "asgi-get",
        "wsgi-get",
    ]
    assert "aserve-h11" not in [server.name for server in select_servers([])]
    with pytest.raises(SelectionError, match=r"no server 'nginx'; there are: limit, aserve"):
        select_servers(["nginx"])


def test_answers_are_compared() -> None:
    assert Exchange(b"abc").accepts(b"abc")
    assert not Exchange(b"abc").accepts(b"ab")
    assert Exchange(b'{"a": [1, 2]}', json=True).accepts(b'{"a":[1,2]}\n')
    assert not Exchange(b'{"a": [1, 2]}', json=True).accepts(b'{"a":[1]}')
    assert not Exchange(b'{"a": [1, 2]}', json=True).accepts(b"Internal Server Error")


def test_the_upload_is_ten_kilobytes() -> None:
    assert len(UPLOAD) == 10_240
