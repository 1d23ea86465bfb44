"""Where settings come from, and which place wins."""

from __future__ import annotations

import pytest

from aserve import config
from aserve.errors import EXIT_USAGE, UsageError

APP = {"app": "main:app"}


def test_the_environment_overrules_the_default_and_the_command_line_both() -> None:
    assert config.resolve(APP, {}).workers == 1
    assert config.resolve(APP, {"ASERVE_WORKERS": "2"}).workers == 2
    assert config.resolve(APP | {"workers": "3"}, {"ASERVE_WORKERS": "2"}).workers == 3


def test_well_known_variables_give_way_to_ours() -> None:
    assert config.resolve(APP, {"WEB_CONCURRENCY": "4"}).workers == 4
    assert config.resolve(APP, {"WEB_CONCURRENCY": "4", "ASERVE_WORKERS": "2"}).workers == 2


def test_script_name_mounts_as_under_gunicorn() -> None:
    assert config.resolve(APP, {"SCRIPT_NAME": "/api/"}).root_path == "/api"
    assert config.resolve(APP, {"SCRIPT_NAME": "/api", "ASERVE_ROOT_PATH": "/v2"}).root_path == "/v2"


def test_port_listens_for_everybody_as_platforms_expect() -> None:
    assert [str(bind) for bind in config.resolve(APP, {"PORT": "5000"}).bind] == ["0.0.0.0:5000"]
    assert [str(bind) for bind in config.resolve(APP | {"bind": ":1"}, {"PORT": "5000"}).bind] == [":1"]


def test_lists_replace_each_other() -> None:
    environ = {"ASERVE_BIND": "127.0.0.1:1, unix:/x", "ASERVE_PYTHONPATH": "a,b"}
    settings = config.resolve(APP, environ)
    assert [str(bind) for bind in settings.bind] == ["127.0.0.1:1", "unix:/x"]
    assert settings.pythonpath == ("a", "b")
    assert [str(bind) for bind in config.resolve(APP | {"bind": ["[::1]:2"]}, environ).bind] == ["[::1]:2"]


def test_flags_from_the_environment() -> None:
    assert config.resolve(APP, {"ASERVE_FACTORY": "yes"}).factory is True
    assert config.resolve(APP, {"ASERVE_FACTORY": "0"}).factory is False


def test_empty_variables_count_as_not_set() -> None:
    environ = {"ASERVE_WORKERS": "", "WEB_CONCURRENCY": " ", "ASERVE_BIND": "", "PORT": ""}
    assert config.resolve(APP, environ) == config.resolve(APP, {})


def test_variables_of_kubernetes_services_are_not_ours() -> None:
    environ = {"ASERVE_PORT": "tcp://10.0.0.1:80", "ASERVE_SERVICE_HOST": "10.0.0.1"}
    assert config.resolve(APP, environ) == config.resolve(APP, {})


def test_the_application_may_come_from_the_environment() -> None:
    assert config.resolve({}, {"ASERVE_APP": "site:app"}).app == "site:app"


@pytest.mark.parametrize(
    ("cli", "environ", "message"),
    [
        ({"workers": "x"}, {}, "--workers: 'x' is not a whole number"),
        ({}, {"ASERVE_WORKERS": "x"}, "ASERVE_WORKERS: 'x' is not a whole number"),
        ({}, {"WEB_CONCURRENCY": "x"}, "WEB_CONCURRENCY: 'x' is not a whole number"),
        ({}, {"PORT": "http"}, "PORT: '0.0.0.0:http' has no port"),
        ({"bind": ":1,0.0.0.0:1"}, {}, "--bind: '0.0.0.0:1' is given twice: write it once"),
        ({}, {"ASERVE_BIND": "unix:/x,unix:/x"}, "ASERVE_BIND: 'unix:/x' is given twice"),
        ({"app": " "}, {}, "APP: ' ' is not a text"),
    ],
)
def test_errors_name_the_place(cli: dict[str, object], environ: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        config.resolve(APP | cli, environ)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert caught.value.status == EXIT_USAGE


def test_two_free_ports_are_two_addresses() -> None:
    assert len(config.resolve(APP | {"bind": "127.0.0.1:0,127.0.0.1:0"}, {}).bind) == 2


def test_an_application_is_needed() -> None:
    with pytest.raises(UsageError, match="no application is named: write its module and attribute"):
        config.resolve({}, {})


def test_an_unknown_name_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        config.resolve(APP | {"wrokers": 2}, {})


def test_keywords_are_above_all_others_and_named() -> None:
    environ = {"ASERVE_WORKERS": "2"}
    assert config.resolve(APP, environ, keywords={"workers": 4, "bind": [":1"]}).workers == 4
    with pytest.raises(UsageError, match=r"^workers: 'x' is not a whole number"):
        config.resolve(APP, environ, keywords={"workers": "x"})
    with pytest.raises(UsageError, match=r"^there is no setting 'wrokers': did you mean 'workers'\?$"):
        config.resolve(APP, environ, keywords={"wrokers": 2})
