"""--print-config: all settings, where each comes from, and nothing that is secret."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from aserve import config, configprint
from aserve.options import OPTIONS, SECTIONS
from tests.server.command import aserve


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def printed(
    cli: Mapping[str, object], environ: Mapping[str, str] | None = None, **keywords: object
) -> list[str]:
    found = config.resolution({"print_config": "1", **cli}, environ or {}, keywords)
    return configprint.text(found).splitlines()


def test_each_place_has_its_name() -> None:
    Path("aserve.toml").write_text("\nworkers = 2\nbacklog = 7\n")
    lines = printed(
        {"app": "main:app", "timeout": "9"},
        {"ASERVE_BACKLOG": "8", "PORT": "5000"},
        keep_alive=3,
    )
    for line in (
        'app = "main:app"  # command line: APP',
        "workers = 2  # aserve.toml:2",
        "backlog = 8  # environment: ASERVE_BACKLOG",
        'bind = ["0.0.0.0:5000"]  # environment: PORT',
        "timeout = 9  # command line: --timeout",
        "keep_alive = 3  # keyword: keep_alive",
        "graceful_timeout = 30  # default",
        "# pidfile = none  # default",
        '# config = "aserve.toml"  # working directory',
    ):
        assert line in lines


def test_gunicorns_file_and_variable() -> None:
    Path("conf.py").write_text("workers = 2\ndef post_fork(server, worker): pass\n")
    lines = printed({"config": "conf.py"}, {"GUNICORN_CMD_ARGS": "--backlog 7"})
    assert "workers = 2  # conf.py:1" in lines
    assert "backlog = 7  # environment: GUNICORN_CMD_ARGS" in lines
    assert lines[-2:] == ["# Hooks", "# post_fork  # conf.py"]


def test_it_has_every_option_by_section() -> None:
    lines = printed({})
    assert [line[2:] for line in lines if line.startswith("# ") and "  # " not in line] == [
        section for section in SECTIONS if any(option.section == section for option in OPTIONS)
    ]
    names = [line.removeprefix("# ").partition(" = ")[0] for line in lines if " = " in line]
    assert names == [option.name for option in OPTIONS]


@pytest.mark.parametrize("statsd", ["[::1]:8125", "unix:///run/statsd"])
def test_what_is_printed_can_be_read_again(statsd: str) -> None:
    given: dict[str, object] = {
        "app": "main:app",
        "bind": ["127.0.0.1:1", "unix:/x y"],
        "umask": "027",
        "header": ["X-A:b, c"],
        "secure_scheme_headers": "X-Scheme:https",
        "forwarded_allow_ips": "none",
        "access_log_format": '%(h)s "%(r)s" \\',
        "queue_target": "0.25",
        "worker_class": "uvicorn.workers.UvicornH11Worker",
        "statsd_host": statsd,
    }
    Path("other.toml").write_text("")
    first = config.resolution({**given, "config": "other.toml", "print_config": True}, {}, {})
    text = configprint.text(first)
    assert tomllib.loads(text)["umask"] == "027"
    Path("aserve.toml").write_text(text)
    second = config.resolution({}, {}, {})
    assert second.remarks == ("configuration file found: aserve.toml",)
    assert second.settings == dataclasses.replace(first.settings, config="aserve.toml", print_config=False), (
        "it would be printed, and never served"
    )


def test_secrets_are_masked() -> None:
    lines = printed({"raw_env": ["DATABASE_URL=postgres://shop:geheim@db/shop", "B=geheim"]})
    assert '# raw_env = ["DATABASE_URL=********", "B=********"]  # command line: --env' in lines
    assert "geheim" not in "\n".join(lines)
    address = OPTIONS[0]._replace(name="metrics")
    assert configprint.line(address, ("localhost", 8125), "x") == 'metrics = "localhost:8125"  # x'
    logging = {"handlers": {"mail": {"mailhost": "x", "credentials": ["shop", "geheim"]}}}
    (line,) = (line for line in printed({"log_config_dict": logging}) if "log_config_dict" in line)
    assert line == (
        '# log_config_dict = { handlers = { mail = { mailhost = "x", credentials = "********" } } }'
        "  # command line: --log-config-dict"
    )
    password = OPTIONS[0]._replace(name="keyfile_password")
    assert configprint.line(password, "geheim", "x.toml:1") == "# keyfile_password = ********  # x.toml:1"


def test_the_command_prints_and_ends(tmp_path: Path) -> None:
    Path("aserve.toml").write_text("workers = 2\nwrokers = 3\n")
    ended = aserve("--print-config", cwd=tmp_path)  # no application is needed for it
    assert ended.status == 0
    assert "workers = 2  # aserve.toml:1" in ended.out.splitlines()
    assert (
        ended.err
        == "aserve: warning: aserve.toml:2: there is no setting 'wrokers': did you mean 'workers'?\n"
    )
    assert aserve("--print-config", "--workers", "x", cwd=tmp_path).status == 2
    both = aserve("--print-config", "--check-config", "nothing:app", cwd=tmp_path)
    assert both.status == 2
    assert both.out == ended.out.replace(
        "# app = none  # default", 'app = "nothing:app"  # command line: APP'
    ).replace("check_config = false  # default", "# check_config = true  # command line: --check-config")
